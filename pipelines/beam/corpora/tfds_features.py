"""What one record of a TensorFlow Datasets data set holds: its features, and the recording they make."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from pipelines.beam.corpora.containers import as_text
from pipelines.beam.corpora.reader import Recording
from trillsson.audio import RejectError
from trillsson.config import TfdsCorpus
from trillsson.decoding import Samples
from trillsson.errors import InputError

LOUDEST = 2.0
"""Float samples up to this magnitude are a lossy codec's overshoot, and clipped; above it they are on another scale."""

SCALAR = "a class, text, number or bool"


@dataclass(frozen=True)
class Columns:
    """The features that are wanted of a data set, as its library decodes them.

    Attributes:
        features: the library's `FeaturesDict` of those below and no other.
        rate: of the audio, in Hz.
    """

    features: Any
    audio: str
    rate: int
    speaker: str | None
    labels: tuple[str, ...]


def library() -> ModuleType:
    """Imports TensorFlow Datasets.

    Raises:
        InputError: it is not installed.
    """
    try:
        import tensorflow_datasets
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install 'trillsson[tfds]'") from error
    module: ModuleType = tensorflow_datasets
    return module


def choose_columns(spec: TfdsCorpus, features_json: Any, *, where: str) -> Columns:
    """Chooses the features that a spec wants. Class names lie elsewhere: see `name_classes`.

    Args:
        spec: what is wanted.
        features_json: the content of the data set's `features.json`.
        where: what to call the data set in an error.

    Raises:
        InputError: the data set does not have what is wanted; says what it has.
    """
    tfds = library()
    from google.protobuf.json_format import ParseError

    try:
        known = tfds.features.FeatureConnector.from_json(_object(features_json))
        if not isinstance(known, tfds.features.FeaturesDict):
            raise TypeError(f"it describes one {type(known).__name__}, not named features")
    except (ImportError, AttributeError, KeyError, TypeError, ValueError, ParseError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"features.json of {where} cannot be read: {reason}; prepare the data set anew") from error
    names = sorted(known)  # A protobuf map has no order of its own.
    scalars = [name for name in names if _is_tensor(known[name], ranks=(0,))]
    speaker = spec.speaker or ("speaker_id" if "speaker_id" in scalars else None)
    labels = spec.labels
    if labels is None:
        labels = tuple(name for name in scalars if name not in (speaker, spec.audio))
    about = (*filter(None, [speaker]), *labels)
    for name, ranks, fix in [(spec.audio, (1, 2), "audio"), *((name, (0,), SCALAR) for name in about)]:
        if name not in names:
            raise InputError(f"{where} has no feature {name!r}; it has {', '.join(names)}")
        if not _is_tensor(known[name], ranks=ranks):
            raise InputError(f"feature {name!r} of {where} is of kind {type(known[name]).__name__}; name one of {fix}")
    said = getattr(known[spec.audio], "sample_rate", None)
    rate = said or spec.sample_rate
    if not rate:
        raise InputError(f"{where} does not say the sample rate of {spec.audio!r}; give `sample_rate`")
    if rate != (spec.sample_rate or rate):
        raise InputError(f"sample_rate is {spec.sample_rate}, but {where} says {rate}; leave it out")
    features = tfds.features.FeaturesDict({name: known[name] for name in (spec.audio, *about)})
    return Columns(features, spec.audio, int(rate), speaker, labels)


def name_classes(columns: Columns, names: Mapping[str, str], *, where: str) -> None:
    """Gives the classes of each feature their names, from the text of its `<feature>.labels.txt`: one a line.

    Raises:
        InputError: there are more or fewer names than classes.
    """
    for feature, text in names.items():
        try:
            columns.features[feature].names = [line.strip() for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise InputError(f"{feature}.labels.txt of {where}: {error}; prepare the data set anew") from error


def class_features(columns: Columns) -> list[str]:
    """Returns the names of the features that are classes."""
    return [name for name in columns.features if _is_class(columns.features[name])]


def parse_record(data: bytes, columns: Columns, *, split: str) -> Recording:
    """Decodes a record.

    Raises:
        RejectError: it cannot be used.
    """
    from google.protobuf.message import DecodeError

    try:
        values = columns.features.deserialize_example_np(data)
    except (DecodeError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RuntimeError) as error:
        raise RejectError("undecodable", " ".join(str(error).split())) from error

    def text(name: str) -> str:
        try:
            return _text(columns.features[name], values[name])
        except ValueError as error:
            raise RejectError("bad_label", f"{name}: {error}") from error

    return Recording(
        audio=_audio(values[columns.audio], columns.rate),
        speaker=text(columns.speaker) if columns.speaker else "",
        split=split,
        labels={name: label for name in columns.labels if (label := text(name))},
    )


def _object(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise TypeError(f"it holds {type(content).__name__}, not an object")
    return content


def _is_tensor(feature: Any, *, ranks: Collection[int]) -> bool:
    return isinstance(feature, library().features.Tensor) and len(feature.shape) in ranks


def _is_class(feature: Any) -> bool:
    return isinstance(feature, library().features.ClassLabel)


def _text(feature: Any, value: Any) -> str:
    """Text of a scalar; empty where the record does not have it, or has the -1 that stands for an unknown class."""
    if value is None or isinstance(value, bytes | str):
        return as_text(value)
    if not _is_class(feature):
        return as_text(np.dtype(feature.np_dtype).type(value))
    if value == -1:
        return ""
    if not 0 <= value < feature.num_classes:
        raise ValueError(f"{value} is none of {feature.num_classes} classes")
    return str(feature.int2str(value))


def _audio(value: Any, rate: int) -> bytes | Samples:
    """Returns an encoded file as it is (`lazy_decode`), and samples as int16 or float32 by their type and range."""
    if value is None:
        raise RejectError("missing", "the record has no audio")
    if isinstance(value, bytes):
        return value
    array = np.asarray(value)
    if array.dtype.kind in "iu":
        if array.size and (array.min() < -32_768 or array.max() > 32_767):
            raise RejectError("out_of_range", f"integer samples from {array.min()} to {array.max()} are not int16")
        return Samples(array.astype(np.int16), rate)
    if array.dtype.kind != "f":
        raise RejectError("undecodable", f"samples are {array.dtype}, neither integer nor float")
    if not np.isfinite(array).all():
        raise RejectError("non_finite", "the samples hold NaN or infinity")
    peak = float(np.abs(array).max(initial=0))
    if peak > LOUDEST:
        raise RejectError("out_of_range", f"float samples reach {peak:g}, beyond [-1, 1]")
    return Samples(np.clip(array, -1, 1).astype(np.float32), rate)
