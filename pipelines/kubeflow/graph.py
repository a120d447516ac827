"""The release as a Kubeflow graph: the same steps as everywhere, fanned out over corpora and over students.

Parameters are the config as JSON, names and URIs. KFP's own cache is off for every step: its keys know neither the
audio in a folder nor whether a step's output still lies on the volume. Steps find what they made before by digest.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kfp import compiler, dsl, kubernetes

from components.embed import embed
from components.evaluate import evaluate
from components.export import export
from components.prepare import prepare
from components.publish import publish
from components.report import report
from components.screen import screen
from components.statistics import statistics
from components.train import train
from pipelines.steps import BASELINE, TEACHER
from trillsson.config import Release, Resources
from trillsson.errors import InputError
from trillsson.storage import explain_os_errors


class Fan(NamedTuple):
    """What comes of the students: result files and bundles, in the order of the students."""

    results: list[str]
    bundles: list[str]


def compile_release(release: Release, package: Path) -> None:
    """Compiles the release's pipeline to a YAML file whose defaults are this release: the same bytes each time."""
    if package.suffix not in (".yaml", ".yml"):
        raise InputError(f"cannot compile to {package}; give a file that ends in .yaml")
    with explain_os_errors("write", package):
        package.parent.mkdir(parents=True, exist_ok=True)
        package.touch()
    pipeline = build(release)
    parameters = {
        "release": release.model_dump_json(),
        "corpora": list(release.corpora),
        "students": list(release.students),
    }
    compiler.Compiler().compile(pipeline, str(package), pipeline_parameters=parameters)


def build(release: Release) -> Any:
    """Returns the pipeline function of a release."""
    asks = release.resources
    place = partial(_place, asks=asks)

    @dsl.pipeline(name="students", description="Every student: distilled, exported, embedded, evaluated.")
    def each_student(
        release: str, students: list[str], audio: list[str], targets: list[str], statistics: str, screened: str
    ) -> Fan:
        # A pipeline of its own: KFP's local runner hands the loop's item to whatever enters a loop from a task outside.
        learnt_from = {"release": release, "audio": audio, "targets": targets, "statistics": statistics}
        learnt_from["screened"] = screened
        with dsl.ParallelFor(students, parallelism=asks.parallelism) as student:
            trained = place(train(student=student, **learnt_from), gpus=asks.gpu).output
            bundle = place(export(student=student, trained=trained, **learnt_from)).output
            embedded = place(embed(release=release, model=student, audio=audio, bundle=bundle)).outputs
            result = place(evaluate(release=release, model=student, bundle=bundle, **embedded)).output
        return Fan(results=dsl.Collected(result), bundles=dsl.Collected(bundle))

    @dsl.pipeline(name=f"trillsson-{release.name}", description="From corpora to published student models.")
    def trillsson_release(release: str, corpora: list[str], students: list[str]) -> list[str]:
        with dsl.ParallelFor(corpora, parallelism=asks.parallelism) as corpus:
            prepared = place(prepare(release=release, corpus=corpus)).output
        # A Collected is changed when it is used, so every consumer gets its own.
        screening = place(screen(release=release, audio=dsl.Collected(prepared)))
        # What screening refuses is not worth the teacher's hours.
        labelled = place(embed(release=release, model=TEACHER, audio=dsl.Collected(prepared))).after(screening).outputs
        floor = place(embed(release=release, model=BASELINE, audio=dsl.Collected(prepared))).after(screening).outputs
        screened = screening.output
        pairs = {"release": release, "audio": labelled["audio"], "targets": labelled["embeddings"]}
        pairs["screened"] = screened
        told = place(statistics(**pairs)).output
        upper = place(evaluate(release=release, model=TEACHER, **labelled)).output
        lower = place(evaluate(release=release, model=BASELINE, **floor)).output
        made = each_student(students=students, statistics=told, **pairs).set_caching_options(False).outputs
        ends = {"teacher": upper, "students": made["results"]}
        page = place(report(baseline=lower, **pairs, **ends)).outputs["Output"]
        published: list[str] = place(publish(release=release, bundles=made["bundles"], report=page, **ends)).output
        return published

    return trillsson_release


def _place(task: Any, asks: Resources, *, gpus: int = 0) -> Any:
    """Says where a step runs: image, resources, the volume; and that KFP is not to cache it."""
    task.set_container_image(asks.image).set_caching_options(False)
    task.set_cpu_request(asks.cpu).set_memory_request(asks.memory).set_memory_limit(asks.memory)
    if gpus:
        task.set_accelerator_type(asks.gpu_type).set_accelerator_limit(gpus)
    kubernetes.mount_pvc(task, pvc_name=asks.volume_claim, mount_path=asks.mount_path)
    return task
