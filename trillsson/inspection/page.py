"""The page about an audio dataset: one HTML file that stands alone, with sounds and pictures inside."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from trillsson.config import SAMPLE_RATE, LogMelSpec
from trillsson.digests import canonical_json
from trillsson.inspection.drawing import Columns, Piece, draw_categories, draw_histogram, stacked
from trillsson.inspection.histograms import binned
from trillsson.inspection.labels import Column, Value
from trillsson.inspection.media import data_uri, png, spectrogram, wav
from trillsson.inspection.sampling import LONGEST_EXCERPT, Excerpt, Level, Sample, measure
from trillsson.inspection.splits import SPLITS, used
from trillsson.inspection.summary import Summary
from trillsson.inspection.words import (
    hours,
    number,
    others_told,
    percent,
    plural,
    remarks,
    size,
    task_names,
    values_told,
)
from trillsson.pages.rendering import render_page

_DECIBELS = tuple(range(-96, 1, 6))
_CLIPPED = ((0.0, "none"), (1e-4, "≤ 0.01%"), (1e-3, "≤ 0.1%"), (1e-2, "≤ 1%"), (1.0, "> 1%"))
"""Largest share of clipped samples in each class, and what it is called."""


@dataclass(frozen=True)
class _Player:
    """A clip to look at and listen to."""

    excerpt: Excerpt
    cut: bool
    picture: str
    sound: str
    level: Level
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Bars:
    """A label column with a bar for each value."""

    column: Column
    shown: tuple[int, ...]
    speaking: bool
    values: tuple[tuple[Value, tuple[Piece, ...]], ...]


def render(summary: Summary, sample: Sample) -> str:
    """Renders the page, the same bytes for the same arguments.

    Args:
        summary: what the dataset's indexes say.
        sample: clips of it, measured, and some to listen to.
    """
    manifest = summary.dataset.manifest
    return render_page(
        "trillsson.inspection",
        "page.html.j2",
        summary=summary,
        manifest=manifest,
        remarks=remarks(summary),
        figures=_figures(summary),
        histograms=tuple(_histograms(summary, sample)),
        sample=sample,
        players=tuple(_player(excerpt, summary.columns) for excerpt in sample.excerpts),
        held_shards=sum(1 for shard in manifest.shards if shard.records),
        longest=LONGEST_EXCERPT // SAMPLE_RATE,
        logmel=LogMelSpec(),
        columns=tuple(map(_bars, summary.columns)),
        splits=SPLITS,
        used=used,
        content=canonical_json(manifest.content).decode(),
        number=number,
        hours=hours,
        plural=plural,
        percent=percent,
        task_names=task_names,
        values_told=values_told,
        others_told=others_told,
    )


def _figures(summary: Summary) -> tuple[tuple[str, str], ...]:
    """Returns the large numbers and what they are."""
    manifest = summary.dataset.manifest
    return (
        (number(manifest.records), "clips"),
        (hours(manifest.seconds / 3600), "hours"),
        (number(summary.splits.speakers.total), "speakers"),
        (number(manifest.sources), "sources"),
        (number(len(manifest.shards)), "shards"),
        (size(summary.bytes), "on disk"),
        (number(manifest.items - manifest.records), "rejected items"),
        (number(manifest.lost), "lost sources"),
    )


def _histograms(summary: Summary, sample: Sample) -> Iterator[Columns]:
    lengths = summary.durations
    if lengths.histogram.counts:
        told = f"All {plural(sum(lengths.histogram.counts), 'clip')}: shortest {lengths.shortest:.2f} s, "
        told += f"median {lengths.median:.2f} s, mean {lengths.mean:.2f} s, longest {lengths.longest:.2f} s."
        yield draw_histogram(lengths.histogram, title="Duration", axis="seconds", said=told)
    if not sample.levels:
        return
    heard = [level for level in sample.levels if math.isfinite(level.peak)]
    silent = len(sample.levels) - len(heard)
    of = f"Of {plural(len(sample.levels), 'clip')}" + (f", {number(silent)} of them digital silence" if silent else "")
    for title, values in (("Level (RMS)", [each.rms for each in heard]), ("Peak", [each.peak for each in heard])):
        middle = f": median {median(values):.1f} dBFS.".replace("-", "−") if values else "."
        yield draw_histogram(binned(values, _DECIBELS), title=title, axis="dBFS", said=of + middle)
    counts = [0] * len(_CLIPPED)
    for level in sample.levels:
        counts[next(place for place, (most, _) in enumerate(_CLIPPED) if level.clipped <= most)] += 1
    clipping = len(sample.levels) - counts[0]
    yield draw_categories(
        counts,
        [name for _, name in _CLIPPED],
        title="Clipped samples",
        axis="share of a clip’s samples at full scale",
        said=f"{of}: {plural(clipping, 'clip')} with samples at full scale.",
    )


def _player(excerpt: Excerpt, columns: Iterable[Column]) -> _Player:
    told = ((column.name, excerpt.clip.labels.get(column.name, "")) for column in columns if not column.is_speaker)
    return _Player(
        excerpt=excerpt,
        cut=excerpt.seconds > LONGEST_EXCERPT / SAMPLE_RATE,
        picture=data_uri(png(spectrogram(excerpt.audio, LogMelSpec())), "image/png"),
        sound=data_uri(wav(excerpt.audio), "audio/wav"),
        level=measure(excerpt.audio),
        labels=tuple((name, value) for name, value in told if value),
    )


def _bars(column: Column) -> _Bars:
    largest = max((sum(value.clips) for value in column.values), default=1)
    return _Bars(
        column=column,
        shown=used([*(value.clips for value in column.values), column.others, column.without]),
        speaking=not column.is_speaker and any(any(value.speakers) for value in column.values),
        values=tuple((value, stacked(value.clips, largest=largest)) for value in column.values),
    )
