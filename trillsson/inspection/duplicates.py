"""Clips whose samples are the same: copies within and across datasets, and test clips that are learnt from too.

A clip costs 21 bytes: the first half of its SHA-256 (two of a billion clips agree in it by chance once in 10^20),
its length and its split. Names are looked up afterwards, for the few that are told.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from trillsson.datasets import Dataset
from trillsson.inspection.splits import SPLITS, TEST, split_index
from trillsson.records import IndexedClip

NAMED = 20
"""Groups of copies, and leaks, that are told by name."""
_NAMED_COPIES = 4


@dataclass(frozen=True)
class NamedClip:
    """A clip, its split as this page counts it, and the corpus whose dataset it is in."""

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
    """A test clip, and the first clip with the same samples that is not in test."""

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
        leaks: test clips of which a group holds a clip that is not in test. Training learns from such a clip, also
            where it has no split.
        named_leaks: the first of them.
    """

    groups: int
    copies: int
    across: int
    named: tuple[Group, ...]
    leaks: int
    named_leaks: tuple[Leak, ...]


class ClipTable:
    """What is kept of every clip of a dataset, in the order of its records."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._splits = bytearray()
        self._samples = array("I")

    def add(self, clip: IndexedClip, split: int) -> None:
        """Appends a clip."""
        self._digests += bytes.fromhex(clip.sha256[:32])
        self._splits.append(split)
        self._samples.append(clip.samples)

    @property
    def digests(self) -> NDArray[np.uint64]:
        """`[clips, 2]`: the first 16 bytes of each clip's SHA-256."""
        return np.frombuffer(bytes(self._digests), np.uint64).reshape(-1, 2)

    @property
    def splits(self) -> NDArray[np.uint8]:
        """`[clips]`: places in `SPLITS`."""
        return np.frombuffer(bytes(self._splits), np.uint8)

    @property
    def samples(self) -> NDArray[np.uint32]:
        """`[clips]`: lengths in samples."""
        return np.frombuffer(self._samples.tobytes(), np.uint32)


def read_table(dataset: Dataset) -> ClipTable:
    """Reads the indexes of an audio dataset into a table."""
    table = ClipTable()
    for shard in dataset.shards:
        for clip in shard.clips():
            table.add(clip, split_index(clip.split))
    return table


def find_duplicates(datasets: Sequence[Dataset], tables: Sequence[ClipTable]) -> Duplicates:
    """Finds the clips of the first dataset that occur more than once in it and in the others.

    Args:
        datasets: the dataset, then those it is compared with.
        tables: their tables, in the same order.
    """
    rows, sizes = _repeated(np.concatenate([table.digests for table in tables]))
    if not sizes.size:
        return Duplicates(groups=0, copies=0, across=0, named=(), leaks=0, named_leaks=())
    starts = np.cumsum(sizes) - sizes
    test = np.concatenate([table.splits for table in tables])[rows] == TEST
    mine = np.add.reduceat(rows < tables[0].splits.size, starts, dtype=np.intp)
    tests = np.add.reduceat(test, starts, dtype=np.intp)
    held = mine > 0
    leaking = held & (tests > 0) & (tests < sizes)
    leaked = np.flatnonzero(test & np.repeat(leaking, sizes))
    group_of = np.repeat(np.arange(sizes.size), sizes)
    naming = _Names(datasets, tables)

    def members(group: int) -> slice:
        return slice(starts[group], starts[group] + sizes[group])

    def leak(place: int) -> Leak:
        group = members(int(group_of[place]))
        return Leak(naming.name(int(rows[place])), naming.name(int(rows[group][~test[group]][0])))

    kept = np.flatnonzero(held)
    named = kept[np.argsort(rows[starts[kept]])][:NAMED].tolist()
    return Duplicates(
        groups=int(held.sum()),
        copies=int(mine[held].sum() - held.sum()),
        across=int((sizes > mine)[held].sum()),
        named=tuple(
            Group(tuple(map(naming.name, rows[members(group)][:_NAMED_COPIES].tolist())), int(sizes[group]))
            for group in named
        ),
        leaks=leaked.size,
        named_leaks=tuple(leak(place) for place in leaked[np.argsort(rows[leaked])][:NAMED].tolist()),
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


class _Names:
    """Looks up the clips of rows in the indexes they came from."""

    def __init__(self, datasets: Sequence[Dataset], tables: Sequence[ClipTable]) -> None:
        self._datasets = datasets
        self._tables = tables
        self._ends = np.cumsum([table.splits.size for table in tables])

    def name(self, row: int) -> NamedClip:
        number = int(np.searchsorted(self._ends, row, side="right"))
        dataset, table = self._datasets[number], self._tables[number]
        within = row - (int(self._ends[number - 1]) if number else 0)
        ends = np.cumsum([shard.summary.records for shard in dataset.shards])
        place = int(np.searchsorted(ends, within, side="right"))
        offset = within - (int(ends[place - 1]) if place else 0)
        clip = next(islice(dataset.shards[place].clips(), offset, None))
        return NamedClip(clip.key, SPLITS[table.splits[within]], dataset.manifest.corpus)
