"""AudioSet's two published tables of its classes, and which classes a selection of names and ids means."""

import csv
import difflib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.beam.corpora.lists import read_text
from trillsson.errors import InputError
from trillsson.storage import join


@dataclass(frozen=True)
class Ontology:
    """The classes of AudioSet.

    Attributes:
        where: URI of the table, for errors.
        names: id (`/m/09x0r`) -> display name (`Speech`).
        children: id -> ids right below it; empty where the table does not tell.
    """

    where: str
    names: Mapping[str, str]
    children: Mapping[str, Sequence[str]]

    def select(self, labels: Iterable[str]) -> frozenset[str]:
        """Returns the ids that the names and ids in `labels` mean, with all that are below them.

        Raises:
            InputError: there is no such name or id.
        """
        chosen: set[str] = set()
        waiting = [found for label in labels for found in self._find(label)]
        while waiting:
            one = waiting.pop()
            if one not in chosen:
                chosen.add(one)
                waiting.extend(self.children.get(one, ()))
        return frozenset(chosen)

    def _find(self, label: str) -> Sequence[str]:
        found = [one for one, name in self.names.items() if label in (one, name)]
        if not found:
            known = [*self.names.values(), *self.names]
            close = ", ".join(repr(name) for name in difflib.get_close_matches(label, known, 3, cutoff=0.5))
            hint = f"did you mean {close}?" if close else "use one of its names or ids"
            raise InputError(f"{self.where} has no class {label!r}; {hint}")
        return found


def read_ontology(root: str, path: str) -> Ontology:
    """Reads `ontology.json`: a list of objects with `id`, `name` and `child_ids`.

    Raises:
        InputError: it does not exist, or is not that.
    """
    where, text = _text(root, path, key="ontology")
    try:
        classes = json.loads(text)
        names = {str(one["id"]): str(one["name"]) for one in classes}
        children = {str(one["id"]): tuple(map(str, one["child_ids"])) for one in classes}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{where} is no list of objects with id, name and child_ids: {error!r}; get it again"
        ) from error
    return Ontology(where, names, children)


def read_class_labels(root: str, path: str) -> Ontology:
    """Reads `class_labels_indices.csv`, with columns `index`, `mid` and `display_name`: names, and nothing below them.

    Raises:
        InputError: it does not exist, or has other columns.
    """
    where, text = _text(root, path, key="class_labels")
    try:
        header, *rows = [row for row in csv.reader(io.StringIO(text, newline=None)) if row] or [[]]
    except csv.Error as error:  # Such as a cell of over 131,072 characters, where a quote was lost.
        raise InputError(f"{where} is not a CSV file: {error}; get it again") from error
    if not {"mid", "display_name"} <= set(header):
        raise InputError(
            f"{where} has columns {', '.join(header) or 'none'}, not index, mid, display_name; get it again"
        )
    at, named = header.index("mid"), header.index("display_name")
    for row in rows:
        if len(row) != len(header) or not (row[at] and row[named]):
            raise InputError(f"{where} has a row {','.join(row)[:80]!r}, not an index, an id and a name; get it again")
    return Ontology(where, {row[at]: row[named] for row in rows}, {})


def _text(root: str, path: str, *, key: str) -> tuple[str, str]:
    text = read_text(root, path)
    if text is None:
        raise InputError(f"{join(root, path)} does not exist; correct `{key}` or leave it out")
    return join(root, path), text
