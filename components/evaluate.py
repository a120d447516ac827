"""evaluate: embeddings -> result."""

from components import component


@component
def evaluate(release: str, model: str, audio: list[str], embeddings: list[str], bundle: str = "") -> str:
    """Runs `pipelines.steps.evaluate`."""
    from pipelines import steps
    from pipelines.process import as_task

    return as_task(steps.evaluate)(release, model, audio=audio, embeddings=embeddings, bundle=bundle)
