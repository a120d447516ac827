"""train: targets -> trained student."""

from components import component


@component
def train(release: str, student: str, audio: list[str], targets: list[str], statistics: str) -> str:
    """Runs `pipelines.steps.train`."""
    from pipelines import steps
    from pipelines.process import as_task

    return as_task(steps.train)(release, student, audio=audio, targets=targets, statistics=statistics)
