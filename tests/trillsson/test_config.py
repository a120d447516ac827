"""The release config: what it accepts, and what each mistake is told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from trillsson.config import ConformerTeacher, Framing, Release, load_release, parse_release
from trillsson.errors import InputError

ROOT = Path(__file__).parents[2]


def minimal(**changes: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "workdir": "work",
        "registry": "registry",
        "corpora": {"speech": {"kind": "folder", "path": "audio"}},
        "teacher": {"kind": "conformer", "dim": 64, "layers": 2, "layer": 1},
        "students": {"nano": {"architecture": "nano", "steps": 7}},
        "training": {"corpora": ["speech"], "steps": 10},
        "tasks": {"digit": {"corpus": "speech", "label": "digit"}},
        **changes,
    }


def test_defaults() -> None:
    release = parse_release(minimal(), source="here")
    assert release.framing == Framing(window=32_000, hop=32_000, padding="symmetric", tail="pad")
    assert release.gate is None


def test_a_student_trains_with_its_own_numbers() -> None:
    training = parse_release(minimal(), source="here").training_of("nano")
    assert (training.steps, training.batch_size) == (7, 64)


def test_json_round_trip_and_digest() -> None:
    release = parse_release(minimal(), source="here")
    again = Release.model_validate_json(release.model_dump_json())
    assert again == release
    assert again.digest() == release.digest()
    assert again.digest() != release.model_copy(update={"name": "other"}).digest()


@pytest.mark.parametrize("config", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_is_valid_and_says_what_it_produces(config: Path) -> None:
    load_release(config)
    head = config.read_text(encoding="utf-8")[:600]
    assert all(f"# {word}" in head for word in ("Produces:", "Costs:", "Command:"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stduents": {}}, "config here: stduents: unknown key; remove it or mend its spelling"),
        ({"name": "Not A Name"}, "config here: name: String should match pattern"),
        ({"corpora": {}}, "config here: corpora: Dictionary should have at least 1 item"),
        ({"training": {"corpora": ["speech"], "steps": "many"}}, "training.steps: .*valid integer.*, got 'many'"),
        ({"training": {"corpora": ["speech"]}}, "config here: training.steps: is required and missing"),
        ({"training": {"corpora": ["tv"], "steps": 1}}, "training.corpora names 'tv'; corpora has speech"),
        (
            {"training": {"corpora": ["speech"] * 2, "steps": 9}},
            "training.corpora names 'speech' 2 times; name it once",
        ),
        (
            {"corpora": {"speech": {"path": "x"}}},
            "config here: corpora.speech: `kind` is required and missing; choose one of asvspoof, audioset, folder, "
            "generated, huggingface, iemocap, librilight, librispeech, tfds, voxceleb$",
        ),
        (
            {"teacher": {}},
            "config here: teacher: `kind` is required and missing; choose one of conformer, saved_model, tflite$",
        ),
        (
            {"corpora": {"speech": {"kind": "folder", "path": "~/x"}}},
            "corpora.speech.path '~/x' is neither a folder nor gs://bucket/prefix; write it out",
        ),
        (
            {"corpora": {"speech": {"kind": "tfds", "path": "s3://b/x", "dataset": "savee"}}},
            "corpora.speech.path 's3://b/x' is neither a folder nor gs://bucket/prefix; write it out",
        ),
        *(
            (
                {"corpora": {"speech": {"kind": "folder", "path": "x", key: value}}},
                f"{key} names columns, and there is no table; give csv or jsonl, or leave it out",
            )
            for key, value in (("speaker", "a"), ("split", "a"), ("labels", ["a"]))
        ),
        ({"teacher": {"kind": "oracle"}}, "config here: teacher: .*'oracle'.*'conformer'"),
        ({"teacher": {"kind": "conformer", "layer": 25}}, "layer 25 does not exist in 24 layers"),
        ({"teacher": {"kind": "conformer", "dim": 100}}, "dim 100 is not a multiple of heads 8"),
        (
            {"gate": {"teacher_fraction": 0.9, "min_tasks": 2, "max_size_mb": 1}},
            "gate.min_tasks is 2; there are 1 tasks",
        ),
        ({"workdir": "s3://b/x"}, "workdir 's3://b/x' is neither a folder nor gs://bucket/prefix; write it out"),
        ({"registry": "~/x"}, "registry '~/x' is neither a folder nor gs://bucket/prefix"),
        ({"evaluation": {"penalties": [0.0]}}, r"evaluation.penalties.0: .*greater than 0, got 0.0"),
        ({"students": {"teacher": {"architecture": "nano"}}}, "students.teacher has a name of another model; choose"),
        (
            {"training": {"corpora": ["speech"], "steps": 10, "warmup_steps": 8}},
            "student nano warms up for 8 of 7 steps; use fewer",
        ),
        ({"tasks": {"a": {"corpus": "speech", "label": "x", "metric": "wer"}}}, "tasks.a.metric: .*'accuracy'.*'wer'"),
    ],
)
def test_mistakes_are_told_by_key_and_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_release(minimal(**changes), source="here")
    assert "\n" not in str(caught.value)


def test_specs_cannot_be_changed() -> None:
    teacher = ConformerTeacher(kind="conformer")
    with pytest.raises(ValueError, match="frozen"):
        teacher.dim = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "config .*c.yaml is not valid YAML: "),
        ("- 1\n- 2\n", r"config .*c.yaml holds list, not a mapping; see configs/quickstart.yaml"),
        ("", r"config .*c.yaml holds NoneType, not a mapping"),
        ("name: 2024-13-45\n", r"config .*c.yaml holds a value that cannot be read: month must be in 1..12; quote or"),
        ("a: " + "[" * 20_000, r"config .*c.yaml holds a value that cannot be read: maximum recursion depth exceeded"),
        ("a: " + "1" * 5_000, r"config .*c.yaml holds a value that cannot be read: Exceeds the limit \(4300 digits\)"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        load_release(path)
    assert "\n" not in str(caught.value)


def test_a_missing_config(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read config .*none.yaml: No such file or directory"):
        load_release(tmp_path / "none.yaml")


def test_a_config_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(minimal()), encoding="utf-8")
    assert load_release(path) == parse_release(minimal(), source="here")
