"""The readers of corpora: the files that `READERS` names, each a class over its spec and an `ABOUT`.

What several share lies beside them: `reader` (what a reader is), `subsets` (folders of subsets), `lists` (small text
files), `containers` and `tables` (files of many recordings); `tfds_*`, `huggingface_*` and `ontology` belong to one
reader each. `catalogue` is what `trillsson corpora` prints, `generated` makes the corpus that the folder reader reads.
"""

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
