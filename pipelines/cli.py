"""The command `trillsson`: parses, calls, prints. Every command's work is a plain function elsewhere."""

import sys
from pathlib import Path
from typing import Any

import click

from pipelines.process import one_line_errors, settle_environment

CONFIG = click.argument("config", type=click.Path(path_type=Path))
SCREENED = click.option("--screened", required=True, help="Folder that `trillsson screen` printed.")
BEAM = click.argument("beam", nargs=-1, metavar="[-- BEAM OPTIONS]")


class _Group(click.Group):
    """A group whose commands end on one line and an exit status when something is wrong."""

    def invoke(self, ctx: click.Context) -> object:
        settle_environment()
        with one_line_errors():
            return super().invoke(ctx)


@click.group(cls=_Group, context_settings={"max_content_width": 110})
def main() -> None:
    """Distils a large speech model into small ones, evaluates them, and publishes versions.

    \b
    One command does a whole release:        trillsson run configs/quickstart.yaml
    It makes nothing twice: run it again after a failure, or every week.

    The steps of a release are commands of their own. They take the config, and the URIs that earlier steps printed.
    Exit status: 0 done, 2 your input, 3 damaged data, 4 not good enough to publish, 75 try again later, 130 and 143
    interrupted.
    """  # noqa: D301  # the backslash is click's mark for a paragraph that is not to be wrapped


@main.command()
@CONFIG
def run(config: Path) -> None:
    """Runs a whole release on this machine: the compiled Kubeflow pipeline, with KFP's local runner."""
    from pipelines.kubeflow.release import run_release
    from pipelines.terminal import Screen

    run_release(config, show=Screen(sys.stdout).show)


@main.command(name="compile")
@CONFIG
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The YAML file to write.")
def compile_(config: Path, output: Path) -> None:
    """Compiles a release to the YAML that Kubeflow Pipelines runs; its default parameters are this release."""
    from pipelines.kubeflow.graph import compile_release
    from trillsson.config import load_release

    compile_release(load_release(config), output)
    click.echo(str(output))


@main.command()
@CONFIG
@click.option("--host", required=True, help="Address of the Kubeflow Pipelines API, with its scheme.")
@click.option("--experiment", default="trillsson", show_default=True, help="Experiment that the run belongs to.")
@click.option("--namespace", help="Namespace, where the server has several users.")
@click.option("--service-account", help="What the steps' pods run as.")
def submit(config: Path, **where: str) -> None:
    """Sends a release to a Kubeflow Pipelines server, to be run once, now; prints the page of the run."""
    from pipelines.kubeflow.release import submit_release

    click.echo(submit_release(config, **where))


@main.command()
@CONFIG
@click.option("--cron", required=True, help="When: six fields, seconds first, such as '0 0 3 * * 1'.")
@click.option("--host", required=True, help="Address of the Kubeflow Pipelines API, with its scheme.")
@click.option("--experiment", default="trillsson", show_default=True, help="Experiment that the runs belong to.")
@click.option("--namespace", help="Namespace, where the server has several users.")
@click.option("--service-account", help="What the steps' pods run as.")
def schedule(config: Path, cron: str, **where: str) -> None:
    """Has a Kubeflow Pipelines server run a release again and again; replaces the schedule of the same name."""
    from pipelines.kubeflow.release import schedule_release

    click.echo(schedule_release(config, cron=cron, **where))


@main.command()
@CONFIG
@click.option("--corpus", required=True, help="One of the config's corpora.")
@click.option("--rehash", is_flag=True, help="Find changed files by their bytes, not by their size and time.")
@BEAM
def prepare(config: Path, corpus: str, *, rehash: bool, beam: tuple[str, ...]) -> None:
    """Decodes a corpus into an audio dataset; prints its manifest.

    Of CONFIG, `workdir` and `corpora` are enough: `trillsson corpora KIND` prints such a piece to copy.

    Only what is new or changed is decoded. What follows `--` are options of Beam's, such as
    `-- --direct_num_workers=4 --direct_running_mode=multi_processing`, or `-- $(trillsson engine options)`.
    """
    from pipelines import steps
    from trillsson.config import load_preparation

    click.echo(steps.prepare(load_preparation(config).model_dump_json(), corpus, rehash=rehash, beam=beam))


@main.command()
@CONFIG
@click.option("--model", required=True, help="teacher, logmel, or one of the config's students.")
@click.option("--audio", multiple=True, required=True, help="Manifest of an audio dataset. May be given often.")
@click.option("--bundle", default="", help="The student's bundle.")
@BEAM
def embed(config: Path, model: str, audio: tuple[str, ...], bundle: str, beam: tuple[str, ...]) -> None:
    """Embeds audio datasets; prints the manifests of the embeddings.

    What follows `--` are options of Beam's, as for `prepare`.
    """
    from pipelines import steps

    click.echo("\n".join(steps.embed(_release(config), model, audio, bundle=bundle, beam=beam)[1]))


@main.command()
@CONFIG
@click.option("--audio", multiple=True, required=True, help="Manifest of an audio dataset, of every corpus.")
def screen(config: Path, audio: tuple[str, ...]) -> None:
    """Finds clips that are not to be learnt from, and mistakes in the labels; prints the folder that says so.

    Not learnt from are leaks, which equal a test clip, and duplicates. No audio is read, so it is fast.
    """
    from pipelines import steps

    click.echo(steps.screen(_release(config), audio))


@main.command()
@CONFIG
@click.option("--audio", multiple=True, required=True, help="Manifest of an audio dataset.")
@click.option(
    "--targets", multiple=True, required=True, help="Manifest of the teacher's embeddings of it, in the same order."
)
@SCREENED
@BEAM
def statistics(
    config: Path, audio: tuple[str, ...], targets: tuple[str, ...], screened: str, beam: tuple[str, ...]
) -> None:
    """Computes mean and variance of the targets and the tasks' vocabularies; prints the folder.

    What follows `--` are options of Beam's, as for `prepare`.
    """
    from pipelines import steps

    click.echo(steps.statistics(_release(config), audio, targets=targets, screened=screened, beam=beam))


@main.command()
@CONFIG
@click.option("--student", required=True, help="One of the config's students.")
@click.option("--audio", multiple=True, required=True, help="Manifest of an audio dataset.")
@click.option(
    "--targets", multiple=True, required=True, help="Manifest of the teacher's embeddings of it, in the same order."
)
@click.option("--statistics", required=True, help="Folder that `trillsson statistics` printed.")
@SCREENED
def train(config: Path, student: str, **learnt_from: Any) -> None:
    """Trains one student, or goes on where its training stopped; prints the folder of its weights."""
    from pipelines import steps

    click.echo(steps.train(_release(config), student, **learnt_from))


@main.command()
@CONFIG
@click.option("--student", required=True, help="One of the config's students.")
@click.option("--trained", required=True, help="Folder that `trillsson train` printed.")
@click.option("--audio", multiple=True, required=True, help="Manifest of an audio dataset.")
@click.option(
    "--targets", multiple=True, required=True, help="Manifest of the teacher's embeddings of it, in the same order."
)
@click.option("--statistics", required=True, help="Folder that `trillsson statistics` printed.")
@SCREENED
def export(config: Path, student: str, **learnt_from: Any) -> None:
    """Exports a trained student as SavedModel and TFLite, both checked; prints the bundle's folder."""
    from pipelines import steps

    click.echo(steps.export(_release(config), student, **learnt_from))


@main.command()
@CONFIG
@click.option("--model", required=True, help="teacher, logmel, or one of the config's students.")
@click.option("--audio", multiple=True, required=True, help="Manifest of an audio dataset.")
@click.option(
    "--embeddings", multiple=True, required=True, help="Manifest of the model's embeddings of it, in the same order."
)
@click.option("--bundle", default="", help="The student's bundle.")
def evaluate(config: Path, model: str, audio: tuple[str, ...], embeddings: tuple[str, ...], bundle: str) -> None:
    """Probes a model's embeddings on every task; prints the file of its result."""
    from pipelines import steps

    click.echo(steps.evaluate(_release(config), model, audio=audio, embeddings=embeddings, bundle=bundle))


@main.command()
@CONFIG
@click.option("--result", multiple=True, required=True, help="File that `trillsson evaluate` printed.")
@click.option("--audio", multiple=True, required=True, help="Manifest of an audio dataset, of every corpus.")
@click.option(
    "--targets", multiple=True, required=True, help="Manifest of the teacher's embeddings of it, in the same order."
)
@SCREENED
def report(config: Path, result: tuple[str, ...], **heard: Any) -> None:
    """Sets the results of all models side by side, as a table and as a page, and tells about the audio."""
    from pipelines import steps

    steps.report(_release(config), result, **heard)


@main.command()
@CONFIG
@click.option("--result", multiple=True, required=True, help="File that `trillsson evaluate` printed.")
@click.option("--bundle", multiple=True, required=True, help="Folder that `trillsson export` printed.")
def publish(config: Path, result: tuple[str, ...], bundle: tuple[str, ...]) -> None:
    """Publishes the students that pass the config's gate."""
    from pipelines import steps

    steps.publish(_release(config), result, bundles=bundle)


@main.command()
@click.argument("kind", required=False)
def corpora(kind: str | None) -> None:
    """Lists the corpora that can be read; with KIND, tells all of one: what to download, its layout, its config."""
    from pipelines.beam.corpora.catalogue import describe, list_corpora

    click.echo(describe(kind) if kind else list_corpora())


@main.command()
@click.argument("dataset")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write a page to look at, here.")
@click.option(
    "--against", multiple=True, help="Another audio dataset to look for the same clips in. May be given often."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="A release: clips that are test by the split column of any of its tasks count as test, and only its "
    "training corpora as learnt from. One of workdir and corpora alone changes nothing.",
)
@click.option(
    "--clips", type=click.IntRange(0, 100), default=8, show_default=True, help="Clips on the page to listen to."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides which clips are drawn.")
def inspect(dataset: str, **options: Any) -> None:
    """Tells what is in a dataset: totals, rejects, durations, labels and speakers by split, duplicates and leaks.

    DATASET is a manifest that `prepare` or `embed` printed, or the folder of a dataset that has only one. A leak is a
    test clip whose samples also occur outside test.

    \b
    trillsson inspect work/audio/clinic
    trillsson inspect work/audio/clinic --html clinic.html --clips 20
        a page as well, to look at and to listen to; it needs no network
    trillsson inspect work/audio/clinic --against work/audio/speech
        clips that are in the other dataset too, and leaks between the two
    trillsson inspect work/audio/clinic --config clinic.yaml
        leaks by the config's tasks and training corpora, as `screen` finds them

    The page adds histograms of durations, levels, peaks and clipping, and spectrograms of random clips with players.
    It holds recordings: keep it as you keep those.
    """  # noqa: D301  # the backslash is click's mark for lines that are not to be wrapped
    from trillsson.inspection import inspect as inspect_dataset

    click.echo(inspect_dataset(dataset, **options))
    if html := options["html"]:
        click.echo(f"\npage: {html}")


@main.group()
def engine() -> None:
    """Runs the data jobs on several hosts: an Apache Flink cluster on this machine.

    Its hosts are network namespaces with a `/tmp` of their own: they share a bucket on this machine, or a folder
    outside /tmp, as hosts of a real cluster share a mounted disk. Needs Linux, root, iproute2, Java 17 and Maven.
    All of it runs as root, and whoever is on this machine can reach it: use a machine, or a container, of your own.

    \b
    trillsson engine up
    options=$(trillsson engine options) && trillsson prepare my.yaml --corpus clinic -- $options
    trillsson engine down
    """  # noqa: D301  # the backslash is click's mark for lines that are not to be wrapped


@engine.command()
@click.option("--folder", type=click.Path(path_type=Path), help="For logs.  [default: work/engine]")
@click.option("--workers", type=click.IntRange(1), help="Hosts that compute.  [default: 2]")
@click.option(
    "--slots",
    type=click.IntRange(1),
    help="Tasks that one can run at a time: one, and some to take over those of a lost worker.  [default: 2]",
)
@click.option(
    "--share",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Folder below /tmp that all hosts see. May be given more than once.",
)
def up(**given: Any) -> None:
    """Starts the cluster, or what of it is not running; fetches Flink first, once.

    Of a cluster that is up, what is not given stays as it is; only --workers can grow.
    """
    from pipelines.engine.cluster import up as bring_up
    from pipelines.engine.spec import chosen

    bring_up(chosen(**given))


@engine.command()
def down() -> None:
    """Ends the cluster and all that runs on its hosts."""
    from pipelines.engine.cluster import down as take_down

    click.echo(f"hosts ended: {take_down()}")


@engine.command()
def status() -> None:
    """Tells which hosts there are, and what Flink says of itself; exit status 75 if something is missing."""
    from pipelines.engine.cluster import describe

    click.echo(describe())


@engine.command()
@click.option("--parallelism", type=click.IntRange(1), help="Tasks at a time.  [default: one a worker that is up]")
def options(parallelism: int | None) -> None:
    """Prints the options of Beam's with which a job runs on the cluster: put them behind `--`."""
    from pipelines.engine.cluster import beam_options

    click.echo(" ".join(beam_options(parallelism=parallelism)))


@main.group()
def registry() -> None:
    """Looks at published versions, checks them, and moves what `latest` means."""


@registry.command(name="list")
@click.argument("registry")
def list_(registry: str) -> None:
    """Lists the models of a registry and their versions."""
    from trillsson.registry import list_models, list_versions

    for model in list_models(registry):
        for version in list_versions(registry, model):
            click.echo(str(version))


@registry.command()
@click.argument("registry")
@click.argument("reference")
def verify(registry: str, reference: str) -> None:
    """Reads every byte of a version, loads it, and embeds its probe clip. REFERENCE: nano, nano@3, nano@latest."""
    from trillsson.registry import verify as verify_version

    report = verify_version(registry, reference)
    differences = ", ".join(f"{name} {value:.1e}" for name, value in report.differences.items())
    found = f"{report.files} files, {report.total_bytes} bytes; difference on the probe clip: {differences}"
    click.echo(f"{report.model}@{report.version} is whole: {found}")


@registry.command()
@click.argument("registry")
@click.argument("reference")
def promote(registry: str, reference: str) -> None:
    """Makes a version, such as nano@3, what `latest` means."""
    from trillsson.registry import promote as promote_version

    click.echo(promote_version(registry, reference))


@registry.command(name="roll-back")
@click.argument("registry")
@click.argument("model")
def roll_back(registry: str, model: str) -> None:
    """Makes `latest` mean again what it meant before."""
    from trillsson.registry import roll_back as roll_back_version

    click.echo(roll_back_version(registry, model))


def _release(config: Path) -> str:
    from trillsson.config import load_release

    return load_release(config).model_dump_json()


if __name__ == "__main__":
    main()
