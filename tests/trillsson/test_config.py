"""The release config: what it accepts, and what each mistake is told."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from trillsson.config import (
    ConformerTeacher,
    Corpus,
    Framing,
    Gate,
    Preparation,
    Release,
    Spec,
    Student,
    Task,
    Teacher,
    load_preparation,
    load_release,
    parse_preparation,
    parse_release,
)
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
        ({"training": {"corpora": ["speech"]}}, "config here lacks training.steps; see configs/quickstart.yaml$"),
        ({"training": {"corpora": ["tv"], "steps": 1}}, "training.corpora names 'tv'; corpora has speech"),
        (
            {"training": {"corpora": ["speech"] * 2, "steps": 9}},
            "training.corpora names 'speech' 2 times; name it once",
        ),
        (
            {"corpora": {"speech": {"path": "x"}}},
            "config here: corpora.speech: kind is missing; choose one of asvspoof, audioset, folder, "
            "generated, huggingface, iemocap, librilight, librispeech, tfds, voxceleb$",
        ),
        (
            {"teacher": {}},
            "config here: teacher: kind is missing; choose one of conformer, saved_model, tflite$",
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
        (
            {"teacher": {"kind": "oracle"}},
            "config here: teacher: kind 'oracle' is unknown; choose one of conformer, saved_model, tflite$",
        ),
        (
            {"teacher": {"kind": "tflite", "path": "x", "dim": 1, "tensor": "y", "input": {}}},
            "config here: teacher.input: kind is missing; choose one of logmel, waveform$",
        ),
        ({"teacher": {"kind": "conformer", "layer": 25}}, "layer 25 does not exist in 24 layers"),
        ({"teacher": {"kind": "conformer", "dim": 100}}, "dim 100 is not a multiple of heads 8"),
        (
            {"gate": {"teacher_fraction": 0.9, "min_tasks": 2, "max_size_mb": 1}},
            "^config here: gate.min_tasks is 2; there are 1 tasks$",
        ),
        ({"workdir": "s3://b/x"}, "workdir 's3://b/x' is neither a folder nor gs://bucket/prefix; write it out"),
        ({"workdir": "a\0b"}, r"workdir 'a\\x00b' is neither a folder nor gs://bucket/prefix; write it out"),
        ({"registry": "~/x"}, "registry '~/x' is neither a folder nor gs://bucket/prefix"),
        ({"evaluation": {"penalties": [0.0]}}, "evaluation.penalties.0: give a number above 0, not 0.0$"),
        ({"students": {"teacher": {"architecture": "nano"}}}, "students.teacher has a name of another model; choose"),
        (
            {"training": {"corpora": ["speech"], "steps": 10, "warmup_steps": 8}},
            "student nano warms up for 8 of 7 steps; use fewer",
        ),
        (
            {"tasks": {"a": {"corpus": "speech", "label": "x", "metric": "wer"}}},
            "tasks.a.metric: give 'accuracy', 'balanced_accuracy' or 'equal_error_rate', not 'wer'$",
        ),
    ],
)
def test_mistakes_are_told_by_key_and_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_release(minimal(**changes), source="here")
    assert "\n" not in str(caught.value)


def put(key: str, value: Any) -> dict[str, Any]:
    """Returns a config with a value at a key, below which nothing was before."""
    config: dict[str, Any] = minimal(gate={"teacher_fraction": 0.9, "min_tasks": 1, "max_size_mb": 1})
    *above, last = key.split(".")
    at = config
    for part in above:
        at = at.setdefault(part, {})
    at[last] = value
    return config


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("workdir", None, "give text, not null"),
        ("workdir", 7, "give text, not 7; put it in quotes"),
        ("workdir", date(2024, 1, 31), "give text, not 2024-01-31; put it in quotes"),
        ("workdir", "", "give text that is not empty"),
        ("registry", {"a": 1}, "give text, not a mapping"),
        ("name", "Not A Name", "give a name of up to 63 lower-case letters, digits, - and _, not 'Not A Name'"),
        ("tasks.a-b", {}, "give a name of up to 63 lower-case letters, digits and _, not 'a-b' (and 2 more)"),
        ("corpora", {}, "give 1 or more, not {}"),
        ("corpora", "speech", "give a mapping, not 'speech'"),
        ("corpora.speech", ["x"], "give a mapping, not ['x']"),
        ("corpora.speech.include", "*.wav", "give a list, not '*.wav'; write ['*.wav']"),
        ("corpora.speech.include", 1, "give a list, not 1"),
        ("corpora.speech.max_reject_fraction", 1, "give a number below 1, not 1"),
        ("corpora.speech.max_reject_fraction", "few", "give a number, not 'few'"),
        ("training.steps", "many", "give a whole number, not 'many'"),
        ("training.steps", 1.5, "give a whole number, not 1.5"),
        ("training.steps", 0, "give at least 1, not 0"),
        ("training.corpora", [], "give 1 or more, not []"),
        ("training.learning_rate", float("inf"), "give a finite number, not inf"),
        ("framing", 3, "give a mapping, not 3"),
        ("framing.tail", "x" * 99, f"give 'pad' or 'drop', not '{'x' * 59}..."),
        ("framing.odd\nkey", 1, "unknown key; remove it or mend its spelling"),
    ],
)
def test_a_mistake_is_told_what_may_stand_in_its_place(key: str, value: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_release(put(key, value), source="here")
    shown = key.replace("odd\nkey", "'odd\\nkey'")
    assert str(caught.value) == f"config here: {shown}: {told}"


@pytest.mark.parametrize(
    ("corpus", "told"),
    [
        ({"kind": "audioset", "cut": "perhaps"}, "cut: give true or false, not 'perhaps'"),
        ({"kind": "generated", "scale": 5}, "scale: give at most 4, not 5"),
        ({"kind": "iemocap", "test_sessions": [9]}, "test_sessions.0: give at most 5, not 9"),
        ({"kind": "librilight", "subsets": ["a/b"]}, "subsets.0: give the name of a folder, without /, not 'a/b'"),
        (
            {"kind": "librispeech", "subsets": ["clean"]},
            "subsets.0: give the name of a subset, such as train-clean-100, not 'clean'",
        ),
        (
            {"kind": "tfds", "dataset": "savee:1"},
            "dataset: give a data set's name, such as crema_d, name/config or name:1.0.0, not 'savee:1'",
        ),
    ],
)
def test_a_mistake_in_a_corpus(corpus: dict[str, Any], told: str) -> None:
    path = {} if corpus["kind"] == "generated" else {"path": "x"}
    with pytest.raises(InputError) as caught:
        parse_release(minimal(corpora={"speech": {**path, **corpus}}), source="here")
    assert str(caught.value) == f"config here: corpora.speech.{told}"


WRONG: list[Any] = [None, True, -1, 1.5, float("nan"), 10**400, "", "x", "\ud800", [], [None], {}, {1: 2}, {"a": 1}]


def keys_of(spec: type[Spec]) -> Iterator[str]:
    """Yields every key of a spec and of the specs in it."""
    for name, field in spec.model_fields.items():
        yield name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Spec):
            yield from (f"{name}.{key}" for key in keys_of(field.annotation))


def configs_with_mistakes() -> Iterator[dict[str, Any]]:
    """Yields configs that hold, at each key there is, each of several values, most of which cannot stand there."""
    kinds = {"corpora.speech": get_args(Corpus)[0], "teacher": get_args(Teacher)[0]}
    specs = [(place, spec) for place, union in kinds.items() for spec in get_args(union)]
    for value in WRONG:
        for key in (*keys_of(Release), *(f"gate.{key}" for key in keys_of(Gate))):
            yield put(key, value)
        for name, spec in (("students.a", Student), ("tasks.a", Task)):
            yield from (put(f"{name}.{key}", value) for key in keys_of(spec))
        for place, spec in specs:
            for key in keys_of(spec):
                kind = {} if key == "kind" else {"kind": get_args(spec.model_fields["kind"].annotation)[0]}
                yield put(place, {**kind, key: value})


def test_no_mistake_is_told_in_the_words_of_the_validator() -> None:
    told = set()
    for config in configs_with_mistakes():
        try:
            parse_release(config, source="here")
        except InputError as error:
            told.add(str(error))
    assert len(told) > 500
    foreign = r"\n|Input|should|\bvalid\b|Value error|required|Unable|pydantic|cannot stand here"
    assert [line for line in told if re.search(foreign, line)] == []


def test_all_missing_keys_are_told_at_once() -> None:
    message = "config here lacks name, registry, teacher, students, training, tasks; see configs/quickstart.yaml"
    with pytest.raises(InputError, match=f"^{message}$"):
        parse_release({"workdir": "work", "corpora": {"speech": {"kind": "generated"}}}, source="here")
    config = minimal(corpora={"speech": {"kind": "tfds"}}, training={"corpora": ["speech"]})
    keys = "corpora.speech.path, corpora.speech.dataset, training.steps"
    places = "configs/quickstart.yaml and `trillsson corpora tfds`"
    with pytest.raises(InputError, match=f"^config here lacks {keys}; see {places}$"):
        parse_release(config, source="here")


def test_to_prepare_workdir_and_corpora_are_enough() -> None:
    config = {"workdir": "work", "corpora": {"speech": {"kind": "folder", "path": "audio"}}}
    preparation = parse_preparation(config, source="here")
    assert type(preparation) is Preparation
    assert preparation.model_dump(include={"workdir", "beam"}) == {"workdir": "work", "beam": ()}
    assert parse_preparation(preparation.model_dump(mode="json"), source="here") == preparation
    assert parse_preparation(minimal(), source="here") == parse_release(minimal(), source="here")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, " lacks workdir, corpora; see configs/quickstart.yaml and `trillsson corpora KIND`"),
        ({"workdir": "w"}, " lacks corpora; see `trillsson corpora KIND`"),
        (
            {"workdir": "w", "corpora": {"a": {"kind": "tfds"}}},
            r" lacks .*path, .*dataset; see `trillsson corpora tfds`",
        ),
        ({"workdir": "~/w", "corpora": {"a": {"kind": "generated"}}}, ": workdir '~/w' is neither a folder nor gs://"),
        # What is there must be right, whether it is needed or not.
        ({"workdir": "w", "corpora": {"a": {"kind": "generated"}}, "tasks": 1}, ": tasks: give a mapping, not 1"),
        ({"workdir": "w", "corpora": {"a": {"kind": "generated"}}, "studnets": {}}, ": studnets: unknown key; remove"),
        (
            {"workdir": "w", "corpora": {"a": {"kind": "generated"}}, "training": {"steps": 1}},
            " lacks training.corpora",
        ),
        (minimal(training={"corpora": ["tv"], "steps": 1}), "training.corpora names 'tv'; corpora has speech"),
    ],
)
def test_mistakes_in_what_is_to_be_prepared(config: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_preparation(config, source="here")


def test_specs_cannot_be_changed() -> None:
    teacher = ConformerTeacher(kind="conformer")
    with pytest.raises(ValueError, match="frozen"):
        teacher.dim = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", "config .*c.yaml is not valid YAML: "),
        ("- 1\n- 2\n", r"config .*c.yaml holds list, not a mapping; see configs/quickstart.yaml"),
        ("", r"config .*c.yaml holds nothing, not a mapping"),
        (
            "a: 1\nb:\n  c: 1\n  c: 1\n",
            r"config .*c.yaml is not valid YAML: key 'c' stands twice in .* line 4, column 3",
        ),
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
    assert load_release(path) == load_preparation(path) == parse_release(minimal(), source="here")


def test_merged_keys_may_stand_again(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    one, two = "one: &one {kind: folder, path: a}", "two: &two {<<: *one, path: b}"
    path.write_text(f"workdir: w\ncorpora:\n  {one}\n  {two}\n  three: {{<<: *two, path: c}}\n", encoding="utf-8")
    corpora = load_preparation(path).model_dump()["corpora"]
    assert {name: corpus["path"] for name, corpus in corpora.items()} == {"one": "a", "two": "b", "three": "c"}
