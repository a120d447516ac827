"""The catalogue of corpora: complete for every reader, exact for one, and quick."""

import re
import subprocess
import sys
from dataclasses import fields
from typing import Annotated, Literal, get_args

import pytest
import yaml
from click.testing import CliRunner
from pydantic import Field

from pipelines.beam.corpora import READERS, open_reader
from pipelines.beam.corpora.catalogue import (
    KINDS,
    about_of,
    default,
    describe,
    example,
    list_corpora,
    sample,
    spec_of,
    words,
)
from pipelines.beam.corpora.reader import About
from pipelines.cli import main
from trillsson.config import Corpus, parse_preparation
from trillsson.config.corpora import CorpusSpec
from trillsson.errors import InputError

HEAVY = (
    "tensorflow", "keras", "apache_beam", "pyarrow", "kfp", "tensorflow_datasets", "huggingface_hub",
    "google.cloud.storage",
)  # fmt: skip
VOXCELEB = """\
VoxCeleb1

kind     voxceleb
get      the audio, dev and test, by registration with VGG, Oxford; there, openly, iden_split.txt and
         vox1_meta.csv
licence  metadata CC BY 4.0; the speech is of videos whose rights remain with their owners
size     352 h, 153,516 utterances of 1,251 speakers, 40 GB

layout below `path`
    wav/<idXXXXX>/<video>/<00001>.wav (or dev/wav/... and test/wav/...: any folders above <idXXXXX>)
    iden_split.txt (names both archives: without the test archive's 4,874 files, set max_reject_fraction: 0.04)
    vox1_meta.csv (optional: gender and nationality)

key                  value         default         meaning
-------------------  ------------  --------------  -------------------------------------
path                 text          (required)      folder or gs:// prefix of the corpus
max_reject_fraction  number        0.0             prepare fails above this share of
                                                   rejects
split_file           text or null  iden_split.txt  the official split, relative to path;
                                                   null: files have no split

example: what `trillsson prepare FILE --corpus voxceleb` needs; of a release, see configs/quickstart.yaml

workdir: work
corpora:
  voxceleb:
    kind: voxceleb
    path: /data/voxceleb"""
EVERY_READER = pytest.mark.parametrize("kind", READERS)
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def test_every_kind_that_a_config_can_name_is_there() -> None:
    kinds = {kind for spec in get_args(get_args(Corpus)[0]) for kind in get_args(spec.model_fields["kind"].annotation)}
    assert sorted(kinds) == KINDS


@EVERY_KIND
def test_every_kind_says_what_its_corpus_is(kind: str) -> None:
    about = about_of(kind)
    assert isinstance(about, About)
    for field in fields(about):
        value = getattr(about, field.name)
        assert value.strip() == value != "", field.name


@EVERY_KIND
def test_every_example_is_enough_to_prepare(kind: str) -> None:
    spec = parse_preparation(yaml.safe_load(example(kind)), source="here").corpora[kind]
    assert type(spec) is spec_of(kind)
    assert spec.kind == kind


@EVERY_READER
def test_every_reader_reads_the_spec_of_its_kind(kind: str) -> None:
    spec = parse_preparation(yaml.safe_load(example(kind)), source="here").corpora[kind]
    assert isinstance(spec, CorpusSpec)
    assert type(open_reader(spec)).__name__ == READERS[kind]


@EVERY_KIND
def test_every_key_is_described(kind: str) -> None:
    shown = " ".join(describe(kind).split())
    for name, field in spec_of(kind).model_fields.items():
        if name != "kind":
            assert field.description, name
            assert f" {name} " in shown


def test_the_list_has_every_corpus_in_order() -> None:
    lines = list_corpora().splitlines()
    assert lines[0].split() == ["kind", "corpus", "size", "licence", "get"]
    assert [line.split()[0] for line in lines if line[:1].isalpha()] == ["kind", *KINDS]
    assert max(map(len, lines)) <= 120


@EVERY_KIND
def test_no_word_is_broken(kind: str) -> None:
    """Such as an address, which could not be copied."""
    about = about_of(kind)
    told = {word for text in (about.get, about.licence, about.size) for word in text.split()}
    for shown in (list_corpora(), describe(kind)):
        assert told <= set(shown.split())


def test_what_is_told_of_the_generated_corpus() -> None:
    told = describe("generated")
    assert "\nlayout\n    <workdir>/generated/" in told
    assert told.endswith("\n\nworkdir: work\ncorpora:\n  generated:\n    kind: generated")


def test_one_corpus_in_full() -> None:
    assert describe("voxceleb") == VOXCELEB


def test_a_sample_of_every_type_of_key() -> None:
    class Odd(CorpusSpec):
        kind: Literal["odd"]
        subset: str = Field(examples=["clean"], description="one of its subsets")
        mode: Literal["fast", "slow"]
        tries: int
        columns: dict[str, str] = Field(default_factory=dict)
        either: int | str = 3
        ratio: Annotated[float, Field(gt=0)] | None = None

    shown = {
        name: (words(field.annotation), default(field), sample(name, "odd", field))
        for name, field in Odd.model_fields.items()
    }
    assert shown["path"] == ("text", "(required)", "/data/odd")
    assert shown["subset"] == ("text", "(required)", "clean")
    assert shown["mode"] == ("fast | slow", "(required)", "fast")
    assert shown["tries"] == ("whole number", "(required)", 1)
    assert shown["columns"][:2] == ("mapping", "{}")
    assert shown["either"][:2] == ("whole number or text", "3")
    assert shown["ratio"][:2] == ("number or null", "null")


def test_an_unknown_kind() -> None:
    message = f"there is no corpus kind 'tv'; choose one of {', '.join(KINDS)}"
    for ask in (describe, example, about_of, spec_of):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            ask("tv")


def test_the_command() -> None:
    listed = CliRunner().invoke(main, ["corpora"])
    assert (listed.exit_code, listed.output) == (0, f"{list_corpora()}\n")
    described = CliRunner().invoke(main, ["corpora", "voxceleb"])
    assert (described.exit_code, described.output) == (0, f"{VOXCELEB}\n")
    unknown = CliRunner().invoke(main, ["corpora", "tv"])
    assert unknown.exit_code == 2
    assert unknown.output.startswith("trillsson: there is no corpus kind 'tv'; choose one of asvspoof, ")


@pytest.mark.parametrize("arguments", [["corpora"], ["corpora", "folder"]])
def test_the_command_loads_nothing_heavy(arguments: list[str]) -> None:
    script = f"import sys; from pipelines.cli import main; main({arguments}, standalone_mode=False); "
    script += f"print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
