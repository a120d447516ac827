"""Summaries as plain text: tables that fit into 100 columns."""

from collections.abc import Iterable, Iterator, Sequence

from trillsson.datasets import Dataset
from trillsson.inspection.duplicates import Duplicates, NamedClip
from trillsson.inspection.embeddings import EmbeddingSummary
from trillsson.inspection.histograms import Durations
from trillsson.inspection.labels import Column
from trillsson.inspection.splits import SPLITS, used
from trillsson.inspection.splitting import Splits
from trillsson.inspection.summary import RejectReason, Summary
from trillsson.inspection.words import (
    hours,
    number,
    others_told,
    plural,
    printable,
    remarks,
    size,
    task_names,
    values_told,
)

WIDTH = 100
_BAR = 30
_CELL = 40
"""Letters of a name in a table; a longer one is broken."""


def text(summary: Summary) -> str:
    """Writes the summary of an audio dataset."""
    manifest = summary.dataset.manifest
    facts = [
        ("sources", number(manifest.sources)),
        ("clips", number(manifest.records)),
        ("hours", hours(manifest.seconds / 3600)),
        ("shards", number(len(manifest.shards))),
        ("size", size(summary.bytes)),
        ("lost sources", number(manifest.lost)),
        ("rejected items", f"{number(manifest.items - manifest.records)} of {number(manifest.items)}"),
    ]
    blocks = [_head(summary.dataset), _table(facts, [])]
    blocks += ["\n".join(f"! {remark.text}" for remark in said)] if (said := remarks(summary)) else []
    blocks += _rejects(summary.rejects)
    blocks += _durations(summary.durations)
    for splits in (summary.splits, *summary.task_splits):
        blocks += _splits(splits)
    blocks += [f"Test by any of these splits: {plural(summary.tests, 'clip')}"] if summary.task_splits else []
    for column in summary.columns:
        blocks += _column(column)
    blocks += _duplicates(summary.duplicates, compared=summary.compared, learnt_from=summary.learnt_from)
    return "\n\n".join(blocks)


def embeddings_text(summary: EmbeddingSummary) -> str:
    """Writes the summary of an embedding dataset."""
    manifest = summary.dataset.manifest
    tolerance = "not told" if summary.batch_tolerance is None else f"{summary.batch_tolerance:g}"
    facts = [
        ("embedder", summary.embedder),
        ("fingerprint", summary.fingerprint),
        ("framing", summary.framing),
        ("batch tolerance", tolerance),
        ("clips", number(manifest.records)),
        ("windows", number(manifest.windows)),
        ("numbers a window", number(summary.dim)),
        ("hours", hours(manifest.seconds / 3600)),
        ("shards", number(len(manifest.shards))),
        ("size", size(summary.bytes)),
        ("rejected clips", f"{number(manifest.items - manifest.records)} of {number(manifest.items)}"),
    ]
    return "\n\n".join([_head(summary.dataset), _table(facts, []), *_rejects(summary.rejects)])


def _head(dataset: Dataset) -> str:
    return f"{dataset.manifest.corpus}: {dataset.manifest.kind}\n{printable(dataset.uri)}"


def _rejects(rejects: Sequence[RejectReason]) -> Iterator[str]:
    if not rejects:
        return
    lines = []
    for each in rejects:
        lines.append(f"  {number(each.count):>7}  {each.reason}")
        lines += [
            f"           {printable(reject.key)}" + (f": {printable(reject.detail)}" if reject.detail else "")
            for reject in each.first
        ]
    yield "\n".join(["Rejects, and the first of each reason", *lines])


def _durations(found: Durations) -> Iterator[str]:
    counts, edges = found.histogram.counts, found.histogram.edges
    if not counts:
        return
    told = f"Durations in seconds: shortest {found.shortest:.2f}, median {found.median:.2f}, "
    told += f"mean {found.mean:.2f}, longest {found.longest:.2f}"
    rows = [
        (f"{low:g} to {high:g}", number(count), "█" * round(_BAR * count / max(counts)) or ("▏" if count else ""))
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    yield f"{told}\n\n{_table(rows, ['seconds', 'clips', ''], left=(0, 2))}"


def _splits(splits: Splits) -> Iterator[str]:
    speakers = splits.speakers
    by = f" by {printable(splits.column)}" if splits.column else ""
    rows = [
        (SPLITS[at], number(splits.clips[at]), hours(splits.hours[at]), number(speakers.counts[at]),
         number(speakers.unknown[at]))
        for at in used([splits.clips])
    ]  # fmt: skip
    rows.append(
        ("total", number(sum(splits.clips)), hours(sum(splits.hours)), number(speakers.total),
         number(sum(speakers.unknown)))
    )  # fmt: skip
    head = f"Splits{by}" + (f", for {task_names(splits.tasks)}" if splits.tasks else "")
    table = _table(rows, ["split", "clips", "hours", "speakers", "clips of\nunknown speakers"], left=(0,))
    yield f"{head}\n\n{table}"
    if count := sum(speakers.shared.values()):
        shared = [f"  {printable(each.name)}: {', '.join(each.splits)}" for each in speakers.named]
        head = f"Speakers in several splits{by} ({number(count)})"
        yield "\n".join([head, *shared, *_and_more(count - len(shared))])


def _column(column: Column) -> Iterator[str]:
    at = used([*(value.clips for value in column.values), column.others, column.without])
    speaking = not column.is_speaker and any(any(value.speakers) for value in column.values)

    def cell(clips: int, speakers: int) -> str:
        return f"{number(clips)} ({number(speakers)})" if speaking and clips else number(clips)

    rows = [
        (_short(value.name), *(cell(value.clips[split], value.speakers[split]) for split in at))
        for value in column.values
    ]
    if any(column.others):
        rows.append((f"({others_told(column)})", *(number(column.others[split]) for split in at)))
    if any(column.without):
        rows.append(("(no value)", *(number(column.without[split]) for split in at)))
    told = f"Label {printable(column.name)}: {values_told(column)}; clips" + (" (and speakers)" if speaking else "")
    yield f"{told}\n\n{_table(rows, ['value', *(SPLITS[split] for split in at)], left=(0,))}"


def _duplicates(found: Duplicates, *, compared: Sequence[Dataset], learnt_from: Sequence[str] | None) -> Iterator[str]:
    where = "within this dataset"
    if compared:
        where += " and across " + ", ".join(other.manifest.corpus for other in compared)
    lines = [f"Exact duplicates {where}: {plural(found.groups, 'clip')} more than once"]
    for group in found.named:
        keys = [_key(clip) for clip in group.clips]
        beyond = group.count - len(keys)
        lines += [f"  {keys[0]}", *(f"    = {key}" for key in keys[1:])]
        lines += [f"    and {plural(beyond, 'more clip')}"] if beyond else []
    lines += _and_more(found.groups - len(found.named))
    yield "\n".join(lines)
    inside = f" in {', '.join(learnt_from)}" if learnt_from else ""
    lines = [f"Leaks: {plural(found.leaks, 'test clip')} also outside test{inside}"]
    for leak in found.named_leaks:
        lines += [f"  {_key(leak.test)}", f"    = {_key(leak.learnt)}"]
    lines += _and_more(found.leaks - len(found.named_leaks))
    yield "\n".join(lines)


def _and_more(count: int) -> Iterable[str]:
    return [f"  and {number(count)} more"] if count else []


def _key(clip: NamedClip) -> str:
    return f"{printable(clip.key)} ({clip.split})"


def _short(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= _CELL else shown[: _CELL - 1] + "…"


def _table(rows: Sequence[Sequence[str]], header: Sequence[str], *, left: Sequence[int] = (0, 1)) -> str:
    from tabulate import tabulate

    align = ["left" if at in left else "right" for at in range(len(rows[0]))]
    drawn = tabulate(rows, header, tablefmt="simple" if header else "plain", colalign=align, disable_numparse=True)
    return "\n".join(line.rstrip() for line in drawn.splitlines())
