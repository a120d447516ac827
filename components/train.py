"""train: targets -> trained student."""

from components import component


@component
def train(release: str, student: str, audio: list[str], targets: list[str], statistics: str, screened: str) -> str:
    """Runs `pipelines.steps.train`."""
    from pipelines import steps
    from pipelines.process import as_task

    told = {"statistics": statistics, "screened": screened}
    return as_task(steps.train)(release, student, audio=audio, targets=targets, **told)
