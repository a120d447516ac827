"""`trillsson inspect` on a real dataset: the whole text, the page, and what it refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from pipelines import steps
from pipelines.beam import embed, prepare
from pipelines.beam.embed import EmbedSpec
from pipelines.beam.prepare import PrepareSpec
from pipelines.cli import main
from trillsson.config import FolderCorpus, Framing, LogMelBaseline, Release

EditCsv = Callable[[Callable[[list[dict[str, str]]], None]], None]
MakeRelease = Callable[..., tuple[Path, Release]]

TEXT = """\
tones: audio
{uri}

sources         26
clips           25
hours           0.012
shards          1
size            1.4 MB
lost sources    1
rejected items  1 of 26

! Leak: 1 test clip is among the clips that are learnt from as well.
! 1 speaker is in train and test.
! 1 clip is an exact copy of another clip in this dataset.
! 1 of 26 items was rejected; 1 source gave no clip.

Rejects, and the first of each reason
        1  undecodable
           tones/broken.wav#0: Format not recognised.

Durations in seconds: shortest 0.60, median 1.70, mean 1.72, longest 2.90

seconds        clips
-----------  -------  ------------------------------
0.5 to 0.75        2  ████████████████████
0.75 to 1          3  ██████████████████████████████
1 to 1.25          3  ██████████████████████████████
1.25 to 1.5        2  ████████████████████
1.5 to 1.75        3  ██████████████████████████████
1.75 to 2          2  ████████████████████
2 to 2.25          3  ██████████████████████████████
2.25 to 2.5        2  ████████████████████
2.5 to 2.75        3  ██████████████████████████████
2.75 to 3          2  ████████████████████

Splits

split         clips    hours    speakers            clips of
                                            unknown speakers
----------  -------  -------  ----------  ------------------
train            13    0.006           3                   0
validation        6    0.003           1                   0
test              6    0.003           1                   0
total            25    0.012           4                   0

Speakers in several splits (1)
  dov: train, test

Label pitch: 2 values; clips (and speakers)

value         train    validation    test
----------  -------  ------------  ------
high          6 (2)         3 (1)   3 (1)
low           6 (2)         3 (1)   3 (1)
(no value)        1             0       0

Label speaker: 4 values; clips

value      train    validation    test
-------  -------  ------------  ------
dov            1             0       6
ann            6             0       0
bob            6             0       0
cem            0             6       0

Exact duplicates within this dataset: 1 clip more than once
  tones/copy.flac#0 (train)
    = tones/dov/03.flac#0 (test)

Leaks: 1 test clip also outside test
  tones/dov/03.flac#0 (test)
    = tones/copy.flac#0 (train)
"""


def inspect(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["inspect", *map(str, arguments)])


@pytest.fixture
def spoilt(tones: FolderCorpus, edit_csv: EditCsv, tmp_path: Path) -> str:
    """The manifest of `tones` with a file that is none, and a test clip of which a copy is in train."""
    folder = Path(tones.path)
    shutil.copy(folder / "dov" / "03.flac", folder / "copy.flac")
    (folder / "broken.wav").write_text("hello")

    def add(rows: list[dict[str, str]]) -> None:
        rows += [
            {"path": "copy.flac", "speaker": "dov", "split": "training", "pitch": ""},
            {"path": "broken.wav", "speaker": "ann", "split": "train", "pitch": "low"},
        ]

    edit_csv(add)
    corpus = tones.model_copy(update={"max_reject_fraction": 0.1})
    return prepare.run(PrepareSpec(name="tones", corpus=corpus, workdir=str(tmp_path / "work")))


def test_the_text_of_an_audio_dataset(spoilt: str) -> None:
    result = inspect(spoilt)
    assert result.exit_code == 0, result.output
    assert result.stdout == TEXT.format(uri=spoilt)


def test_a_folder_with_one_manifest_will_do(spoilt: str) -> None:
    assert inspect(spoilt.rpartition("/manifests/")[0]).stdout == TEXT.format(uri=spoilt)


def test_the_page_is_written_and_the_same_every_time(spoilt: str, tmp_path: Path) -> None:
    pages = [tmp_path / "one.html", tmp_path / "two.html", tmp_path / "other.html"]
    for page, seed in zip(pages, (1, 1, 2), strict=True):
        result = inspect(spoilt, "--html", page, "--clips", 3, "--seed", seed)
        assert result.stdout == f"{TEXT.format(uri=spoilt)}\npage: {page}\n"
    one, two, other = (page.read_text(encoding="utf-8") for page in pages)
    assert one == two
    assert one != other
    assert one.count("<audio ") == 3


def test_what_two_datasets_share(spoilt: str, tones: FolderCorpus, tmp_path: Path) -> None:
    plain = FolderCorpus(kind="folder", path=tones.path, max_reject_fraction=0.1)
    other = prepare.run(PrepareSpec(name="plain", corpus=plain, workdir=str(tmp_path / "work")))
    lines = inspect(spoilt, "--against", other).stdout.splitlines()
    # The clips of `plain` have no split, so training learns from all of them.
    assert "! Leak: 6 test clips are among the clips that are learnt from as well." in lines
    assert "! 24 clips are in another dataset too." in lines
    assert "Exact duplicates within this dataset and across plain: 24 clips more than once" in lines
    at = lines.index("Leaks: 6 test clips also outside test")
    assert lines[at + 1 : at + 5] == [
        "  tones/dov/03.flac#0 (test)",
        "    = tones/copy.flac#0 (train)",
        "  tones/dov/07.flac#0 (test)",
        "    = plain/dov/07.flac#0 (no split)",
    ]


def test_test_clips_of_a_task(make_release: MakeRelease, edit_csv: EditCsv) -> None:
    def add(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["session"] = "eval" if row["speaker"] == "ann" else "train"
        rows[1]["session"] = "third"

    edit_csv(add)
    tasks = {"pitch": {"corpus": "tones", "label": "pitch", "split": "session"}}
    config, release = make_release(tasks=tasks)
    uri = steps.prepare(release.model_dump_json(), "tones")
    lines = inspect(uri, "--config", config).stdout.splitlines()
    remark = "! 1 clip has a split in column 'session' that is not known, such as 'third': training refuses that."
    assert remark in lines
    at = lines.index("Splits by session, for task pitch")
    assert lines[at + 5 : at + 11] == [
        "train         17    0.009           3                   0",
        "test           6    0.003           1                   0",
        "other          1    0.000           1                   0",
        "total         24    0.012           4                   0",
        "",
        "Test by any of these splits: 12 clips",
    ]


def test_leaks_by_the_training_corpora_of_a_release(
    spoilt: str, make_release: MakeRelease, tones: FolderCorpus, tmp_path: Path
) -> None:
    corpora = {name: tones.model_dump(mode="json") for name in ("tones", "clinic")}
    training = {"corpora": ["clinic"], "steps": 4}
    config, _ = make_release(corpora=corpora, training=training)
    lines = inspect(spoilt, "--config", config).stdout.splitlines()
    assert lines[-1] == "Leaks: 0 test clips also outside test in clinic"
    config, _ = make_release(corpora=corpora, training={**training, "corpora": ["clinic", "tones"]})
    lines = inspect(spoilt, "--config", config).stdout.splitlines()
    assert lines[-3:] == [
        "Leaks: 1 test clip also outside test in clinic, tones",
        "  tones/dov/03.flac#0 (test)",
        "    = tones/copy.flac#0 (train)",
    ]


def test_a_config_of_corpora_only(spoilt: str, tones: FolderCorpus, tmp_path: Path) -> None:
    config = tmp_path / "clinic.yaml"
    told = {"workdir": str(tmp_path / "work"), "corpora": {"tones": tones.model_dump(mode="json")}}
    config.write_text(yaml.safe_dump(told))
    assert inspect(spoilt, "--config", config).stdout == TEXT.format(uri=spoilt)
    config.write_text(yaml.safe_dump({**told, "tasks": {"pitch": {"corpus": "tones", "label": "pitch"}}}))
    result = inspect(spoilt, "--config", config)
    assert (result.exit_code, result.stdout) == (2, "")
    lacks = "lacks name, registry, teacher, students, training; see configs/quickstart.yaml"
    assert result.stderr == f"trillsson: config {config} {lacks}\n"


def test_the_text_of_an_embedding_dataset(spoilt: str, tmp_path: Path) -> None:
    spec = EmbedSpec(
        audio=(spoilt,),
        embedder=LogMelBaseline(),
        framing=Framing(window=8_000, hop=8_000, tail="drop"),
        workdir=str(tmp_path / "work"),
        name="log-mel",
    )
    (uri,) = embed.run(spec)
    result = inspect(uri)
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if len(line.split(maxsplit=1)) == 2)
    assert result.stdout.startswith(f"tones: embeddings\n{uri}\n\nembedder ")
    assert facts["embedder"] == "logmel"
    assert facts["framing"] == "windows of 0.5 s every 0.5 s, a last one that is not full is left out"
    assert facts["clips"] == "25"
    assert facts["windows"] == "75"
    assert facts["numbers"] == "a window  128"
    assert facts["rejected"] == "clips    0 of 25"


def test_a_release_of_other_corpora(spoilt: str, make_release: MakeRelease, tones: FolderCorpus) -> None:
    training = {"corpora": ["clinic"], "steps": 4}
    tasks = {"pitch": {"corpus": "clinic", "label": "pitch"}}
    config, _ = make_release(corpora={"clinic": tones.model_dump(mode="json")}, training=training, tasks=tasks)
    result = inspect(spoilt, "--config", config)
    assert (result.exit_code, result.stdout) == (2, "")
    wanted = f"--config: {config} has no corpus 'tones', only clinic; give the one it was prepared with"
    assert result.stderr == f"trillsson: {wanted}\n"


def test_the_help_has_examples_that_fit_a_terminal() -> None:
    lines = CliRunner().invoke(main, ["inspect", "--help"], terminal_width=80).stdout.splitlines()
    for example in ("", " --html clinic.html --clips 20", " --against work/audio/speech", " --config clinic.yaml"):
        assert f"  trillsson inspect work/audio/clinic{example}" in lines
    assert max(map(len, lines)) <= 80


def test_what_is_refused(spoilt: str, tmp_path: Path) -> None:
    result = inspect(spoilt, "--html", tmp_path / "none" / "page.html")
    assert (result.exit_code, result.stdout) == (2, "")
    wanted = f"--html: folder {tmp_path}/none does not exist; make it, or give another path"
    assert result.stderr == f"trillsson: {wanted}\n"
    result = inspect(tmp_path / "nothing")
    wanted = f"{tmp_path}/nothing holds no dataset; name the manifest that a step printed, or run that step"
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"trillsson: {wanted}\n"
