"""What `trillsson corpora` prints: every corpus that a config can name, how to get it, and its keys there."""

import json
import textwrap
from collections.abc import Mapping
from importlib import import_module
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python
from tabulate import tabulate

from pipelines.beam.corpora import READERS
from pipelines.beam.corpora.reader import About
from trillsson.config import Corpus, Spec
from trillsson.errors import InputError

KINDS = sorted([*READERS, "generated"])
"""All that a config can name: `generated` is made, then read as a folder."""

_WIDTH = 110
_COLUMNS = {"kind": 11, "corpus": 16, "size": 22, "licence": 18, "get": 44}
_WORDS: Mapping[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", NoneType: "null"}
_PLACEHOLDERS: Mapping[Any, Any] = {str: "CHANGE-ME", int: 1, float: 1.0, bool: True}


def list_corpora() -> str:
    """Returns a table of every kind of corpus: what it is, how large, under which licence, and how to get it."""
    rows = []
    for kind in KINDS:
        about = about_of(kind)
        cells = (kind, about.name, about.size, about.licence, about.get)
        rows.append([wrapped(cell, width) for cell, width in zip(cells, _COLUMNS.values(), strict=True)])
    table = tabulate(rows, list(_COLUMNS), disable_numparse=True)
    return f"{table}\n\n`trillsson corpora KIND` shows the expected layout, every config key, and an example."


def describe(kind: str) -> str:
    """Returns all that is known of one kind of corpus: its facts, layout, config keys, and an example in YAML.

    Raises:
        InputError: there is no such kind.
    """
    about = about_of(kind)
    told = {"kind": kind, "get": about.get, "licence": about.licence, "size": about.size}
    facts = [[name, wrapped(fact, _WIDTH - 10)] for name, fact in told.items()]
    fields = spec_of(kind).model_fields
    keys = [
        [name, wrapped(words(field.annotation), 26), wrapped(default(field), 24), wrapped(field.description or "", 40)]
        for name, field in fields.items()
        if name != "kind"
    ]
    return "\n".join(
        [
            about.name,
            "",
            tabulate(facts, tablefmt="plain", disable_numparse=True),
            "",
            "layout below `path`" if "path" in fields else "layout",
            textwrap.indent(about.layout, "    "),
            "",
            tabulate(keys, ["key", "value", "default", "meaning"], disable_numparse=True),
            "",
            f"example: what `trillsson prepare FILE --corpus {kind}` needs; of a release, see configs/quickstart.yaml",
            "",
            example(kind),
        ]
    )


def example(kind: str) -> str:
    """Returns YAML that `prepare` can read, with one corpus of a kind; the values are to be replaced by one's own.

    Of the corpus, only required keys are in it, each with the first of its field's `examples`, or else a placeholder of
    its type.

    Raises:
        InputError: there is no such kind.
    """
    fields = spec_of(kind).model_fields
    keys = {name: sample(name, kind, field) for name, field in fields.items() if field.is_required()}
    text: str = yaml.safe_dump({"workdir": "work", "corpora": {kind: keys}}, sort_keys=False)
    return text.rstrip()


def about_of(kind: str) -> About:
    """Returns what the reader of a kind says of its corpus.

    Raises:
        InputError: there is no such kind.
    """
    if kind not in KINDS:
        raise InputError(f"there is no corpus kind {kind!r}; choose one of {', '.join(KINDS)}")
    about: About = import_module(f"pipelines.beam.corpora.{kind}").ABOUT
    return about


def spec_of(kind: str) -> type[Spec]:
    """Returns the class of the specs of a kind.

    Raises:
        InputError: there is no such kind.
    """
    about_of(kind)  # Raises.
    union, *_ = get_args(Corpus)
    specs: Mapping[str, type[Spec]] = {
        word: spec for spec in get_args(union) for word in get_args(spec.model_fields["kind"].annotation)
    }
    return specs[kind]


def wrapped(text: str, width: int) -> str:
    """Breaks the lines of a text between words only: an address that is longer than that stays whole."""
    lines = text.splitlines()
    return "\n".join(textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)


def words(annotation: Any) -> str:
    """Says what a key takes in a reader's words: `list of text`, `train | test`, `number or null`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return words(arguments[0])
    if origin is Literal:
        return " | ".join(str(choice) for choice in arguments)
    if origin in (Union, UnionType):
        return " or ".join(words(choice) for choice in arguments)
    if origin in (tuple, list, frozenset, set):
        return f"list of {words(arguments[0])}"
    return "mapping" if origin is dict else _WORDS.get(annotation, "mapping")


def default(field: FieldInfo) -> str:
    """Says what a key is where a config does not give it, in YAML."""
    if field.is_required():
        return "(required)"
    default = to_jsonable_python(field.get_default(call_default_factory=True))
    return default if isinstance(default, str) else json.dumps(default)


def sample(name: str, kind: str, field: FieldInfo) -> Any:
    """Returns a value for a required key in the example of a kind."""
    if field.examples:
        return to_jsonable_python(field.examples[0])
    if name == "path":
        return f"/data/{kind}"
    if get_origin(field.annotation) is Literal:
        return get_args(field.annotation)[0]
    return _PLACEHOLDERS.get(field.annotation, "CHANGE-ME")
