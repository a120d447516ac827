"""screen: which clips are learnt from. Decided from the shards' indexes alone, before any model has run.

Two clips are equal when their samples are: then they have one SHA-256. A clip that equals a test clip of any corpus is
a leak, and of equal clips outside test only the first is learnt from, so that none is in training and in validation.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from trillsson.config import SAMPLE_RATE, Spec, Task, TaskName, Training
from trillsson.datasets import Dataset, open_dataset
from trillsson.digests import SHORT, canonical_json, digest_of
from trillsson.errors import InputError
from trillsson.folders import commit_folder, find_folder
from trillsson.progress import Stopwatch, say
from trillsson.records import IndexedClip
from trillsson.storage import join, open_storage
from trillsson.training.exclusions import EXCLUDED, SCREENING, Counts, Exclusion, Screening, tasks_of
from trillsson.training.labels import Labels
from trillsson.training.pool import is_test, split_columns

SCHEMA_VERSION = 2
_DIGEST = 16
"""Bytes kept of a SHA-256: two of 10^9 clips share them with a chance of 10^-21."""


class ScreenSpec(Spec):
    """What to screen: audio datasets, and what training and the tasks use them for."""

    audio: tuple[str, ...]
    training: Training
    tasks: dict[TaskName, Task]
    workdir: str


class _Seen(NamedTuple):
    """A clip in the order of the corpora, as far as screening goes."""

    corpus: str
    clip: IndexedClip
    digest: bytes
    test: bool
    learnt: bool


def run(spec: ScreenSpec) -> str:
    """Screens the audio and returns the URI of the folder that says so, or finds what an earlier run left.

    Raises:
        InputError: a split is called by an unknown word, no probe could be fitted on the labels of some task, or no
            clip is left to learn from.
        IntegrityError: an index does not match its manifest.
    """
    datasets = _in_order(spec)
    uri = join(open_storage(spec.workdir).uri, "screened", _identity(spec, datasets))
    if found := find_folder(uri):
        return found
    watch = Stopwatch()
    screening, exclusions = screen(spec, datasets)
    with tempfile.TemporaryDirectory(prefix="trillsson-") as folder:
        lines = (canonical_json(exclusion.model_dump(mode="json")) + b"\n" for exclusion in exclusions)
        (Path(folder) / EXCLUDED).write_bytes(b"".join(lines))
        (Path(folder) / SCREENING).write_text(screening.model_dump_json(indent=1), encoding="utf-8")
        stored = commit_folder(uri, Path(folder))
    total = screening.total
    learnt = f"{total.pool} are learnt from or validated on ({total.pool_seconds / 3600:.2f} h)"
    say(f"screen: of {total.clips} clips {learnt}; {total.duplicates} duplicates, {total.leaks} leaks [{watch}]")
    return stored


def screen(spec: ScreenSpec, datasets: Sequence[Dataset]) -> tuple[Screening, list[Exclusion]]:
    """Decides on every clip; see `run`.

    The first pass keeps digests only. The second, which is needed only where some digest came twice, names the clips.
    """
    tallies = {dataset.manifest.corpus: Counter[str]() for dataset in datasets}
    labels = Labels(spec.tasks)
    tested, pool, repeated = set[bytes](), set[bytes](), set[bytes]()
    for seen in _look(spec, datasets):
        labels.add(seen.clip, corpus=seen.corpus)
        tallies[seen.corpus].update(clips=1, samples=seen.clip.samples, test=seen.test)
        if seen.test:
            tested.add(seen.digest)
        elif seen.learnt:
            tallies[seen.corpus].update(pool=1, pool_samples=seen.clip.samples)
            (repeated if seen.digest in pool else pool).add(seen.digest)
    leaked = tested & pool
    exclusions = []
    for seen, of in _equal(_look(spec, datasets), leaked, repeated - leaked) if leaked or repeated else ():
        exclusions.append(Exclusion(key=seen.clip.key, reason="leak" if seen.digest in leaked else "duplicate", of=of))
        tallies[seen.corpus].update({f"{exclusions[-1].reason}s": 1, "pool": -1, "pool_samples": -seen.clip.samples})
    total = _counts(sum(tallies.values(), Counter()))
    if not total.pool:
        corpora = ", ".join(spec.training.corpora)
        equal = ", or equal to one" if total.leaks else ""
        raise InputError(
            f"training.corpora ({corpora}) leave no clip to learn from: every one is a test clip{equal}; add some"
        )
    labels.check()
    screening = Screening(
        corpora=spec.training.corpora,
        tasks=tasks_of(spec.tasks),
        datasets={dataset.manifest.corpus: dataset.id for dataset in datasets},
        counts={corpus: _counts(tally) for corpus, tally in tallies.items()},
        total=total,
    )
    return screening, exclusions


def _counts(tally: Counter[str]) -> Counts:
    told = {name: tally[name] for name in ("clips", "test", "pool", "leaks", "duplicates")}
    seconds = {"seconds": tally["samples"], "pool_seconds": tally["pool_samples"]}
    return Counts(**told, **{name: round(samples / SAMPLE_RATE, 3) for name, samples in seconds.items()})


def _in_order(spec: ScreenSpec) -> list[Dataset]:
    """Opens the datasets: those of the training corpora first, in the config's order, then the others by name."""
    opened: dict[str, Dataset] = {}
    for uri in spec.audio:
        dataset = open_dataset(uri, "audio")
        corpus = dataset.manifest.corpus
        if corpus in opened:
            raise InputError(f"{opened[corpus].uri} and {uri} are both of corpus {corpus!r}; give one")
        opened[corpus] = dataset
    wanted = {f"task {name}": task.corpus for name, task in spec.tasks.items()}
    wanted |= {f"training.corpora[{number}]": corpus for number, corpus in enumerate(spec.training.corpora)}
    for who, corpus in wanted.items():
        if corpus not in opened:
            raise InputError(f"{who} wants corpus {corpus!r}, which none of the audio datasets is of; give it too")
    names = dict.fromkeys((*spec.training.corpora, *sorted(opened)))
    return [opened[corpus] for corpus in names]


def _identity(spec: ScreenSpec, datasets: Sequence[Dataset]) -> str:
    # The one metric that asks for something of the labels: two classes.
    rates = sorted(name for name, task in spec.tasks.items() if task.metric == "equal_error_rate")
    return digest_of(
        {
            "step": "screen",
            "schema_version": SCHEMA_VERSION,
            "datasets": [dataset.id for dataset in datasets],
            "corpora": spec.training.corpora,
            "tasks": tasks_of(spec.tasks),
            "equal_error_rates": rates,
        }
    )[:SHORT]


def _look(spec: ScreenSpec, datasets: Sequence[Dataset]) -> Iterator[_Seen]:
    """Yields every clip; reads the indexes."""
    for dataset in datasets:
        corpus = dataset.manifest.corpus
        columns = split_columns(corpus, spec.tasks)
        trains = corpus in spec.training.corpora
        for clip in dataset.clips():
            test = is_test(clip, columns)
            digest = bytes.fromhex(clip.sha256)[:_DIGEST]
            yield _Seen(corpus, clip, digest, test=test, learnt=trains and not test)


def _equal(clips: Iterable[_Seen], leaked: set[bytes], repeated: set[bytes]) -> Iterator[tuple[_Seen, str]]:
    """Yields the clips that are not learnt from, in order, with the key of the clip that each one equals."""
    first: dict[bytes, str] = {}
    excluded: list[_Seen] = []
    for seen in clips:
        if seen.digest in leaked and (seen.test or seen.learnt):
            # A test clip may come later than the clips that equal it.
            if seen.test:
                first.setdefault(seen.digest, seen.clip.key)
            else:
                excluded.append(seen)
        elif seen.digest in repeated and seen.learnt:
            if seen.digest in first:
                excluded.append(seen)
            first.setdefault(seen.digest, seen.clip.key)
    for seen in excluded:
        yield seen, first[seen.digest]
