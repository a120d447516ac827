"""Fixtures for tests of the corpus readers: a corpus is laid out as published, in a folder or below gs://."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.pipelines.beam.corpora.huggingface_files import row, save_to_disk, write_parquet
from trillsson.config import parse_release
from trillsson.config.corpora import CorpusSpec
from trillsson.storage import open_storage

LayOut = Callable[..., None]
SAMPLES = 1_600


def tone(extension: str) -> bytes:
    """Encodes 0.1 s at 16 kHz."""
    file = io.BytesIO()
    samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(SAMPLES) / 16_000)
    soundfile.write(file, samples, 16_000, format=extension.upper())
    return file.getvalue()


@pytest.fixture
def lay_out() -> LayOut:
    """Returns a function that puts texts, and files of 0.1 s of sound, below a folder or `gs://` prefix."""

    def put(root: object, *audio: str, texts: Mapping[str, str] | None = None) -> None:
        storage = open_storage(str(root))
        for path in audio:
            assert storage.create(path, tone(PurePosixPath(path).suffix[1:]))
        for path, text in (texts or {}).items():
            assert storage.create(path, text.encode())

    return put


@pytest.fixture
def parse_corpus() -> Callable[..., CorpusSpec]:
    """Returns a function that parses a corpus's options as part of a release config."""

    def parse(**options: Any) -> CorpusSpec:
        config = {
            "name": "small",
            "workdir": "work",
            "registry": "registry",
            "corpora": {"speech": options},
            "teacher": {"kind": "conformer", "dim": 64, "layers": 2, "layer": 1},
            "students": {"nano": {"architecture": "nano"}},
            "training": {"corpora": ["speech"], "steps": 10},
            "tasks": {"voice": {"corpus": "speech", "label": "speaker"}},
        }
        corpus = parse_release(config, source="here").corpora["speech"]
        assert isinstance(corpus, CorpusSpec)
        return corpus

    return parse


@pytest.fixture
def upload(gcs_prefix: str) -> Callable[[Path], str]:
    """Returns a function that copies a folder to a fresh `gs://` prefix and returns that."""

    def copy(folder: Path) -> str:
        source, target = open_storage(str(folder)), open_storage(gcs_prefix)
        for path in source.list():
            assert target.create(path, source.read(path) or b"")
        return gcs_prefix

    return copy


@pytest.fixture
def write_speech() -> Callable[[Path, float], None]:
    """Returns a function that writes a file of a second of noise, or of another length in seconds."""
    import numpy as np
    import soundfile

    def write(path: Path, seconds: float = 1.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(0).uniform(-0.5, 0.5, int(16_000 * seconds))
        soundfile.write(path, samples, 16_000)

    return write


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """Two files of train, with three and two rows, and one of test, in a folder `data`."""
    write_parquet(tmp_path / "data/train-00000-of-00002.parquet", [row(0), row(1), row(2)])
    write_parquet(tmp_path / "data/train-00001-of-00002.parquet", [row(3), row(4)])
    write_parquet(tmp_path / "data/test-00000-of-00001.parquet", [row(5)])
    (tmp_path / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    return tmp_path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """As `parquet`, made by `DatasetDict.save_to_disk`, with a cache that a later `map` left."""
    save_to_disk(tmp_path / "train", [[row(0), row(1), row(2)], [row(3), row(4)]])
    save_to_disk(tmp_path / "test", [[row(5)]])
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    (tmp_path / "train/cache-3e15411d7a510a2f.arrow").write_bytes(b"no stream")
    return tmp_path
