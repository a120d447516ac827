"""What the report says of the audio: per corpus what came in, what was refused, and what is not learnt from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trillsson.datasets import Dataset
from trillsson.training.exclusions import Exclusion, Reason, Screened

_NAMED = 5
"""Leaks, and duplicates, that are named for each corpus; `excluded.jsonl` names all."""


@dataclass(frozen=True)
class CorpusAudio:
    """One corpus in numbers.

    Attributes:
        name: the corpus.
        sources: recordings that came in.
        lost: those of them that gave no clip.
        clips: what they gave.
        hours: of all clips.
        test: clips that some task tests on.
        pool: clips that are learnt from.
        pool_hours: of these.
        rejects: reason -> items that could not be used.
        leaks: clips not learnt from because they equal a test clip.
        duplicates: clips not learnt from because they equal another that is.
        named: the first of either.
    """

    name: str
    sources: int
    lost: int
    clips: int
    hours: float
    test: int
    pool: int
    pool_hours: float
    rejects: Mapping[str, int]
    leaks: int
    duplicates: int
    named: tuple[Exclusion, ...]


def read_audio(datasets: Sequence[Dataset], screened: Screened) -> tuple[CorpusAudio, ...]:
    """Puts the manifests and the screening together, a corpus a row, in the order of the datasets.

    Raises:
        InputError: other datasets were screened.
    """
    screened.check(datasets)
    return tuple(_corpus_audio(dataset, screened) for dataset in datasets)


def audio_lines(corpora: Sequence[CorpusAudio]) -> list[str]:
    """Returns a line a corpus for a terminal."""
    return [_line(corpus) for corpus in corpora]


def _corpus_audio(dataset: Dataset, screened: Screened) -> CorpusAudio:
    manifest = dataset.manifest
    counts = screened.screening.counts[manifest.corpus]
    named: dict[Reason, list[Exclusion]] = {"leak": [], "duplicate": []}
    for exclusion in screened.exclusions:
        if exclusion.key.startswith(f"{manifest.corpus}/") and len(named[exclusion.reason]) < _NAMED:
            named[exclusion.reason].append(exclusion)
    return CorpusAudio(
        name=manifest.corpus,
        sources=manifest.sources,
        lost=manifest.lost,
        clips=counts.clips,
        hours=counts.seconds / 3600,
        test=counts.test,
        pool=counts.pool,
        pool_hours=counts.pool_seconds / 3600,
        rejects=manifest.rejects,
        leaks=counts.leaks,
        duplicates=counts.duplicates,
        named=(*named["leak"], *named["duplicate"]),
    )


def _line(corpus: CorpusAudio) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in corpus.rejects.items())
    rejects = f"{sum(corpus.rejects.values())} rejects" + (f" ({reasons})" if reasons else "")
    heard = f"{corpus.clips} clips, {corpus.hours:.2f} h; {rejects}"
    return f"audio {corpus.name}: {heard}, {corpus.leaks} leaks, {corpus.duplicates} duplicates"
