"""What `trillsson corpora` prints: every corpus that can be read, how to get it, and its keys in a config."""

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
from trillsson.config import Corpus
from trillsson.config.corpora import CorpusSpec
from trillsson.errors import InputError

_WIDTH = 110
_WORDS: Mapping[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", NoneType: "null"}
_PLACEHOLDERS: Mapping[Any, Any] = {str: "CHANGE-ME", int: 1, float: 1.0, bool: True}


def list_corpora() -> str:
    """Returns a table of every kind of corpus: what it is, how large, under which licence, and how to get it."""
    rows = []
    for kind in sorted(READERS):
        about = about_of(kind)
        rows.append([kind, about.name, about.size, about.licence, about.get])
    table = tabulate(
        rows, ["kind", "corpus", "size", "licence", "get"], disable_numparse=True, maxcolwidths=[None, 16, 22, 20, 36]
    )
    return f"{table}\n\n`trillsson corpora KIND` shows the expected layout, every config key, and an example."


def describe(kind: str) -> str:
    """Returns all that is known of one kind of corpus: its facts, layout, config keys, and an example in YAML.

    Raises:
        InputError: there is no such kind.
    """
    about = about_of(kind)
    facts = [["kind", kind], ["get", about.get], ["licence", about.licence], ["size", about.size]]
    keys = [
        [name, words(field.annotation), default(field), field.description]
        for name, field in spec_of(kind).model_fields.items()
        if name != "kind"
    ]
    return "\n".join(
        [
            about.name,
            "",
            tabulate(facts, tablefmt="plain", disable_numparse=True, maxcolwidths=[None, _WIDTH - 10]),
            "",
            "layout below `path`",
            textwrap.indent(about.layout, "    "),
            "",
            tabulate(
                keys, ["key", "value", "default", "meaning"], disable_numparse=True, maxcolwidths=[None, 26, 24, 40]
            ),
            "",
            "example",
            "",
            example(kind),
        ]
    )


def example(kind: str) -> str:
    """Returns YAML with what a config must say of a corpus of one kind; the values are to be replaced by one's own.

    Only required keys are in it, each with the first of its field's `examples`, or else a placeholder of its type.

    Raises:
        InputError: there is no such kind.
    """
    fields = spec_of(kind).model_fields
    keys = {name: sample(name, kind, field) for name, field in fields.items() if field.is_required()}
    text: str = yaml.safe_dump({"corpora": {kind: keys}}, sort_keys=False)
    return text.rstrip()


def about_of(kind: str) -> About:
    """Returns what the reader of a kind says of its corpus.

    Raises:
        InputError: there is no such kind.
    """
    if kind not in READERS:
        raise InputError(f"there is no corpus kind {kind!r}; choose one of {', '.join(sorted(READERS))}")
    about: About = import_module(f"pipelines.beam.corpora.{kind}").ABOUT
    return about


def spec_of(kind: str) -> type[CorpusSpec]:
    """Returns the class of the specs of a kind.

    Raises:
        InputError: there is no such kind.
    """
    about_of(kind)  # Raises for kinds that have a spec and no reader, too.
    union, *_ = get_args(Corpus)
    specs: Mapping[str, type[CorpusSpec]] = {
        word: spec for spec in get_args(union) for word in get_args(spec.model_fields["kind"].annotation)
    }
    return specs[kind]


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
