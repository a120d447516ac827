"""Looks into a dataset: the function behind `trillsson inspect`."""

from collections.abc import Sequence
from pathlib import Path

from trillsson.config import Preparation, Release, load_uses
from trillsson.datasets import find_manifest, open_any_dataset, open_dataset
from trillsson.errors import InputError
from trillsson.inspection.embeddings import summarise_embeddings
from trillsson.inspection.summary import summarise
from trillsson.inspection.text import embeddings_text, text
from trillsson.storage import explain_os_errors


def inspect(
    uri: str,
    *,
    against: Sequence[str] = (),
    config: Path | None = None,
    html: Path | None = None,
    clips: int = 8,
    seed: int = 0,
) -> str:
    """Says what is in a dataset; writes a page about it, if asked to.

    Args:
        uri: a manifest, or the folder of a dataset that has one.
        against: other audio datasets to look for copies of its clips in.
        config: a release, whose tasks' split columns also say which clips are test, and whose training corpora are
            learnt from; one of corpora only says neither.
        html: where to write the page; what is there is replaced.
        clips: how many clips the page has to listen to.
        seed: decides which clips are drawn.

    Returns:
        the summary, as plain text.

    Raises:
        InputError: there is no such dataset or config, the config is of other corpora, or something is asked for that
            embeddings cannot give.
        IntegrityError: an index or a shard is missing or changed.
    """
    dataset = open_any_dataset(find_manifest(uri))
    if dataset.manifest.kind == "embeddings":
        asked = {"--html": html, "--against": against, "--config": config}
        if option := next((option for option, value in asked.items() if value), None):
            raise InputError(f"{option}: dataset {dataset.uri} holds embeddings; give the audio dataset they are of")
        return embeddings_text(summarise_embeddings(dataset))
    if html is not None and not html.parent.is_dir():
        raise InputError(f"--html: folder {html.parent} does not exist; make it, or give another path")
    uses = _uses(config, dataset.manifest.corpus) if config else None
    compared = [open_dataset(find_manifest(other), "audio") for other in against]
    release = uses if isinstance(uses, Release) else None
    summary = summarise(
        dataset,
        compared,
        tasks=release.tasks if release else {},
        learnt_from=release.training.corpora if release else None,
    )
    if html is not None:
        from trillsson.inspection.page import render
        from trillsson.inspection.sampling import draw

        page = render(summary, draw(dataset, players=clips, seed=seed))
        with explain_os_errors("write", html):
            html.write_text(page, encoding="utf-8", errors="replace")  # the dataset's path may be no text
    return text(summary)


def _uses(config: Path, corpus: str) -> Preparation:
    uses = load_uses(config)
    if corpus not in uses.corpora:
        known = ", ".join(uses.corpora)
        raise InputError(
            f"--config: {config} has no corpus {corpus!r}, only {known}; give the one it was prepared with"
        )
    return uses
