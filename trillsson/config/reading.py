"""Reads a release, or what `prepare` needs of one, from a YAML file. Unknown keys are refused.

An error names the file, the key, the value and what is allowed.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from trillsson.config.base import Spec
from trillsson.config.mistakes import tell
from trillsson.config.release import Preparation, Release
from trillsson.errors import InputError

S = TypeVar("S", bound=Spec)


def load_release(path: Path) -> Release:
    """Reads and validates a release config.

    Raises:
        InputError: the file is missing, is not YAML, or does not fit; names the file, the key and the value.
    """
    return parse_release(_read(path), source=str(path))


def load_preparation(path: Path) -> Preparation:
    """Reads and validates a config of which only corpora are to be prepared: see `parse_preparation`.

    Raises:
        InputError: as `load_release`.
    """
    return parse_preparation(_read(path), source=str(path))


def load_uses(path: Path) -> Preparation:
    """Reads what a config uses its corpora for: a release, or one of which only corpora are to be prepared.

    With `tasks` or `training`, which say that, it must be a whole release.

    Raises:
        InputError: as `load_release`.
    """
    raw = _read(path)
    parse = parse_release if raw.keys() & {"tasks", "training"} else parse_preparation
    return parse(raw, source=str(path))


def parse_release(raw: Mapping[Any, Any], *, source: str) -> Release:
    """Validates a parsed config; `source` names it in errors.

    Raises:
        InputError: a key that is unknown or missing, a wrong type or a value out of range.
    """
    return _parse(Release, raw, source=source)


def parse_preparation(raw: Mapping[Any, Any], *, source: str) -> Preparation:
    """Validates a parsed config of which only corpora are to be prepared.

    Of a release's keys, those that `Preparation` does not have may be missing; what is there must be right.

    Raises:
        InputError: as `parse_release`.
    """
    later = Release.model_fields.keys() - Preparation.model_fields.keys()
    try:
        return Release.model_validate(raw)
    except ValidationError as error:
        spared = {(key,) for key in later}
        mistakes = [
            each for each in error.errors(include_url=False) if each["type"] != "missing" or each["loc"] not in spared
        ]
        if mistakes:
            raise InputError(tell(mistakes, raw, source=source)) from error
    return _parse(Preparation, {key: value for key, value in raw.items() if key not in later}, source=source)


def _parse(kind: type[S], raw: Mapping[Any, Any], *, source: str) -> S:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise InputError(tell(error.errors(include_url=False), raw, source=source)) from error


def _read(path: Path) -> Mapping[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"cannot read config {path}: {reason}; name an existing YAML file") from error
    try:
        raw = yaml.load(text, _Loader)  # noqa: S506  # a safe one
    except yaml.YAMLError as error:
        where = re.sub(r"\s+", " ", str(error))
        raise InputError(f"config {path} is not valid YAML: {where}") from error
    except (ValueError, RecursionError) as error:  # A date that is none, a number of too many digits, deep nesting.
        reason = re.sub(r"\s+", " ", str(error))
        raise InputError(f"config {path} holds a value that cannot be read: {reason}; quote or mend it") from error
    if not isinstance(raw, Mapping):
        found = "nothing" if raw is None else type(raw).__name__
        raise InputError(f"config {path} holds {found}, not a mapping; see configs/quickstart.yaml")
    return raw


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML's own loader drops the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return node
