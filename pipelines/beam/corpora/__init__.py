"""One file a corpus reader, all of one shape: a class over its spec, and an `ABOUT` that `trillsson corpora` prints."""

from importlib import import_module
from typing import TYPE_CHECKING

from trillsson.config.corpora import CorpusSpec

if TYPE_CHECKING:
    from pipelines.beam.corpora.reader import Reader

READERS = {
    "asvspoof": "ASVspoofReader",
    "audioset": "AudioSetReader",
    "folder": "FolderReader",
    "huggingface": "HuggingFaceReader",
    "iemocap": "IEMOCAPReader",
    "librilight": "LibriLightReader",
    "librispeech": "LibriSpeechReader",
    "tfds": "TfdsReader",
    "voxceleb": "VoxCelebReader",
}
"""Kind of a corpus's spec -> the class, in the module of that name, that reads it."""


def open_reader(spec: CorpusSpec) -> "Reader":
    """Opens the reader of a corpus; imports only what its kind needs."""
    reader: Reader = getattr(import_module(f"{__name__}.{spec.kind}"), READERS[spec.kind])(spec)
    return reader
