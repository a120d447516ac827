"""export: trained student -> bundle."""

from components import component


@component
def export(
    release: str, student: str, trained: str, audio: list[str], targets: list[str], statistics: str, screened: str
) -> str:
    """Runs `pipelines.steps.export`."""
    from pipelines import steps
    from pipelines.process import as_task

    told = {"statistics": statistics, "screened": screened}
    return as_task(steps.export)(release, student, trained=trained, audio=audio, targets=targets, **told)
