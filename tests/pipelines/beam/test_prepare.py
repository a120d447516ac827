"""prepare: what becomes of good files, of bad ones, of a growing corpus and of a run that was killed."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.beam import plan, prepare, prepare_shard
from pipelines.beam.corpora.folder import FolderReader
from pipelines.beam.corpora.reader import Item
from pipelines.beam.plan import Ticket, plan_shards
from pipelines.beam.prepare import PrepareSpec, run
from pipelines.beam.shards import Work
from trillsson.audio import CLIP_SAMPLES, to_pcm16
from trillsson.config import FolderCorpus
from trillsson.datasets import Dataset, open_dataset
from trillsson.errors import InputError, TransientError
from trillsson.records import AudioRecord, decode_audio
from trillsson.storage import LocalStorage, open_storage
from trillsson.tfrecords import read_tfrecords

RefuseWork = Callable[..., None]
EditCsv = Callable[[Callable[[list[dict[str, str]]], None]], None]


def spec_of(corpus: FolderCorpus, workdir: Path, **changes: object) -> PrepareSpec:
    return PrepareSpec(name="tones", corpus=corpus.model_copy(update=changes), workdir=str(workdir))


def records_of(dataset: Dataset, cache: Path) -> list[AudioRecord]:
    shards = (read_tfrecords(shard.fetch(cache)) for shard in dataset.shards)
    return [decode_audio(data) for shard in shards for data in shard]


def contents(folder: Path) -> dict[str, bytes]:
    """Maps every file below a folder to its bytes; hidden drafts are no files, plans are no data."""
    storage = LocalStorage(folder)
    return {path: storage.read(path) or b"" for path in storage.list() if "/plans/" not in path}


def plain(corpus: FolderCorpus) -> FolderCorpus:
    return FolderCorpus(kind="folder", path=corpus.path)


def test_a_folder_becomes_an_audio_dataset(tones: FolderCorpus, tmp_path: Path) -> None:
    dataset = open_dataset(run(spec_of(tones, tmp_path / "work")), "audio")
    records = records_of(dataset, tmp_path)
    manifest = dataset.manifest
    assert (manifest.items, manifest.records, manifest.rejects) == (24, 24, {})
    assert manifest.seconds == pytest.approx(sum(record.audio.size for record in records) / 16_000, abs=1e-3)
    assert [record.key for record in records[:2]] == ["tones/ann/00.wav#0", "tones/ann/04.wav#0"]
    assert (records[0].speaker, records[0].split) == ("ann", "train")
    assert records[0].labels == {"speaker": "ann", "split": "train", "pitch": "low"}


def test_the_samples_are_those_of_the_file(tones: FolderCorpus, tmp_path: Path) -> None:
    dataset = open_dataset(run(spec_of(tones, tmp_path / "work")), "audio")
    wanted, _ = soundfile.read(Path(tones.path) / "ann/00.wav", dtype="float32")
    np.testing.assert_array_equal(records_of(dataset, tmp_path)[0].audio, wanted)


def test_the_same_corpus_elsewhere_gives_the_same_bytes(tones: FolderCorpus, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tones.path, copy)
    run(spec_of(tones, tmp_path / "one"))
    run(spec_of(tones, tmp_path / "two", path=str(copy)))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_second_run_makes_nothing(
    tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuse_work: RefuseWork
) -> None:
    first = run(spec_of(tones, tmp_path / "work"))
    monkeypatch.setattr(prepare, "make_shards", refuse_work)
    assert run(spec_of(tones, tmp_path / "work")) == first


def test_new_files_make_new_shards_and_leave_the_old(tones: FolderCorpus, tmp_path: Path) -> None:
    corpus = plain(tones)
    old = open_dataset(run(spec_of(corpus, tmp_path / "work")), "audio")
    before = contents(tmp_path / "work")
    soundfile.write(Path(tones.path) / "ann/000-first-by-name.wav", np.full(16_000, 0.1), 16_000)
    new = open_dataset(run(spec_of(corpus, tmp_path / "work")), "audio")
    assert new.manifest.records == 25
    assert {shard.id for shard in old.manifest.shards} < {shard.id for shard in new.manifest.shards}
    assert before.items() <= contents(tmp_path / "work").items()
    assert open_dataset(old.uri, "audio").manifest == old.manifest


def test_a_changed_file_changes_its_shard_only(
    tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "plan_shards", partial(plan_shards, most_items=8))
    old = open_dataset(run(spec_of(plain(tones), tmp_path / "work")), "audio")
    soundfile.write(Path(tones.path) / "ann/00.wav", np.full(16_000, 0.1), 16_000)
    new = open_dataset(run(spec_of(plain(tones), tmp_path / "work")), "audio")
    assert [a.id == b.id for a, b in zip(old.manifest.shards, new.manifest.shards, strict=True)] == [False, True, True]


def test_touched_files_give_the_same_dataset(tones: FolderCorpus, tmp_path: Path) -> None:
    old = open_dataset(run(spec_of(tones, tmp_path / "work")), "audio")
    for path in Path(tones.path).rglob("*.wav"):
        os.utime(path, ns=(1, 1))
    new = open_dataset(run(spec_of(tones, tmp_path / "work")), "audio")
    assert (new.id, new.manifest.records) == (old.id, 24)
    assert run(spec_of(tones, tmp_path / "work")) == new.uri


def change_silently(path: Path) -> None:
    """Changes a file's bytes, to what they never were before, and neither its size nor its time."""
    state, data = path.stat(), bytearray(path.read_bytes())
    data[1_000] = (data[1_000] + 1) % 256
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_file_of_the_same_size_is_seen_to_have_changed_by_its_time(tones: FolderCorpus, tmp_path: Path) -> None:
    old = open_dataset(run(spec_of(tones, tmp_path / "work")), "audio")
    path = Path(tones.path) / "ann/00.wav"
    change_silently(path)
    assert run(spec_of(tones, tmp_path / "work")) == old.uri  # nobody could tell
    path.touch()
    new = open_dataset(run(spec_of(tones, tmp_path / "work")), "audio")
    assert new.id != old.id
    assert run(spec_of(tones, tmp_path / "work")) == new.uri


def test_rehash_sees_what_neither_size_nor_time_tell(
    tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "plan_shards", partial(plan_shards, most_items=8))
    spec = spec_of(tones, tmp_path / "work")
    rehashing = spec.model_copy(update={"rehash": True})
    old = open_dataset(run(spec), "audio")
    assert run(rehashing) == old.uri
    for _ in range(3):
        change_silently(Path(tones.path) / "ann/00.wav")
        new = open_dataset(run(rehashing), "audio")
        kept = {shard.id for shard in old.manifest.shards} & {shard.id for shard in new.manifest.shards}
        assert (new.id != old.id, len(kept)) == (True, 2)
        wanted, _ = soundfile.read(Path(tones.path) / "ann/00.wav", dtype="float32")
        np.testing.assert_array_equal(records_of(new, tmp_path)[0].audio, wanted)
        assert run(spec) == new.uri  # the stale shard is not taken again
        old = new
    (Path(tones.path) / "ann/00.wav").touch()
    touched = open_dataset(run(spec), "audio")
    assert touched.id == new.id


def test_rehash_that_was_killed_does_not_bring_the_old_back(
    tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tones, tmp_path / "work")
    run(spec)
    change_silently(Path(tones.path) / "ann/00.wav")
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "make_shards", None)
        with pytest.raises(TypeError):  # it dies after the mark was set, before anything was made
            run(spec.model_copy(update={"rehash": True}))
    wanted, _ = soundfile.read(Path(tones.path) / "ann/00.wav", dtype="float32")
    found = records_of(open_dataset(run(spec), "audio"), tmp_path)
    np.testing.assert_array_equal(found[0].audio, wanted)


def test_a_removed_file_is_seen(tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "plan_shards", partial(plan_shards, most_items=8))
    run(spec_of(plain(tones), tmp_path / "work"))
    (Path(tones.path) / "ann/00.wav").unlink()
    manifest = open_dataset(run(spec_of(plain(tones), tmp_path / "work")), "audio").manifest
    assert (manifest.records, sorted(shard.records for shard in manifest.shards)) == (23, [7, 8, 8])


def test_the_index_tells_all_but_the_samples(tones: FolderCorpus, tmp_path: Path) -> None:
    dataset = open_dataset(run(spec_of(tones, tmp_path / "work")), "audio")
    (shard,) = dataset.shards
    records = records_of(dataset, tmp_path)
    for clip, record in zip(shard.clips(), records, strict=True):
        told = (clip.key, clip.speaker, clip.split, dict(clip.labels), clip.samples)
        assert told == (record.key, record.speaker, record.split, dict(record.labels), record.audio.size)
        assert clip.sha256 == hashlib.sha256(to_pcm16(record.audio)).hexdigest()


def test_no_plan_is_left_behind(tones: FolderCorpus, tmp_path: Path) -> None:
    run(spec_of(tones, tmp_path / "work"))
    assert {path.split("/")[2] for path in contents(tmp_path / "work")} == {"shards", "manifests"}


def test_two_recordings_of_one_name(tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice(FolderReader):
        def items(self) -> Iterator[Item]:
            yield from [*super().items()] * 2

    monkeypatch.setattr(prepare, "open_reader", Twice)
    message = r"^corpus 'tones': 2 recordings are called 'ann/00\.wav'; rename or remove all but one$"
    with pytest.raises(InputError, match=message):
        run(spec_of(tones, tmp_path / "work"))


@pytest.mark.parametrize("name", [b"new\nline.wav", b"\xff.wav", "line\u2028.wav".encode()])
def test_a_name_that_cannot_be_printed_is_a_reject(tones: FolderCorpus, tmp_path: Path, name: bytes) -> None:
    (Path(os.fsdecode(os.fsencode(tones.path) + b"/" + name))).touch()
    borne = plain(tones).model_copy(update={"max_reject_fraction": 0.1})
    uri = run(spec_of(borne, tmp_path / "work"))
    (reject,) = open_dataset(uri, "audio").rejects()
    assert reject.reason == "bad_name"
    assert reject.key in (r"tones/new\nline.wav#0", r"tones/\udcff.wav#0", r"tones/line\u2028.wav#0")
    assert reject.detail == "its name holds control characters or is not UTF-8; rename it"
    assert run(spec_of(borne, tmp_path / "work")) == uri
    with pytest.raises(
        InputError, match=r"^corpus 'tones': 1 of 25 items .* first tones/.*: bad_name \(its name holds"
    ):
        run(spec_of(plain(tones), tmp_path / "work"))


def test_names_in_other_scripts_are_read(tones: FolderCorpus, tmp_path: Path) -> None:
    """Persian joins with U+200C, French sets off with U+00A0: neither is printable by Python's lights."""
    names = ["می\u200cخواهم.wav", "à\u00a0moi.wav"]
    for name in names:
        shutil.copy(Path(tones.path) / "ann/00.wav", Path(tones.path) / name)
    dataset = open_dataset(run(spec_of(plain(tones), tmp_path / "work")), "audio")
    assert {f"tones/{name}#0" for name in names} < {clip.key for clip in dataset.clips()}


def test_a_corpus_that_changes_meanwhile(tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changes_first(planned: Sequence[Ticket], work: Work, *, weights: Mapping[str, float]) -> None:
        os.utime(Path(tones.path) / "ann/00.wav", ns=(1, 1))
        monkeypatch.undo()
        run(spec_of(tones, tmp_path / "work"))  # a launcher beside this one, which sees the other time

    monkeypatch.setattr(prepare, "make_shards", changes_first)
    with pytest.raises(TransientError, match=r"^corpus 'tones' changed while it was prepared; run again$"):
        run(spec_of(tones, tmp_path / "work"))


def test_rejects_that_are_known_before_fail_before_any_work(
    tones: FolderCorpus, edit_csv: EditCsv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_csv(lambda rows: rows.append({**rows[0], "path": "ann/99.wav"}))
    monkeypatch.setattr(prepare, "make_shards", None)
    message = (
        r"^corpus 'tones': 1 of 25 items were rejected, more than max_reject_fraction 0; first tones/ann/99\.wav: "
        r"missing \(labels\.csv has a row for it\); mend or remove such files, or raise corpora\.tones\."
    )
    with pytest.raises(InputError, match=message):
        run(spec_of(tones, tmp_path / "work"))


def test_sources_items_and_records_are_reconciled(tones: FolderCorpus, edit_csv: EditCsv, tmp_path: Path) -> None:
    edit_csv(lambda rows: rows.append({**rows[0], "path": "ann/99.wav"}))
    soundfile.write(Path(tones.path) / "ann/00.wav", np.full(CLIP_SAMPLES + 20_000, 0.25), 16_000)
    BAD_FILES["undecodable"](Path(tones.path) / "bob/01.flac")
    dataset = open_dataset(run(spec_of(tones, tmp_path / "work", max_reject_fraction=0.1)), "audio")
    manifest = dataset.manifest
    assert (manifest.sources, manifest.lost, manifest.items, manifest.records) == (25, 2, 26, 24)
    assert manifest.rejects == {"missing": 1, "undecodable": 1}
    assert {reject.key for reject in dataset.rejects()} == {"tones/ann/99.wav#0", "tones/bob/01.flac#0"}


def test_the_first_reject_of_each_of_the_three_main_reasons_is_named(tones: FolderCorpus, tmp_path: Path) -> None:
    folder = Path(tones.path)
    (folder / "ann/a.m4a").write_bytes(b"\x00\x00\x00\x18ftypM4A ")
    (folder / "ann/b.M4A").write_bytes(b"\x00\x00\x00\x18ftypM4A ")
    (folder / "bob/a.wav").touch()
    BAD_FILES["too_short"](folder / "ann/c.wav")
    BAD_FILES["undecodable"](folder / "cem/a.wav")
    with pytest.raises(InputError) as caught:
        run(spec_of(plain(tones), tmp_path / "work", max_reject_fraction=0.1))
    fix = "convert it with ffmpeg to .flac, or to .wav, .aiff, .mp3, .ogg or .opus"
    assert str(caught.value) == (
        "corpus 'tones': 5 of 29 items were rejected (1 empty, 1 too_short, 1 undecodable, 2 unsupported), "
        "more than max_reject_fraction 0.1; "
        f"first tones/ann/a.m4a: unsupported (.m4a is not read; {fix}); "
        "first tones/ann/c.wav: too_short (0.010 s, at least 0.1 s are needed); "
        "first tones/bob/a.wav: empty (the file has no bytes); "
        "mend or remove such files, or raise corpora.tones.max_reject_fraction"
    )


def test_a_killed_run_goes_on_where_it_was(
    tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "plan_shards", partial(plan_shards, most_items=8))
    whole = run(spec_of(tones, tmp_path / "whole"))
    commits = []

    def dies_at_the_third(storage: object, shard: object) -> None:
        commits.append(shard)
        if len(commits) == 3:
            raise KeyboardInterrupt
        commit(storage, shard)  # type: ignore[arg-type]

    commit = prepare_shard.commit_shard
    monkeypatch.setattr(prepare_shard, "commit_shard", dies_at_the_third)
    with pytest.raises(BaseException):  # noqa: B017, PT011  # however the runner reports it
        run(spec_of(tones, tmp_path / "work"))
    assert not (tmp_path / "work/audio/tones/manifests").exists()
    monkeypatch.setattr(prepare_shard, "commit_shard", commit)
    made_before = len(commits)
    resumed = run(spec_of(tones, tmp_path / "work"))
    assert made_before == 3
    assert contents(tmp_path / "work") == contents(tmp_path / "whole")
    assert resumed.endswith(whole.rpartition("/")[2])


def test_shards_done_out_of_order_change_no_other(
    tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [path.stat().st_size for path in sorted(Path(tones.path).rglob("*.wav"))]
    monkeypatch.setattr(plan, "MOST_BYTES", 3 * max(sizes) + min(sizes) - 1)  # the next small file fits, the next not
    whole = run(spec_of(tones, tmp_path / "whole"))

    def only_the_second(planned: Sequence[Ticket], work: Work, *, weights: Mapping[str, float]) -> None:
        work.maker.make(planned[1])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "make_shards", only_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(spec_of(tones, tmp_path / "work"))
    assert run(spec_of(tones, tmp_path / "work")).endswith(whole.rpartition("/")[2])
    assert contents(tmp_path / "work") == contents(tmp_path / "whole")


def test_what_a_killed_run_left_of_an_earlier_state_is_not_taken(
    tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(storage: object, shard: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare_shard, "commit_shard", dies)
        with pytest.raises(BaseException):  # noqa: B017, PT011  # however the runner reports it
            run(spec_of(tones, tmp_path / "work"))
    change_silently(Path(tones.path) / "ann/00.wav")
    dataset = open_dataset(run(spec_of(tones, tmp_path / "work")), "audio")
    wanted, _ = soundfile.read(Path(tones.path) / "ann/00.wav", dtype="float32")
    np.testing.assert_array_equal(records_of(dataset, tmp_path)[0].audio, wanted)


@pytest.mark.parametrize("kind", ["*.tfrecord", "*.jsonl", "*.json"])
def test_any_file_of_a_shard_that_was_deleted_is_made_again(tones: FolderCorpus, tmp_path: Path, kind: str) -> None:
    uri = run(spec_of(tones, tmp_path / "work"))
    before = contents(tmp_path / "work")
    for path in [*(tmp_path / "work/audio/tones/shards").glob(kind)]:
        path.unlink()
    assert run(spec_of(tones, tmp_path / "work")) == uri
    assert contents(tmp_path / "work") == before


def test_a_shard_with_a_damaged_entry_is_made_anew(tones: FolderCorpus, tmp_path: Path) -> None:
    dataset = open_dataset(run(spec_of(tones, tmp_path / "work")), "audio")
    (entry,) = (tmp_path / "work/audio/tones/shards").glob("*.json")
    entry.write_text("{")
    again = open_dataset(run(spec_of(tones, tmp_path / "work")), "audio")
    assert again.id == dataset.id
    assert len(records_of(again, tmp_path)) == 24


def test_a_long_file_is_cut_into_clips(tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.full(CLIP_SAMPLES + 20_000, 0.25), 16_000)
    soundfile.write(folder / "b.wav", np.full(CLIP_SAMPLES + 800, 0.25), 16_000)
    dataset = open_dataset(run(spec_of(FolderCorpus(kind="folder", path=str(folder)), tmp_path / "work")), "audio")
    sizes = {record.key: record.audio.size for record in records_of(dataset, tmp_path)}
    assert sizes == {"tones/a.wav#0": 480_000, "tones/a.wav#480000": 20_000, "tones/b.wav#0": 480_000}
    assert dataset.manifest.items == 3  # the last 50 ms of b.wav are no clip


BAD_FILES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "undecodable": lambda path: path.write_text("this is no audio"),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "non_finite": lambda path: soundfile.write(path, np.full(16_000, np.nan), 16_000, "FLOAT", format="WAV"),
    "too_short": lambda path: soundfile.write(path, np.zeros(160), 16_000, format="WAV"),
}


@pytest.mark.parametrize("reason", BAD_FILES)
def test_a_bad_file_fails_the_step_by_its_name(tones: FolderCorpus, tmp_path: Path, reason: str) -> None:
    BAD_FILES[reason](Path(tones.path) / "bob/01.flac")
    found = "(truncated|undecodable)" if reason == "truncated" else reason
    message = (
        rf"^corpus 'tones': 1 of 24 items were rejected, more than max_reject_fraction 0; first tones/bob/01\.flac: "
        rf"{found} \(.+\); mend or remove such files, or raise corpora\.tones\.max_reject_fraction$"
    )
    with pytest.raises(InputError, match=message):
        run(spec_of(tones, tmp_path / "work"))
    assert not (tmp_path / "work/audio/tones/manifests").exists()


def test_a_bad_file_is_a_reject_where_that_is_allowed(tones: FolderCorpus, tmp_path: Path) -> None:
    BAD_FILES["too_short"](Path(tones.path) / "bob/01.flac")
    dataset = open_dataset(run(spec_of(tones, tmp_path / "work", max_reject_fraction=0.05)), "audio")
    assert (dataset.manifest.items, dataset.manifest.records) == (24, 23)
    assert dataset.manifest.rejects == {"too_short": 1}
    (reject,) = dataset.rejects()
    assert reject.key == "tones/bob/01.flac#0"
    assert reject.detail == "0.010 s, at least 0.1 s are needed"


def test_a_folder_of_broken_files_only(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.wav").write_text("no audio")
    corpus = FolderCorpus(kind="folder", path=str(tmp_path / "bad"), max_reject_fraction=0.9)
    with pytest.raises(InputError, match=r"^corpus 'tones': 1 of 1 items were rejected, so nothing is left; first "):
        run(spec_of(corpus, tmp_path / "work"))


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    tones: FolderCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: LocalStorage, path: str, source: Path) -> bool:
        raise TransientError(f"cannot write {path}: No space left on device; free some space and run again")

    monkeypatch.setattr(LocalStorage, "create_from", full)
    with pytest.raises(
        TransientError, match=r"^cannot write shards/[\w-]+\.tfrecord: No space left on device; free [^\n]+$"
    ):
        run(spec_of(tones, tmp_path / "work"))
    assert contents(tmp_path / "work") == {}


def test_beams_options_are_looked_at_when_there_is_nothing_to_make(tones: FolderCorpus, tmp_path: Path) -> None:
    spec = spec_of(tones, tmp_path / "work")
    run(spec)
    with pytest.raises(InputError, match=r"^Beam's DaskRunner loses data silently; choose [^\n]+$"):
        run(spec.model_copy(update={"beam_options": ("--runner=DaskRunner",)}))


@pytest.fixture
def remote(tones: FolderCorpus, gcs_prefix: str) -> FolderCorpus:
    """The corpus, copied to gs://."""
    source, target = LocalStorage(Path(tones.path)), open_storage(f"{gcs_prefix}/corpus")
    for path in source.list():
        target.create(path, source.read(path) or b"")
    return tones.model_copy(update={"path": f"{gcs_prefix}/corpus"})


def test_a_corpus_on_gcs_gives_the_records_of_a_local_one(
    tones: FolderCorpus, remote: FolderCorpus, gcs_prefix: str, tmp_path: Path, refuse_work: RefuseWork
) -> None:
    here = open_dataset(run(spec_of(tones, tmp_path / "work")), "audio")
    spec = PrepareSpec(name="tones", corpus=remote, workdir=f"{gcs_prefix}/work")
    there = open_dataset(run(spec), "audio")
    assert there.id == here.id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "make_shards", refuse_work)
        assert run(spec) == there.uri
        assert run(spec.model_copy(update={"rehash": True})) == there.uri


def test_an_object_that_is_replaced_meanwhile(
    remote: FolderCorpus, gcs_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced_first(planned: Sequence[Ticket], work: Work, *, weights: Mapping[str, float]) -> None:
        corpus = open_storage(remote.path)
        data = bytearray(corpus.read("ann/00.wav") or b"")
        data[1_000] ^= 1
        corpus.delete("ann/00.wav")
        corpus.create("ann/00.wav", bytes(data))
        monkeypatch.undo()
        prepare.make_shards(planned, work, weights=weights)

    monkeypatch.setattr(prepare, "make_shards", replaced_first)
    with pytest.raises(TransientError, match=r"^gs://.*/corpus/ann/00\.wav changed while the corpus was prepared; run"):
        run(PrepareSpec(name="tones", corpus=remote, workdir=f"{gcs_prefix}/work"))
