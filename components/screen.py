"""screen: audio datasets -> which clips are learnt from."""

from components import component


@component
def screen(release: str, audio: list[str]) -> str:
    """Runs `pipelines.steps.screen`."""
    from pipelines import steps
    from pipelines.process import as_task

    return as_task(steps.screen)(release, audio)
