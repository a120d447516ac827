import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from trillsson.audio import to_pcm16
from trillsson.config import Task
from trillsson.datasets import Dataset
from trillsson.inspection import summarise
from trillsson.inspection.page import render
from trillsson.inspection.sampling import draw
from trillsson.records import AudioRecord

MakeClip = Callable[..., AudioRecord]
MakeDataset = Callable[..., Dataset]

VOID = {"meta", "img"}
EVIL = '<script>alert("x")</script>&'


class Page(HTMLParser):
    """Reads a page, checks that its tags nest, and collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def dataset(make_dataset: MakeDataset, make_clip: MakeClip) -> Dataset:
    """12 clips of three speakers: one twice, in test and in train; one silent, one clipped; a label to escape."""
    clips = [
        make_clip(f"speech/{number}#0", number, speaker=f"s{number % 3}", split=("train", "test", "dev")[number % 3],
                  mood=("calm", EVIL)[number % 2])
        for number in range(9)
    ]  # fmt: skip
    clips.append(make_clip(f"speech/{EVIL}#0", 1, speaker="s0", split="train"))
    clips.append(AudioRecord(key="speech/silent#0", audio=np.zeros(3_200, np.float32)))
    clips.append(AudioRecord(key="speech/loud#0", audio=np.full(160_001, -1.0, np.float32)))
    return make_dataset(clips)


def test_what_it_says(dataset: Dataset) -> None:
    text = Page(render(summarise(dataset), draw(dataset))).text
    for phrase in (
        "12 clips of mono 16 kHz audio from 1 source: 12 items in, 12 out, 0 rejected.",
        "Leak: 1 test clip is among the clips that are learnt from as well.",
        "1 clip is an exact copy of another clip in this dataset.",
        "8 clips drawn at random (seed 0), at most the first 10 s of each.",
        "Levels are of all 12 clips.",
        "Of 12 clips, 1 of them digital silence: median −10.8 dBFS.",
        "Of 12 clips, 1 of them digital silence: 1 clip with samples at full scale.",
        "none: 11 clips; > 1%: 1 clip.",
        "Leaks 1 test clip speech/1#0 (test) = speech/",
        "test is what the corpus’s own split says.",
        "mood , 2 values",
    ):
        assert phrase in text


def test_splits_of_tasks(make_dataset: MakeDataset, make_clip: MakeClip) -> None:
    clips = [
        make_clip(
            f"{number:02d}", number, speaker=f"s{number // 2}", split=("train", "test")[number % 2], session="dev"
        )
        for number in range(24)
    ]
    dataset = make_dataset([*clips, make_clip("z", 30, session="eval")])
    summary = summarise(dataset, tasks={"mood": Task(corpus="speech", label="mood", split="session")})
    text = Page(render(summary, draw(dataset, players=0))).text
    for phrase in (
        "12 speakers are in train and test.",
        "The corpus’s own split split clips share hours speakers clips of unknown speakers train 12 48.0% 0.001 12 0",
        "Speakers in several splits: 12 The first speakers that are in several splits speaker splits s0 train, test",
        "s9 train, test and 2 more",
        "By session , for task mood split clips share hours speakers clips of unknown speakers validation 24 96.0%",
        "13 clips are test by any of these splits.",
        "test is what the corpus’s own split says, or session, which tasks take their split from.",
    ):
        assert phrase in text


def test_players_hold_the_samples_and_each_has_its_picture(dataset: Dataset) -> None:
    sample = draw(dataset, players=12)
    page = Page(render(summarise(dataset), sample))
    assert len(page.all("audio")) == len(page.all("img")) == 12
    for player, picture, excerpt in zip(page.all("audio"), page.all("img"), sample.excerpts, strict=True):
        kind, _, data = player["src"].partition(",")
        assert kind == "data:audio/wav;base64"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="int16")
        assert rate == 16_000
        assert samples.astype("<i2").tobytes() == to_pcm16(excerpt.audio)
        assert player["aria-label"] == f"Play {excerpt.clip.key}"
        assert base64.b64decode(picture["src"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
        assert picture["alt"] == f"Log-mel spectrogram of {excerpt.clip.key}"
    text = page.text
    assert "10.00 s, the first 10 here" in text
    assert "digital silence" in text
    assert "100.0% clipped" in text


def test_what_is_said_of_a_clip(make_dataset: MakeDataset, make_clip: MakeClip) -> None:
    dataset = make_dataset(
        [
            make_clip("a", 1, speaker="ann", split="train", who="ann", part="train", fold="train", mood=""),
            make_clip("b", 2, speaker="bob", split="test", who="bob", part="test", fold="train", mood="calm"),
        ]
    )
    text = Page(render(summarise(dataset), draw(dataset))).text
    # `who` repeats every speaker and `part` every split; `fold` repeats the split of one clip only.
    assert "dBFS train speaker ann fold: train 0 s" in text
    assert "dBFS test speaker bob fold: train mood: calm Durations" in text


def test_a_sample_of_the_clips(make_dataset: MakeDataset, make_clip: MakeClip) -> None:
    dataset = make_dataset([make_clip(f"{number}", number) for number in range(6)], per_shard=2)
    page = Page(render(summarise(dataset), draw(dataset, players=0, measured=4, seed=3)))
    assert "Levels are of 4 clips, drawn at random from 3 shards of 3 (seed 3)." in page.text


def test_stands_alone_and_escapes(dataset: Dataset) -> None:
    html = render(summarise(dataset), draw(dataset, players=12))
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert not {"script", "link", "iframe", "object", "embed", "base", "source"} & tags
    assert "<script" not in html
    assert EVIL in page.text
    assert all(attributes["src"].startswith("data:") for _, attributes in page.elements if "src" in attributes)
    assert not {"href", "srcset", "action", "onload", "onclick", "style"} & {
        name for _, attributes in page.elements for name in attributes
    }
    assert not re.search(r"https?:|url\(|@import", html)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
    assert policy in [attributes.get("content") for attributes in page.all("meta")]


def test_pictures_and_tables_can_be_heard(dataset: Dataset) -> None:
    page = Page(render(summarise(dataset), draw(dataset)))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {name for _, attributes in page.elements for name in attributes.get("aria-labelledby", "").split()}
    assert named <= set(ids)
    drawings = page.all("svg")
    assert [each.get("role") for each in drawings].count("img") == 4
    assert all(each.get("role") == "img" or each.get("aria-hidden") == "true" for each in drawings)
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(each.get("scope") in ("row", "col") for each in page.all("th"))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("title")) > 1


def test_a_dataset_with_nothing_to_remark_and_nothing_to_hear(make_dataset: MakeDataset, make_clip: MakeClip) -> None:
    dataset = make_dataset([make_clip("a", 1)])
    page = Page(render(summarise(dataset), draw(dataset, players=0)))
    assert "No rejects, no duplicates, no leaks, no speaker in two splits." in page.text
    assert not page.all("audio")


def test_a_dataset_without_clips(make_dataset: MakeDataset) -> None:
    dataset = make_dataset([])
    sample = draw(dataset)
    assert (sample.levels, sample.excerpts, sample.shards) == ((), (), 0)
    assert "0 clips of mono" in Page(render(summarise(dataset), sample)).text
