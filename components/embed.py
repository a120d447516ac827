"""embed: audio datasets x embedder -> embedding datasets."""

# KFP reads the outputs from an annotation that is a call, which only KFP takes for a type.
# mypy: disable-error-code="valid-type"

from typing import NamedTuple

from components import component


@component
def embed(release: str, model: str, audio: list[str], bundle: str = "") -> NamedTuple(
    "Embedded", [("audio", list[str]), ("embeddings", list[str])]
):
    """Runs `pipelines.steps.embed`; returns the audio datasets that were embedded, and the embeddings, in order."""
    from pipelines import steps
    from pipelines.process import as_task

    return as_task(steps.embed)(release, model, audio, bundle=bundle)
