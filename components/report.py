"""report: results, audio datasets, targets -> page and table."""

from kfp import dsl

from components import component


@component
def report(
    release: str,
    teacher: str,
    baseline: str,
    students: list[str],
    audio: list[str],
    targets: list[str],
    screened: str,
    page: dsl.Output[dsl.HTML],
) -> str:
    """Runs `pipelines.steps.report`, and shows the page in the KFP UI."""
    from pipelines import steps
    from pipelines.process import as_task

    results = [baseline, teacher, *students]
    return as_task(steps.report)(release, results, audio=audio, targets=targets, screened=screened, page=page.path)
