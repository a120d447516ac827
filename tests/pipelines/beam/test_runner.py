"""Errors of workers come back as our own, whatever the runner makes of them."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest

from pipelines.beam.processes import LocalRunner
from pipelines.beam.runner import run_pipeline
from trillsson.errors import InputError, TransientError, TrillssonError


def failing(error: Exception) -> Callable[[beam.Pipeline], object]:
    def fail(element: int) -> int:
        raise error

    return lambda pipeline: pipeline | beam.Create([1]) | "work" >> beam.Map(fail)


@pytest.mark.parametrize("error", [InputError("no [such] file: a.wav; give one"), TransientError("disk full; rerun")])
@pytest.mark.parametrize("options", [(), ("--direct_running_mode=multi_threading",)])
def test_a_workers_error_is_raised_as_it_was(
    error: TrillssonError,
    options: tuple[str, ...],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(type(error)) as caught:
        run_pipeline(failing(error), options)
    assert str(caught.value) == str(error)
    assert (*capfd.readouterr(), caplog.messages) == ("", "", [])


def test_a_bug_is_not_taken_for_one_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        run_pipeline(failing(ZeroDivisionError("a bug")), ())
    assert "a bug [while running 'work']" in caplog.messages


def test_what_beam_itself_refuses_is_one_line() -> None:
    with pytest.raises(
        InputError, match=r"^Beam refuses the options for DataflowRunner: [^\n]*option: project\.[^\n]*$"
    ):
        run_pipeline(lambda pipeline: None, ["--runner=DataflowRunner"])


@pytest.mark.parametrize("options", [(), ("--runner=DirectRunner",), ("--runner=FnApiRunner",)])
def test_the_local_runner_needs_no_download(options: tuple[str, ...]) -> None:
    def build(pipeline: beam.Pipeline) -> None:
        assert isinstance(pipeline.runner, LocalRunner)
        _ = pipeline | beam.Create([1])

    run_pipeline(build, options)


def elsewhere(jar: Path) -> list[str]:
    return [
        "--runner=FlinkRunner",
        "--flink_master=127.0.0.1:9",
        "--flink_submit_uber_jar",
        f"--flink_job_server_jar={jar}",
        "--environment_type=EXTERNAL",
        "--environment_config=localhost:1",
    ]


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "job-server.jar", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
    message = r"^FlinkRunner does not answer at 127\.0\.0\.1:9; see that it runs, and run again: what is done is kept$"
    with pytest.raises(TransientError, match=message):
        run_pipeline(lambda pipeline: pipeline | beam.Create([1]), elsewhere(tmp_path / "job-server.jar"))


def test_a_jar_that_cannot_be_fetched_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise RuntimeError("Unable to fetch remote job server jar at https://host/a/b-2.77.0.jar: HTTP 404. And")

    monkeypatch.setattr("apache_beam.utils.subprocess_server.JavaJarServer.local_jar", unreachable)
    message = r"^b-2\.77\.0\.jar cannot be fetched; give a JAR, as `trillsson engine options` does$"
    with pytest.raises(InputError, match=message):
        run_pipeline(lambda pipeline: pipeline | beam.Create([1]), elsewhere(tmp_path))


def test_a_jar_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    message = rf"^{tmp_path}/none\.jar does not exist; correct --flink_job_server_jar$"
    with pytest.raises(InputError, match=message):
        run_pipeline(lambda pipeline: pipeline | beam.Create([1]), elsewhere(tmp_path / "none.jar"))
