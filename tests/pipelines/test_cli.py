"""The real command: a whole release and back, and every kind of bad input, one line each."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import yaml
from click.testing import CliRunner

import trillsson
from pipelines.cli import main
from trillsson.config import FolderCorpus, Release

MakeRelease = Callable[..., tuple[Path, Release]]
COMMAND = (sys.executable, "-m", "pipelines.cli")


def run(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout, check=False)


def commands() -> Sequence[tuple[str, ...]]:
    names = [(name,) for name in main.commands]
    return [(), *names, *(("registry", name) for name in main.commands["registry"].commands)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.output


def test_help_loads_nothing_heavy() -> None:
    script = "import sys; from pipelines.cli import main; main(['--help'], standalone_mode=False); "
    script += "print([name for name in ('tensorflow', 'apache_beam', 'kfp', 'keras', 'numpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_release_from_config_to_model(make_release: MakeRelease) -> None:
    config, release = make_release(
        students={"nano": {"architecture": "nano"}, "smaller": {"architecture": "nano", "steps": 2}}
    )
    first = run("run", str(config), timeout=600)
    assert first.returncode == 0, first.stdout + first.stderr
    lines = first.stdout.splitlines()
    table = lines[next(n for n, line in enumerate(lines) if line.startswith("model ")) :]
    assert [line.split()[0] for line in table if line[:1].isalpha()][1:5] == ["logmel", "teacher", "nano", "smaller"]
    heard = "24 clips, 0.01 h; 0 rejects, 0 leaks, 0 duplicates, 0 without a target"
    told = f"audio tones: {heard}; 18 learnt from or validated on"
    assert told in table
    assert "embeddings: 0 rejects" in table
    for student in ("nano", "smaller"):
        assert f"{student} passed the gate: 1% of the teacher's score on 1 of 1 tasks, wanted on at least 1" in table
    page = Path(next(line for line in lines if line.startswith("report: ")).removeprefix("report: "))
    assert "<svg" in page.read_text(encoding="utf-8")
    assert "published nano@1" in lines
    assert "published smaller@1" in lines

    model = trillsson.load("nano@latest", registry=release.registry)
    assert model.embed(np.zeros(20_000, np.float32)).shape == (16,)
    verified = run("registry", "verify", release.registry, "smaller@latest")
    assert verified.stdout.startswith("smaller@1 is whole: ")

    before = {path: path.stat().st_mtime_ns for path in Path(release.workdir).rglob("*.tfrecord")}
    again = run("run", str(config))
    assert "published nano@1: the same content as before" in again.stdout.splitlines()
    assert "train nano" not in again.stdout
    assert before == {path: path.stat().st_mtime_ns for path in Path(release.workdir).rglob("*.tfrecord")}


BAD_LABELS: dict[str, tuple[Callable[[list[dict[str, str]]], object], str]] = {
    "never shown": (
        lambda rows: next(row for row in rows if row["split"] == "test").update(pitch="middle"),
        "trillsson: task pitch: label 'middle' of corpus tones is in test and never in train; mend the split or ",
    ),
    "no test": (
        lambda rows: [row.update(split="dev") for row in rows if row["split"] == "test"],
        "trillsson: task pitch: no clip of corpus tones has label 'pitch' and split 'test' in column 'split'; ",
    ),
    "nothing to learn from": (
        lambda rows: [row.update(split="test") for row in rows],
        "trillsson: training.corpora (tones) leave no clip to learn from: every one is a test clip; add some",
    ),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_bad_labels_are_one_line_before_any_model_runs(
    make_release: MakeRelease, edit_csv: Callable[..., None], case: str
) -> None:
    spoil, message = BAD_LABELS[case]
    edit_csv(spoil)
    config, release = make_release()
    prepared = CliRunner().invoke(main, ["prepare", str(config), "--corpus", "tones"])
    result = CliRunner().invoke(main, ["screen", str(config), "--audio", prepared.stdout.strip()])
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("trillsson: ")]
    assert line.startswith(message)
    assert result.stdout == ""
    assert not (Path(release.workdir) / "screened").exists()


def broken(folder: Path, name: str) -> Path:
    return next(folder.rglob(name))


BAD_CORPORA: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing folder": (shutil.rmtree, "tones does not exist; correct corpora.tones.path"),
    "empty folder": (lambda folder: [path.unlink() for path in folder.rglob("*.*")], "holds no audio"),
    "all broken": (
        lambda folder: [path.write_text("x") for path in folder.rglob("*.*") if path.suffix in (".wav", ".flac")],
        "24 of 24 items were rejected, so nothing is left",
    ),
    "text named wav": (lambda folder: broken(folder, "00.wav").write_text("hello"), "ann/00.wav: undecodable"),
    "cut flac": (
        lambda folder: broken(folder, "01.flac").write_bytes(broken(folder, "01.flac").read_bytes()[:3_000]),
        "bob/01.flac: ",
    ),
    "NaN": (
        lambda folder: soundfile.write(broken(folder, "00.wav"), np.full(9_000, np.nan), 16_000, "FLOAT"),
        "ann/00.wav: non_finite (the samples hold NaN or infinity)",
    ),
    "10 ms": (
        lambda folder: soundfile.write(broken(folder, "00.wav"), np.zeros(160), 16_000),
        "ann/00.wav: too_short (0.010 s, at least 0.1 s are needed)",
    ),
    "unknown split": (
        lambda folder: broken(folder, "labels.csv").write_text(
            broken(folder, "labels.csv").read_text().replace("validation", "vlidation", 1)
        ),
        "column 'split' of {folder}/labels.csv line 4 has split 'vlidation'; use one of dev, eval, test, ",
    ),
    "row without file": (
        lambda folder: broken(folder, "00.wav").unlink(),
        "ann/00.wav: missing (labels.csv has a row for it)",
    ),
    "file without row": (
        lambda folder: shutil.copy(broken(folder, "00.wav"), folder / "new.wav"),
        "tones/new.wav: unlisted (labels.csv has no row for it)",
    ),
}


@pytest.mark.parametrize("case", BAD_CORPORA)
def test_a_bad_corpus_is_one_line_and_nothing_half_written(
    make_release: MakeRelease, tones: FolderCorpus, case: str
) -> None:
    spoil, message = BAD_CORPORA[case]
    config, release = make_release()
    spoil(Path(tones.path))
    result = CliRunner().invoke(main, ["prepare", str(config), "--corpus", "tones"])
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("trillsson: ")]
    assert message.format(folder=tones.path) in line
    assert result.stdout == ""
    assert not list(Path(release.workdir).rglob("manifests"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read config"),
        ("name: [", "is not valid YAML"),
        ("nmae: x", "unknown key"),
    ],
)
def test_a_bad_config_is_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    config = tmp_path / "release.yaml"
    if text is not None:
        config.write_text(text)
    done = run("run", str(config))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line


def test_a_wrong_type_names_key_and_value(make_release: MakeRelease) -> None:
    config, _ = make_release()
    raw = yaml.safe_load(config.read_text())
    raw["training"]["steps"] = "many"
    config.write_text(yaml.safe_dump(raw))
    done = run("run", str(config))
    assert done.returncode == 2
    assert done.stderr == f"trillsson: config {config}: training.steps: give a whole number, not 'many'\n"


def test_to_prepare_the_piece_that_corpora_prints_is_enough(tones: FolderCorpus, tmp_path: Path) -> None:
    """What a newcomer does: copies the example, writes the path, and prepares."""
    described = CliRunner().invoke(main, ["corpora", "folder"]).stdout
    config = tmp_path / "mine.yaml"
    piece = described[described.index("workdir: ") :]
    config.write_text(piece.replace("/data/folder", tones.path).replace("workdir: work", f"workdir: {tmp_path}/work"))
    prepared = CliRunner().invoke(main, ["prepare", str(config), "--corpus", "folder"])
    assert prepared.exit_code == 0, prepared.stderr
    assert prepared.stdout.startswith(f"{tmp_path}/work/audio/folder/manifests/")
    refused = CliRunner().invoke(main, ["screen", str(config), "--audio", prepared.stdout.strip()])
    message = f"config {config} lacks name, registry, teacher, students, training, tasks; see configs/quickstart.yaml"
    assert (refused.exit_code, refused.stderr) == (2, f"trillsson: {message}\n")


def test_a_failing_step_of_a_run_ends_on_its_one_line(make_release: MakeRelease, tones: FolderCorpus) -> None:
    config, _ = make_release()
    broken(Path(tones.path), "00.wav").write_text("hello")
    done = run("run", str(config))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("trillsson: corpus 'tones': 1 of 24 items were rejected")


def test_a_jobs_options_are_looked_at_though_all_is_made_and_without_any_beam_is_not_loaded(
    make_release: MakeRelease,
) -> None:
    config, _ = make_release()
    prepare = ["prepare", str(config), "--corpus", "tones"]
    made = run(*prepare)
    script = "import sys; from pipelines.cli import main; main(sys.argv[1:], standalone_mode=False); "
    script += "print('apache_beam' in sys.modules)"
    again = subprocess.run([sys.executable, "-c", script, *prepare], capture_output=True, text=True, check=True)
    assert again.stdout == f"{made.stdout}False\n"
    refused = run(*prepare, "--", "--direct_num_workers", "2")
    assert (refused.returncode, refused.stdout) == (2, "")
    message = "Beam option --direct_num_workers is apart from its value; write --direct_num_workers=2"
    assert refused.stderr == f"trillsson: {message}\n"


def test_ctrl_c_as_workers_start_is_one_line(make_release: MakeRelease) -> None:
    config, _ = make_release()
    options = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    job = subprocess.Popen(
        [*COMMAND, "prepare", str(config), "--corpus", "tones", "--", *options],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (workers := psutil.Process(job.pid).children(recursive=True)):
        assert time.monotonic() < deadline, "no worker"
        time.sleep(0.01)
    os.killpg(job.pid, signal.SIGINT)
    _, errors = job.communicate(timeout=60)
    assert (job.returncode, errors) == (130, "trillsson: interrupted; run again to go on: what is done is kept\n")
    assert not [worker for worker in workers if worker.is_running()]


def test_killed_half_way_and_run_again(make_release: MakeRelease) -> None:
    config, release = make_release()
    with subprocess.Popen([*COMMAND, "run", str(config)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("train nano"):
                process.kill()
                break
    time.sleep(1)
    done = run("run", str(config), timeout=600)
    assert done.returncode == 0, done.stderr
    assert "published nano@1" in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("prepare")]
    assert run("registry", "verify", release.registry, "nano").returncode == 0
