"""prepare: a corpus of audio files becomes an audio dataset of mono 16 kHz clips.

One Beam element is one planned shard: a worker decodes its files, cuts clips of at most 30 s, writes the shard and
commits it. Only plans cross a shuffle, never audio.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from itertools import chain
from pathlib import Path

from pipelines.beam.ahead import ahead
from pipelines.beam.corpora.folder import AudioFile, list_files
from pipelines.beam.plan import PlannedShard, finished_shards, plan_shards
from pipelines.beam.runner import LOCAL_RUNNER
from pipelines.beam.shards import make_shards
from trillsson.audio import CLIP_SAMPLES, SHORTEST_SAMPLES, RejectError, clip_starts, decode
from trillsson.config import SAMPLE_RATE, FolderCorpus, Name, Spec
from trillsson.datasets import Reject, Shard, ShardSummary, Source, commit_dataset, commit_shard, shard_path
from trillsson.digests import digest_of
from trillsson.errors import InputError
from trillsson.records import SCHEMA_VERSION, AudioRecord, encode_audio, write_shard
from trillsson.storage import join, open_storage

FILES_PER_SHARD = 256
_DECODING_THREADS = 2
_FILES_AHEAD = 8


class PrepareSpec(Spec):
    """What to prepare, and below which folder the audio dataset goes."""

    name: Name
    corpus: FolderCorpus
    workdir: str
    beam_options: tuple[str, ...] = LOCAL_RUNNER


@dataclass(frozen=True)
class PlannedFile:
    """One file of a plan, with the digest of its bytes."""

    key: str
    etag: str
    file: AudioFile

    @cached_property
    def source(self) -> Source:
        """Identity of the file: its bytes and its labels."""
        return Source(key=self.key, identity=digest_of({"etag": self.etag, "file": self.file.model_dump()}))


def run(spec: PrepareSpec) -> str:
    """Prepares a corpus and returns the URI of the audio dataset's manifest; computes only what is missing.

    Raises:
        InputError: the corpus cannot be read, or more of it was rejected than `max_reject_fraction` allows.
        TransientError: a write failed; what is done is kept.
    """
    root = join(open_storage(spec.workdir).uri, "audio", spec.name)
    planned = _plan(spec, root)
    maker = PrepareMaker(root, open_storage(spec.corpus.path).uri)
    shards = make_shards(planned, root, maker=maker, description=f"prepare {spec.name}", options=spec.beam_options)
    _refuse_rejects(spec, shards)
    # Where the folder lies, and how many rejects are borne, change nothing in the records.
    told = spec.corpus.model_dump(mode="json", exclude={"path", "max_reject_fraction"})
    content = {"corpus": spec.name, "spec": told, "schema_version": SCHEMA_VERSION}
    return commit_dataset(root, shards, kind="audio", corpus=spec.name, content=content)


@dataclass(frozen=True)
class PrepareMaker:
    """Makes shards of a dataset root from the files of a corpus folder."""

    root: str
    corpus: str

    def setup(self) -> None:
        """Nothing to load."""

    def make(self, planned: PlannedShard[PlannedFile]) -> Shard:
        """Decodes the files of one planned shard, writes its records, and commits it."""
        return prepare_shard(planned, self.root, corpus=self.corpus)


def prepare_shard(planned: PlannedShard[PlannedFile], root: str, *, corpus: str) -> Shard:
    """Decodes the files of one planned shard, writes its records, and commits it.

    Args:
        planned: the shard's id and files.
        root: where the dataset is.
        corpus: URI of the folder that the files are in.
    """
    storage = open_storage(root)
    rejects: list[Reject] = []
    seconds: list[float] = []

    def records() -> Iterator[bytes]:
        decoded = ahead(
            lambda item: list(_clips(item, corpus)), planned.items, threads=_DECODING_THREADS, most=_FILES_AHEAD
        )
        for outcome in chain.from_iterable(decoded):
            if isinstance(outcome, Reject):
                rejects.append(outcome)
            else:
                seconds.append(outcome.audio.size / SAMPLE_RATE)
                yield encode_audio(outcome)

    written = write_shard(storage, shard_path(planned.id), records())
    summary = ShardSummary(
        id=planned.id,
        sha256=written,
        items=len(seconds) + len(rejects),
        records=len(seconds),
        seconds=round(sum(seconds), 3),
    )
    shard = Shard(summary=summary, sources=tuple(item.source for item in planned.items), rejects=tuple(rejects))
    commit_shard(storage, shard)
    return shard


def _plan(spec: PrepareSpec, root: str) -> Sequence[PlannedShard[PlannedFile]]:
    folder = open_storage(spec.corpus.path)
    files = list_files(spec.corpus)
    with ThreadPoolExecutor(_DECODING_THREADS) as pool:
        etags = pool.map(folder.etag, [file.path for file in files])
        items = [
            PlannedFile(key=f"{spec.name}/{file.path}", etag=etag, file=file)
            for file, etag in zip(files, etags, strict=True)
        ]
    identity = digest_of({"step": "prepare", "schema_version": SCHEMA_VERSION})
    return plan_shards(items, finished_shards(open_storage(root)), identity=identity, per_shard=FILES_PER_SHARD)


def _clips(item: PlannedFile, corpus: str) -> Iterator[AudioRecord | Reject]:
    """Cuts one file into clips. A file that cannot be decoded is one reject."""
    data = open_storage(corpus).read(item.file.path)
    if data is None:
        raise InputError(f"{join(corpus, item.file.path)} was deleted while the corpus was read; run again")
    try:
        audio = decode(BytesIO(data))
    except RejectError as error:
        yield Reject(key=f"{item.key}#0", stage="prepare", reason=error.reason, detail=error.detail)
        return
    for start in clip_starts(audio.size):
        clip = audio[start : start + CLIP_SAMPLES]
        key = f"{item.key}#{start}"
        if clip.size < SHORTEST_SAMPLES:
            detail = f"{clip.size / SAMPLE_RATE:.3f} s, at least {SHORTEST_SAMPLES / SAMPLE_RATE} s are needed"
            yield Reject(key=key, stage="prepare", reason="too_short", detail=detail)
        else:
            file = item.file
            yield AudioRecord(key=key, audio=clip, speaker=file.speaker, split=file.split, labels=file.labels)


def _refuse_rejects(spec: PrepareSpec, shards: Sequence[Shard]) -> None:
    rejects = [reject for shard in shards for reject in shard.rejects]
    items = sum(shard.summary.items for shard in shards)
    if len(rejects) == items:
        rule = "so nothing is left"
    elif len(rejects) > spec.corpus.max_reject_fraction * items:
        rule = f"more than max_reject_fraction {spec.corpus.max_reject_fraction:g}"
    else:
        return
    first = rejects[0]
    name = Path(first.key).as_posix().rpartition("#")[0]
    raise InputError(
        f"corpus {spec.name!r}: {len(rejects)} of {items} items were rejected, {rule}; first {name}: "
        f"{first.reason} ({first.detail}); mend or remove such files"
        + ("" if len(rejects) == items else f", or raise corpora.{spec.name}.max_reject_fraction")
    )
