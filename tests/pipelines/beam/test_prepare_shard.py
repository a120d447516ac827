"""The worker's side of prepare: segments become clips, and memory stays small however long a file is."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.beam import prepare_shard
from pipelines.beam.corpora.folder import FolderReader
from pipelines.beam.corpora.reader import Item, Recording, Segments
from pipelines.beam.plan import plan_shards
from pipelines.beam.prepare_shard import PrepareMaker
from trillsson.config import FolderCorpus
from trillsson.datasets import Shard, index_path
from trillsson.decoding import Samples
from trillsson.errors import InputError, TransientError
from trillsson.records import decode_index

HOURS = 3
LARGEST_MB = 512
WORKER = r"""
import re, sys

import apache_beam  # as in a worker

from pipelines.beam.corpora.folder import FolderReader
from pipelines.beam.plan import plan_shards
from pipelines.beam.prepare_shard import PrepareMaker
from trillsson.config import FolderCorpus

reader = FolderReader(FolderCorpus(kind="folder", path=sys.argv[1]))
(planned,) = plan_shards(reader.items(), [], identity="1")
shard = PrepareMaker(sys.argv[2], corpus="long", path=sys.argv[1], reader=reader, identity="1").make_shard(planned)
# Not ru_maxrss: that also counts what the process that started this one had in memory.
(peak,) = re.findall(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())
print(shard.summary.records, shard.summary.seconds, int(peak) // 1024)
"""


def test_a_file_of_three_hours_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    with soundfile.SoundFile(tmp_path / "audio/a.wav", "w", 8_000, 1, "PCM_U8") as file:
        for _ in range(60 * HOURS):
            file.write(np.zeros(60 * 8_000, np.int16))
    command = [sys.executable, "-c", WORKER, str(tmp_path / "audio"), str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    records, seconds, peak = done.stdout.split()
    assert (records, seconds) == (str(120 * HOURS), str(3_600.0 * HOURS))
    assert int(peak) < LARGEST_MB


class Cut(FolderReader):
    """Hands out a second of a ramp for every file, with the segments that the file's name stands for."""

    segments: Segments = ()

    def open(self, item: Item, cache: Path) -> Recording:
        ramp = Samples(np.arange(16_000, dtype=np.int16), 16_000)
        return Recording(audio=ramp, segments=self.segments, speaker="ann")


@pytest.fixture
def reader(tmp_path: Path) -> Cut:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/a.wav").write_bytes(b"never read")
    return Cut(FolderCorpus(kind="folder", path=str(tmp_path / "audio")))


def make(reader: Cut, tmp_path: Path) -> tuple[Shard, PrepareMaker]:
    (planned,) = plan_shards(reader.items(), [], identity="1")
    maker = PrepareMaker(str(tmp_path / "work"), corpus="c", path=str(tmp_path / "audio"), reader=reader, identity="1")
    return maker.make_shard(planned), maker


def test_segments_become_clips_and_what_is_too_short_is_a_reject(reader: Cut, tmp_path: Path) -> None:
    reader.segments = ((0.0, 0.5), (0.6, 0.61), (0.75, 2.0))
    shard, _ = make(reader, tmp_path)
    clips = list(
        decode_index((tmp_path / "work" / index_path(shard.summary.id, shard.summary.index_sha256)).read_bytes())
    )
    assert [(clip.key, clip.samples, clip.speaker) for clip in clips] == [
        ("c/a.wav#0", 8_000, "ann"),
        ("c/a.wav#12000", 4_000, "ann"),
    ]
    (reject,) = shard.rejects
    assert (reject.key, reject.reason) == ("c/a.wav#9600", "too_short")
    assert (shard.summary.sources, shard.summary.lost, shard.summary.items) == (1, 0, 3)


def test_segments_that_are_not_there_are_a_reject(reader: Cut, tmp_path: Path) -> None:
    reader.segments = ((5.0, 9.0),)
    shard, _ = make(reader, tmp_path)
    (reject,) = shard.rejects
    assert (reject.key, reject.reason) == ("c/a.wav#0", "no_segments")
    assert reject.detail == "none of its segments lies in its 1.000 s"
    assert (shard.summary.records, shard.summary.lost) == (0, 1)


def test_a_file_that_may_not_be_read(reader: Cut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(prepare_shard, "file_checksum", refuse)
    message = rf"^cannot read {tmp_path}/audio/a\.wav: Permission denied; give another path or mend its rights$"
    with pytest.raises(InputError, match=message):
        make(reader, tmp_path)


@pytest.mark.parametrize("change", ["touch", "unlink"])
def test_a_file_that_is_not_the_one_that_was_listed(reader: Cut, tmp_path: Path, change: str) -> None:
    planned = plan_shards(reader.items(), [], identity="1")
    path = tmp_path / "audio/a.wav"
    path.unlink() if change == "unlink" else os.utime(path, ns=(1, 1))
    maker = PrepareMaker(str(tmp_path / "work"), corpus="c", path=str(tmp_path / "audio"), reader=reader, identity="1")
    message = {
        "touch": r"/a\.wav changed while the corpus was prepared; run again$",
        "unlink": r"; it was there when the",
    }
    with pytest.raises(TransientError, match=message[change]):
        maker.make_shard(planned[0])
