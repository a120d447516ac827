"""Which columns of a Hugging Face data set are wanted, and what a row says without its audio."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.beam.corpora.containers import as_text
from pipelines.beam.corpora.tables import Table
from trillsson.config import HuggingFaceCorpus
from trillsson.errors import InputError

if TYPE_CHECKING:
    from pyarrow import DataType, Schema


@dataclass(frozen=True)
class Columns:
    """The columns that are wanted of a file.

    Attributes:
        probe: what to read of the audio to tell if it is null, or None if that would read the audio itself.
        classes: column -> the names of its classes, for columns of classes.
    """

    audio: str
    probe: str | None
    speaker: str | None
    labels: tuple[str, ...]
    classes: Mapping[str, Sequence[str]]


class Row(NamedTuple):
    """What a row says: as the fields of an `Item` of these names; `path` is the file that it names, if any."""

    speaker: str
    labels: Mapping[str, str]
    reject: str
    detail: str
    path: str


def choose_columns(spec: HuggingFaceCorpus, schema: "Schema", *, where: str) -> Columns:
    """Chooses the columns that a spec wants.

    Args:
        spec: what is wanted.
        schema: of the file; its metadata `huggingface` tells which column is audio, and the names of classes.
        where: what to call the file in an error.

    Raises:
        InputError: the file does not have what is wanted; says what it has.
    """
    features = _features(schema)
    audio = spec.audio or _only_audio(schema, features, where)
    scalars = [field.name for field in schema if _is_scalar(field.type)]
    speaker = spec.speaker or ("speaker_id" if "speaker_id" in scalars else None)
    labels = spec.labels
    if labels is None:
        labels = tuple(name for name in scalars if name not in (speaker, audio))
    about = (*filter(None, [speaker]), *labels)
    for name in (audio, *about):
        if name not in schema.names:
            raise InputError(f"{where} has no column {name!r}; it has {', '.join(schema.names)}")
        if schema.names.count(name) > 1:
            raise InputError(f"{where} has {schema.names.count(name)} columns {name!r}; give each its own name")
    if not _is_audio(schema.field(audio).type):
        kind = schema.field(audio).type
        raise InputError(f"column {audio!r} of {where} is {kind}; name one of struct<bytes, path> or binary")
    for name in about:
        if name not in scalars:
            kind = schema.field(name).type
            raise InputError(f"column {name!r} of {where} is {kind}; name one of a class, text, number or bool")
    probe = f"{audio}.path" if _has_child(schema.field(audio).type, "path") else None
    known = {name: features[name] for name in about if features.get(name, {}).get("_type") == "ClassLabel"}
    classes = {name: _classes(name, told, schema, where=where) for name, told in known.items()}
    return Columns(audio, probe, speaker, labels, classes)


def read_rows(table: Table, columns: Columns) -> Iterator[Row]:
    """Yields what each row says, reading no audio."""
    names = list(dict.fromkeys([*filter(None, [columns.speaker]), *columns.labels]))
    for batch in table.batches([*names, *filter(None, [columns.probe])]):
        there = batch.column(columns.audio).is_valid().to_pylist() if columns.probe else [True] * batch.num_rows
        paths = batch.column(columns.audio).field("path").to_pylist() if columns.probe else [None] * batch.num_rows
        cells = {name: batch.column(name).to_pylist() for name in names}
        for number, (is_there, path) in enumerate(zip(there, paths, strict=True)):
            row = _row({name: cells[name][number] for name in names}, columns, is_there=is_there)
            yield row._replace(path=path or "") if is_there else row


def _row(cells: Mapping[str, Any], columns: Columns, *, is_there: bool) -> Row:
    reject, detail = ("", "") if is_there else ("missing", "the row has no audio")
    texts = {}
    for name, value in cells.items():
        try:
            texts[name] = _text(value, columns.classes.get(name))
        except ValueError as error:
            texts[name], reject, detail = "", "bad_label", f"{name}: {error}"
    speaker = texts[columns.speaker] if columns.speaker else ""
    return Row(speaker, {name: texts[name] for name in columns.labels if texts[name]}, reject, detail, "")


def _text(value: Any, classes: Sequence[str] | None) -> str:
    """Text of a cell; empty where it is null, or the -1 that stands for an unknown class."""
    if classes is None or value is None:
        return as_text(value)
    if value == -1:
        return ""
    if not 0 <= value < len(classes):
        raise ValueError(f"{value} is none of {len(classes)} classes")
    return str(classes[value])


def _features(schema: "Schema") -> Mapping[str, Mapping[str, Any]]:
    """Returns what `datasets` noted of each column; nothing where it did not write the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: told for name, told in features.items() if isinstance(told, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _classes(name: str, told: Mapping[str, Any], schema: "Schema", *, where: str) -> tuple[str, ...]:
    """Returns the names of a column's classes.

    Raises:
        InputError: the file's notes do not name them, or the column does not number them.
    """
    from pyarrow.types import is_integer

    names = told.get("names")
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise InputError(f"column {name!r} of {where} is a ClassLabel whose names are no list of texts; get it again")
    kind = schema.field(name).type
    if not is_integer(_plain(kind)):
        raise InputError(f"column {name!r} of {where} is a ClassLabel of {kind}, not of integers; get it again")
    return tuple(names)


def _only_audio(schema: "Schema", features: Mapping[str, Mapping[str, Any]], where: str) -> str:
    noted = [name for name, told in features.items() if told.get("_type") == "Audio"]
    likely: list[str] = noted or [field.name for field in schema if _has_child(field.type, "bytes")]
    if len(likely) != 1:
        found = f"columns of audio {', '.join(likely)}" if likely else "no column of audio"
        raise InputError(f"{where} has {found}, of {', '.join(schema.names)}; name one in `audio`")
    return likely[0]


def _has_child(kind: "DataType", name: str) -> bool:
    from pyarrow.types import is_struct

    return bool(is_struct(kind) and kind.get_field_index(name) >= 0)


def _is_audio(kind: "DataType") -> bool:
    from pyarrow import types

    def holds_bytes(one: "DataType") -> bool:
        return bool(types.is_binary(one) or types.is_large_binary(one))

    if not _has_child(kind, "bytes"):
        return holds_bytes(kind)
    children = {field.name: field.type for field in kind}
    path = children.get("path")
    # A column in which all are null may have no type.
    return (holds_bytes(children["bytes"]) or types.is_null(children["bytes"])) and (
        path is None or bool(types.is_string(path) or types.is_large_string(path) or types.is_null(path))
    )


def _is_scalar(kind: "DataType") -> bool:
    from pyarrow import types

    plain = (types.is_string, types.is_large_string, types.is_boolean, types.is_integer, types.is_floating)
    return any(is_kind(_plain(kind)) for is_kind in plain)


def _plain(kind: "DataType") -> "DataType":
    """Returns the type of a column's values, also where they are stored once each, in a dictionary."""
    from pyarrow.types import is_dictionary

    return kind.value_type if is_dictionary(kind) else kind
