"""What a mistake in a config is told: its key, what may stand there, and what was found."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, get_args

from trillsson.config.corpora import Corpus
from trillsson.config.models import Teacher, TFLiteInput

Mistake = Mapping[str, Any]
"""One of pydantic's errors, as `ValidationError.errors` returns them."""

_ALLOWED = {
    "bool": "give true or false, not {value}",
    "dict": "give a mapping, not {value}",
    "extra_forbidden": "unknown key; remove it or mend its spelling",
    "finite_number": "give a finite number, not {value}",
    "float": "give a number, not {value}",
    "greater_than": "give a number above {gt:g}, not {value}",
    "greater_than_equal": "give at least {ge:g}, not {value}",
    "int": "give a whole number, not {value}",
    "invalid_key": "unknown key; remove it",
    "less_than": "give a number below {lt:g}, not {value}",
    "less_than_equal": "give at most {le:g}, not {value}",
    "literal_error": "give {expected}, not {value}",
    "missing": "missing",
    "model": "give a mapping, not {value}",
    "string": "give text, not {value}",
    "string_too_short": "give text that is not empty",
    "too_short": "give {min_length} or more, not {value}",
    "tuple": "give a list, not {value}",
}
"""Pydantic's name of a mistake, or the word that it begins with -> what is told."""

_LONGEST = 60


def tell(mistakes: Sequence[Mistake], raw: Mapping[Any, Any], *, source: str) -> str:
    """Returns one line: the first of several mistakes, or all keys that are missing where nothing else is wrong.

    Args:
        mistakes: what pydantic found in the config; not empty.
        raw: the config.
        source: what to call it.
    """
    # A list of which nothing can be used counts as too short, too.
    mistakes = [each for each in mistakes if each["type"] != "too_short" or not each["input"]]
    # A misspelt key is also a missing one; the spelling is what has to be mended.
    ranks = {"extra_forbidden": 0, "missing": 2}
    first = min(mistakes, key=lambda each: ranks.get(each["type"], 1))
    if first["type"] == "missing":
        keys = ", ".join(_key(each["loc"], raw) for each in mistakes)
        return f"config {source} lacks {keys}; see {_examples([each['loc'] for each in mistakes])}"
    told = ": ".join(filter(None, [_key(first["loc"], raw), explain(first)]))
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return f"config {source}: {told}{more}"


def explain(mistake: Mistake) -> str:
    """Says what may stand at the place of a mistake, and what was found."""
    kind, value, known = mistake["type"], mistake["input"], mistake.get("ctx", {})
    if kind == "value_error":  # One of our own.
        return str(known["error"]) + ("" if isinstance(value, Mapping) else f", not {_shown(value)}")
    if kind == "union_tag_not_found":
        return f"kind is missing; choose one of {', '.join(_kinds(mistake['loc']))}"
    if kind == "union_tag_invalid":
        return f"kind {_shown(value['kind'])} is unknown; choose one of {', '.join(_kinds(mistake['loc']))}"
    words = _ALLOWED.get(kind) or _ALLOWED.get(kind.partition("_")[0], "{value} cannot stand here")
    said = words.format(value=_shown(value), **known)
    if kind == "string_type" and isinstance(value, bool | int | float | date):
        return f"{said}; put it in quotes"
    return f"{said}; write [{_shown(value)}]" if kind == "tuple_type" and isinstance(value, str) else said


def _examples(locs: Sequence[Sequence[str | int]]) -> str:
    """Says where keys that are missing are shown."""
    places = ["configs/quickstart.yaml"] if any(loc[0] != "corpora" for loc in locs) else []
    if kinds := {loc[2] if len(loc) > 2 else "KIND" for loc in locs if loc[0] == "corpora"}:
        places.append(f"`trillsson corpora {'KIND' if len(kinds) > 1 else kinds.pop()}`")
    return " and ".join(places)


def _key(loc: Sequence[str | int], raw: object) -> str:
    """Joins the parts of a key, without the kinds that pydantic puts among them."""
    words = []
    for part in loc[:-1] if loc[-1:] == ("[key]",) else loc:
        if isinstance(raw, Mapping) and part not in raw and part == raw.get("kind"):
            continue
        words.append(str(part) if str(part).isprintable() else repr(part))
        named = raw.get(part) if isinstance(raw, Mapping) else None
        raw = raw[int(part)] if isinstance(raw, list | tuple) else named
    return ".".join(words)


def _shown(value: object) -> str:
    """Writes a value as a config has it; in short, where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping) and value:
        return "a mapping"
    text = str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _kinds(loc: Sequence[str | int]) -> Sequence[str]:
    """Returns which kinds there are of what stands at a key."""
    choices = {("corpora", 2): Corpus, ("teacher", 1): Teacher, ("teacher", 3): TFLiteInput}
    union, *_ = get_args(choices[str(loc[0]), len(loc)])
    return sorted(kind for spec in get_args(union) for kind in get_args(spec.model_fields["kind"].annotation))
