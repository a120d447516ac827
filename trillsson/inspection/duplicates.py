"""Clips whose samples are the same: copies within and across datasets, and test clips that are learnt from too.

A clip costs 21 bytes: the first half of its SHA-256 (two of a billion clips agree in it by chance once in 10^20),
its length and whether it is test. Names are looked up afterwards, for the few that are told.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from trillsson.datasets import Dataset
from trillsson.inspection.splits import is_tested, split_told
from trillsson.records import IndexedClip

NAMED = 20
"""Groups of copies, and leaks, that are told by name."""
_NAMED_COPIES = 4


@dataclass(frozen=True)
class NamedClip:
    """A clip, its split in words, and the corpus whose dataset it is in."""

    key: str
    split: str
    corpus: str


@dataclass(frozen=True)
class Group:
    """Clips of the same samples: the first few, and how many there are."""

    clips: tuple[NamedClip, ...]
    count: int


@dataclass(frozen=True)
class Leak:
    """A test clip, and the first clip with the same samples that is learnt from."""

    test: NamedClip
    learnt: NamedClip


@dataclass(frozen=True)
class Duplicates:
    """Clips of the dataset whose samples occur more than once there or in the datasets it was compared with.

    Attributes:
        groups: how many different clips occur more than once.
        copies: clips of the dataset itself beyond the first of each group.
        across: groups that also have a clip in another dataset.
        named: the first groups.
        leaks: test clips of which a group holds a clip that is not in test, of a corpus that is learnt from. Training
            learns from such a clip, also where it has no split.
        named_leaks: the first of them.
    """

    groups: int
    copies: int
    across: int
    named: tuple[Group, ...]
    leaks: int
    named_leaks: tuple[Leak, ...]


class ClipTable:
    """What is kept of every clip of a dataset, in the order of its records.

    Args:
        columns: those that tasks take their split from: a clip that is test in any is test.
    """

    def __init__(self, columns: Iterable[str] = ()) -> None:
        self.columns = tuple(columns)
        self._digests = bytearray()
        self._tests = bytearray()
        self._samples = array("I")

    def add(self, clip: IndexedClip) -> None:
        """Appends a clip."""
        self._digests += bytes.fromhex(clip.sha256[:32])
        self._tests.append(is_tested(clip, self.columns))
        self._samples.append(clip.samples)

    @property
    def digests(self) -> NDArray[np.uint64]:
        """`[clips, 2]`: the first 16 bytes of each clip's SHA-256."""
        return np.frombuffer(bytes(self._digests), np.uint64).reshape(-1, 2)

    @property
    def tests(self) -> NDArray[np.bool_]:
        """`[clips]`: which are test."""
        return np.frombuffer(bytes(self._tests), np.bool_)

    @property
    def samples(self) -> NDArray[np.uint32]:
        """`[clips]`: lengths in samples."""
        return np.frombuffer(self._samples.tobytes(), np.uint32)


def read_table(dataset: Dataset, columns: Iterable[str]) -> ClipTable:
    """Reads the indexes of an audio dataset into a table; `columns` as there."""
    table = ClipTable(columns)
    for clip in dataset.clips():
        table.add(clip)
    return table


def find_duplicates(
    datasets: Sequence[Dataset], tables: Sequence[ClipTable], *, learnt_from: Sequence[str] | None = None
) -> Duplicates:
    """Finds the clips of the first dataset that occur more than once in it and in the others.

    Args:
        datasets: the dataset, then those it is compared with.
        tables: their tables, in the same order.
        learnt_from: the corpora that are learnt from; None: all.
    """
    rows, sizes = _repeated(np.concatenate([table.digests for table in tables]))
    if not sizes.size:
        return Duplicates(groups=0, copies=0, across=0, named=(), leaks=0, named_leaks=())
    starts = np.cumsum(sizes) - sizes
    test = np.concatenate([table.tests for table in tables])[rows]
    trains = [learnt_from is None or dataset.manifest.corpus in learnt_from for dataset in datasets]
    learnt = ~test & np.repeat(trains, [table.tests.size for table in tables])[rows]
    mine = np.add.reduceat(rows < tables[0].tests.size, starts, dtype=np.intp)
    held = mine > 0
    leaking = held & np.logical_or.reduceat(learnt, starts)
    leaked = np.flatnonzero(test & np.repeat(leaking, sizes))
    group_of = np.repeat(np.arange(sizes.size), sizes)

    def members(group: int) -> slice:
        return slice(starts[group], starts[group] + sizes[group])

    def leak(place: int) -> tuple[int, int]:
        group = members(int(group_of[place]))
        return int(rows[place]), int(rows[group][learnt[group]][0])

    kept = np.flatnonzero(held)
    groups = {group: rows[members(group)][:_NAMED_COPIES].tolist() for group in _first(kept, rows[starts[kept]])}
    pairs = [leak(place) for place in _first(leaked, rows[leaked])]
    names = _named([row for each in (*groups.values(), *pairs) for row in each], datasets, tables=tables)
    return Duplicates(
        groups=int(held.sum()),
        copies=int(mine[held].sum() - held.sum()),
        across=int((sizes > mine)[held].sum()),
        named=tuple(Group(tuple(names[row] for row in told), int(sizes[group])) for group, told in groups.items()),
        leaks=leaked.size,
        named_leaks=tuple(Leak(names[tested], names[learnt]) for tested, learnt in pairs),
    )


def _repeated(digests: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the rows of digests that occur more than once, those of one digest together and rising; and how many
    rows each digest has.
    """
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable, so rows of one digest stay in order
    ordered = digests[order]
    new = np.ones(len(order), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    sizes = np.diff(np.flatnonzero(np.r_[new, True]))
    return order[np.repeat(sizes > 1, sizes)], sizes[sizes > 1]


def _first(places: NDArray[np.intp], rows: NDArray[np.intp]) -> list[int]:
    """Returns those places that are told by name: the ones whose rows come first."""
    told: list[int] = places[np.argsort(rows)][:NAMED].tolist()
    return told


def _named(rows: Iterable[int], datasets: Sequence[Dataset], *, tables: Sequence[ClipTable]) -> dict[int, NamedClip]:
    """Looks up the clips of rows in the indexes they came from; each index is read once."""
    ends = list(accumulate(table.tests.size for table in tables))
    wanted: dict[int, list[int]] = {}
    for row in rows:
        wanted.setdefault(bisect_right(ends, row), []).append(row)
    names = {}
    for place, held in wanted.items():
        dataset, table = datasets[place], tables[place]
        start = ends[place] - table.tests.size
        for row, clip in dataset.pick(row - start for row in held):
            names[start + row] = NamedClip(clip.key, split_told(clip, table.columns), dataset.manifest.corpus)
    return names
