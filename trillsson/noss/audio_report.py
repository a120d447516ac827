"""What the report says of the audio: what came in, was refused, is not learnt from, and got no embedding."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trillsson.config import SAMPLE_RATE, Task
from trillsson.errors import InputError
from trillsson.noss.evaluate import embeddings_of
from trillsson.noss.results import ModelResult, in_order, the_teacher
from trillsson.pairs import DatasetPair
from trillsson.training.exclusions import Exclusion, Reason, Screened
from trillsson.training.pool import is_test, split_columns

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
        no_target: other clips not learnt from, because the teacher gave no embedding of them.
        named: the first leaks and duplicates.
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
    no_target: int
    named: tuple[Exclusion, ...]


@dataclass(frozen=True)
class ModelRejects:
    """Clips of one corpus that one model gave no embedding of, by reason."""

    model: str
    corpus: str
    rejects: Mapping[str, int]


def read_audio(
    pairs: Sequence[DatasetPair], screened: Screened, *, corpora: Sequence[str], tasks: Mapping[str, Task]
) -> tuple[CorpusAudio, ...]:
    """Puts the manifests and the screening together, a corpus a row, in the order of the datasets.

    Args:
        pairs: the audio and the teacher's embeddings of it.
        screened: the screening of that audio.
        corpora: the training corpora.
        tasks: the tasks.

    Raises:
        InputError: other datasets were screened, or for other uses.
        IntegrityError: an index does not match its manifest.
    """
    screened.check([pair.audio for pair in pairs], corpora=corpora, tasks=tasks)
    return tuple(_corpus_audio(pair, screened, columns=split_columns(pair.corpus, tasks)) for pair in pairs)


def embedding_rejects(results: Sequence[ModelResult], pairs: Sequence[DatasetPair]) -> tuple[ModelRejects, ...]:
    """Returns who gave no embedding of what, where there is anything: of the teacher in all corpora it embedded.

    Args:
        results: every model that was evaluated.
        pairs: the audio and the teacher's embeddings of it.

    Raises:
        InputError: the results are not those of one teacher and others, or the embeddings are not the teacher's.
    """
    teacher = the_teacher(results)
    for pair in pairs:
        if teacher.provenance.get(embeddings_of(pair.corpus), pair.embeddings.id) != pair.embeddings.id:
            raise InputError(
                f"{pair.embeddings.uri} is not what {teacher.name} was evaluated on; give its own embeddings as targets"
            )
    targets = {pair.corpus: pair.embeddings.manifest.rejects for pair in pairs}
    return tuple(
        ModelRejects(result.name, corpus, rejects)
        for result in in_order(results)
        for corpus, rejects in (targets if result is teacher else result.rejects).items()
        if rejects
    )


def audio_lines(corpora: Sequence[CorpusAudio]) -> list[str]:
    """Returns a line a corpus for a terminal."""
    return [_line(corpus) for corpus in corpora]


def reject_lines(rejected: Sequence[ModelRejects]) -> list[str]:
    """Returns a line for a terminal for every model and corpus, or one that says that there are no rejects."""
    lines = [f"embeddings of {each.corpus} by {each.model}: {_counted(each.rejects)}" for each in rejected]
    return lines or ["embeddings: 0 rejects"]


def _corpus_audio(pair: DatasetPair, screened: Screened, *, columns: Sequence[str]) -> CorpusAudio:
    manifest = pair.audio.manifest
    counts = screened.screening.counts[manifest.corpus]
    named: dict[Reason, list[Exclusion]] = {"leak": [], "duplicate": []}
    for exclusion in screened.exclusions:
        if exclusion.key.startswith(f"{manifest.corpus}/") and len(named[exclusion.reason]) < _NAMED:
            named[exclusion.reason].append(exclusion)
    lengths = list(_without_target(pair, screened, columns=columns))
    return CorpusAudio(
        name=manifest.corpus,
        sources=manifest.sources,
        lost=manifest.lost,
        clips=counts.clips,
        hours=counts.seconds / 3600,
        test=counts.test,
        pool=counts.pool - len(lengths),
        pool_hours=(counts.pool_seconds - sum(lengths) / SAMPLE_RATE) / 3600,
        rejects=manifest.rejects,
        leaks=counts.leaks,
        duplicates=counts.duplicates,
        no_target=len(lengths),
        named=(*named["leak"], *named["duplicate"]),
    )


def _without_target(pair: DatasetPair, screened: Screened, *, columns: Sequence[str]) -> Iterator[int]:
    """Yields the length of each clip that would be learnt from if the teacher had given an embedding of it."""
    for shards in pair.shards if pair.corpus in screened.screening.corpora else ():
        rejected = {reject.key for reject in shards.embeddings.rejects()}
        for clip in shards.audio.clips() if rejected else ():
            if clip.key in rejected and clip.key not in screened.keys and not is_test(clip, columns):
                yield clip.samples


def _line(corpus: CorpusAudio) -> str:
    heard = f"{corpus.clips} clips, {corpus.hours:.2f} h; {_counted(corpus.rejects)}"
    not_learnt = f"{corpus.leaks} leaks, {corpus.duplicates} duplicates, {corpus.no_target} without a target"
    return f"audio {corpus.name}: {heard}, {not_learnt}; {corpus.pool} learnt from or validated on"


def _counted(rejects: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in rejects.items())
    return f"{sum(rejects.values())} rejects" + (f" ({reasons})" if reasons else "")
