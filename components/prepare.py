"""prepare: corpus of audio files -> audio dataset."""

from components import component


@component
def prepare(release: str, corpus: str) -> str:
    """Runs `pipelines.steps.prepare`."""
    from pipelines import steps
    from pipelines.process import as_task

    return as_task(steps.prepare)(release, corpus)
