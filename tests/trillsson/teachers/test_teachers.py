import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trillsson.config import (
    BundleEmbedder,
    ConformerTeacher,
    EmbedderSpec,
    Framing,
    LogMelBaseline,
    LogMelSpec,
    SavedModelTeacher,
    TFLiteTeacher,
)
from trillsson.errors import InputError
from trillsson.teachers import fingerprint, open_embedder


def test_a_bundle_is_an_embedder(tiny_bundle: Path) -> None:
    embedder = open_embedder(BundleEmbedder(kind="bundle", path=str(tiny_bundle)), Framing())
    assert (embedder.dim, embedder.window) == (8, 32_000)
    assert embedder.embed(np.zeros((2, 32_000), np.float32)).shape == (2, 8)


def test_windows_of_another_size_are_refused(tiny_bundle: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_embedder(BundleEmbedder(kind="bundle", path=str(tiny_bundle)), Framing(window=16_000))
    assert str(caught.value) == (
        "the bundle embedder takes windows of 32000 samples, framing.window is 16000; make the two equal"
    )


@pytest.mark.parametrize(
    "spec",
    [
        BundleEmbedder(kind="bundle", path="/nowhere/bundle"),
        SavedModelTeacher(kind="saved_model", path="/nowhere/bundle", dim=8),
        TFLiteTeacher(kind="tflite", path="/nowhere/bundle", dim=8, tensor="x"),
    ],
)
def test_a_missing_path_is_refused(spec: EmbedderSpec) -> None:
    for use in (lambda: open_embedder(spec, Framing()), lambda: fingerprint(spec)):
        with pytest.raises(InputError) as caught:
            use()
        assert str(caught.value) == "/nowhere/bundle does not exist; give the path of a file or folder that does"


def test_fingerprint_of_a_spec_without_files() -> None:
    assert fingerprint(LogMelBaseline()) == "8884312fdc61bdd6e442b3f7f5b1e5757d6ed3cedaf25fd11511a73e92f400ec"
    different = {
        fingerprint(LogMelBaseline()),
        fingerprint(LogMelBaseline(logmel=LogMelSpec(bands=65))),
        fingerprint(ConformerTeacher(kind="conformer")),
        fingerprint(ConformerTeacher(kind="conformer", seed=1)),
    }
    assert len(different) == 4


def test_fingerprint_covers_the_bytes_and_not_the_path(tmp_path: Path) -> None:
    first, second = tmp_path / "a.tflite", tmp_path / "b.tflite"
    first.write_bytes(b"weights")
    second.write_bytes(b"weights")

    def mark(path: Path, tensor: str = "x") -> str:
        return fingerprint(TFLiteTeacher(kind="tflite", path=str(path), dim=8, tensor=tensor))

    assert mark(first) == mark(second)
    assert mark(first) != mark(first, "y")
    second.write_bytes(b"Weights")
    assert mark(first) != mark(second)


def test_fingerprint_covers_every_file_of_a_folder(tmp_path: Path) -> None:
    def mark(folder: Path) -> str:
        return fingerprint(SavedModelTeacher(kind="saved_model", path=str(folder), dim=8))

    (tmp_path / "a" / "variables").mkdir(parents=True)
    (tmp_path / "a" / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "a" / "variables" / "data").write_bytes(b"weights")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert mark(tmp_path / "a") == mark(tmp_path / "b")
    (tmp_path / "b" / "variables" / "data").write_bytes(b"Weights")
    assert mark(tmp_path / "a") != mark(tmp_path / "b")


def test_a_bundle_keeps_its_fingerprint_when_it_is_published(tiny_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "published")
    (tmp_path / "published" / "manifest.json").write_bytes(b"the registry's")
    (tmp_path / "published" / "claim.json").write_bytes(b"the registry's")
    marks = {fingerprint(BundleEmbedder(kind="bundle", path=str(p))) for p in (tiny_bundle, tmp_path / "published")}
    assert len(marks) == 1


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    script = (
        "import sys\n"
        "from trillsson.config import Framing, LogMelBaseline\n"
        "from trillsson.teachers import fingerprint, open_embedder\n"
        "import trillsson.students, trillsson.windows\n"
        "fingerprint(LogMelBaseline()), open_embedder(LogMelBaseline(), Framing())\n"
        "print(sorted({'tensorflow', 'keras', 'huggingface_hub', 'ai_edge_litert'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
