"""statistics: targets and labels -> saved transform."""

from components import component


@component
def statistics(release: str, audio: list[str], targets: list[str], screened: str) -> str:
    """Runs `pipelines.steps.statistics`."""
    from pipelines import steps
    from pipelines.process import as_task

    return as_task(steps.statistics)(release, audio, targets=targets, screened=screened)
