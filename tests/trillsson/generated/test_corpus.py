import csv
import json
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from trillsson.config import GeneratedCorpus
from trillsson.decoding import decode
from trillsson.digests import folder_digests
from trillsson.errors import InputError, TransientError
from trillsson.generated.corpus import generate

GENERATE = """
import sys
from pathlib import Path
from trillsson.config import GeneratedCorpus
from trillsson.generated.corpus import generate
generate(GeneratedCorpus.model_validate_json(sys.argv[1]), Path(sys.argv[2]), workers=1)
"""


@pytest.fixture
def rows(corpus):
    with (corpus / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def audio_files(folder):
    return [path for path in folder.rglob("*") if path.suffix in (".flac", ".wav")]


def test_the_table_lists_every_file_and_one_label_a_clip(corpus, rows):
    tasks = ["speaker_id", "language", "keyword", "spoof", "dysarthria", "emotion_a", "emotion_b"]
    assert list(rows[0]) == ["path", "task", "speaker", "split", *tasks]
    assert rows[0] == {
        "path": "speaker_id/train/Andrea-000.flac",
        "task": "speaker_id",
        "speaker": "Andrea",
        "split": "train",
        "speaker_id": "Andrea",
        **dict.fromkeys(tasks[1:], ""),
    }
    assert all([task for task in tasks if row[task]] == [row["task"]] for row in rows)
    assert sorted(row["path"] for row in rows) == sorted(f.relative_to(corpus).as_posix() for f in audio_files(corpus))
    assert len(rows) == 270


def test_clips_are_16_bit_mono_that_the_reader_decodes(corpus, rows):
    for row in rows[::10]:
        path = corpus / row["path"]
        told = soundfile.info(path)
        assert (told.samplerate, told.channels, told.subtype) == (22_050, 1, "PCM_16")
        decoded = decode(path)
        audio = decoded.read(0, decoded.samples) / 32_768
        assert 0.02 < audio.std() < 0.13
        assert 1.0 <= len(audio) / 16_000 <= 2.81
        assert (len(audio) == 16_000) == (row["task"] == "keyword")


def test_killed_and_run_again_with_other_workers_it_is_the_same(corpus, spec, tmp_path):
    folder = tmp_path / "corpus"
    run = subprocess.Popen([sys.executable, "-c", GENERATE, spec.model_dump_json(), str(folder)])
    try:
        while len(audio_files(folder)) < 30:
            assert run.poll() is None
            time.sleep(0.02)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    made = {path: path.stat().st_mtime_ns for path in audio_files(folder)}
    assert not (folder / "labels.csv").exists()
    (folder / "speaker_id" / ".trillsson-0123abcd").write_bytes(b"half")
    calls = []

    generate(spec, folder, workers=3, progress=lambda done, total: calls.append((done, total)))

    assert folder_digests(folder) == folder_digests(corpus)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert calls == sorted(calls)
    assert calls[-1] == (270, 270)


def test_a_finished_corpus_needs_neither_work_nor_espeak(corpus, spec, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    before = folder_digests(corpus)
    generate(spec, corpus, progress=lambda done, total: pytest.fail("worked"))
    assert folder_digests(corpus) == before


def test_without_espeak_nothing_is_begun(spec, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError, match=r"pip install 'trillsson\[quickstart\]'$"):
        generate(spec, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_another_spec_in_the_folder_is_an_input_error(corpus):
    found = (corpus / "generated.json").read_text()
    assert json.loads(found)["spec"] == {"kind": "generated", "seed": 7, "scale": 0.01}
    with pytest.raises(InputError) as error:
        generate(GeneratedCorpus(kind="generated", seed=8, scale=0.01), corpus)
    assert str(error.value) == (
        f"{corpus} holds another generated corpus, {found}, not seed 8, scale 0.01, version 1; give a new folder, or"
        " delete this one"
    )


def test_a_folder_with_other_labels_is_an_input_error(spec, tmp_path):
    (tmp_path / "labels.csv").write_text("path,word\n")
    with pytest.raises(InputError) as error:
        generate(spec, tmp_path)
    assert str(error.value) == (
        f"{tmp_path} holds a labels.csv of something else; give a new folder for the generated corpus"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


@pytest.mark.usefixtures("corpus")
class TestWorkers:
    def test_an_error_keeps_its_class_and_message(self, spec, tmp_path):
        (tmp_path / "speaker_id").write_text("in the way")
        with pytest.raises(InputError) as error:
            generate(spec, tmp_path, workers=1)
        assert str(error.value).startswith(f"cannot write {tmp_path}/speaker_id/train/")
        assert str(error.value).endswith(": Not a directory; give another path or mend its rights")
        assert not (tmp_path / "labels.csv").exists()

    def test_a_killed_one_is_a_transient_error(self, spec, tmp_path, monkeypatch):
        started = record_processes(monkeypatch)
        with pytest.raises(TransientError) as error:
            generate(spec, tmp_path, workers=1, progress=lambda done, total: started[0].kill())
        assert str(error.value) == "a worker of the generated corpus died of signal 9; run again: what is made is kept"

    def test_none_outlives_an_interrupt(self, spec, tmp_path, monkeypatch):
        def interrupt(done: int, total: int) -> None:
            raise KeyboardInterrupt

        started = record_processes(monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            generate(spec, tmp_path, workers=2, progress=interrupt)
        assert [process.returncode for process in started] == [-signal.SIGTERM] * 2
        assert not (tmp_path / "labels.csv").exists()


def record_processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen]:
    started: list[subprocess.Popen] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr("trillsson.generated.corpus.subprocess.Popen", Recorded)
    return started
