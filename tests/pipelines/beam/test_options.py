"""Options of Beam's are right, or refused by name and value before any work."""

import re

import pytest

from pipelines.beam.options import check_options, parse_options, runs_elsewhere
from trillsson.errors import InputError

BAD = {
    "--runner=DaskRunner": "Beam's DaskRunner loses data silently; choose FnApiRunner, FlinkRunner or DataflowRunner",
    "--runner=dask": "Beam's DaskRunner loses data silently; choose FnApiRunner, FlinkRunner or DataflowRunner",
    "--runner=Bogus": "Beam has no runner 'Bogus'; choose FnApiRunner, FlinkRunner, SparkRunner or DataflowRunner",
    "--runner=": "Beam has no runner ''; choose FnApiRunner, FlinkRunner, SparkRunner or DataflowRunner",
    "--runner=a.b.C": "Beam has no runner 'a.b.C'; choose FnApiRunner, FlinkRunner, SparkRunner or DataflowRunner",
    "--runner=os.path": "Beam has no runner 'os.path'; choose FnApiRunner, FlinkRunner, SparkRunner or DataflowRunner",
    "--runner=builtins.object": (
        "Beam has no runner 'builtins.object'; choose FnApiRunner, FlinkRunner, SparkRunner or DataflowRunner"
    ),
    "--direct_num_wrokers=2": "Beam option --direct_num_wrokers is unknown; mend its spelling or leave it out",
    "--help": "Beam option --help is unknown; mend its spelling or leave it out",
    "direct_num_workers=2": (
        "Beam option 'direct_num_workers=2' is none; write --name=value, such as --direct_num_workers=2"
    ),
    "-f": "Beam option '-f' is none; write --name=value, such as --direct_num_workers=2",
    "--": "Beam option '--' is none; write --name=value, such as --direct_num_workers=2",
    "--direct_num_workers 2": (
        "Beam option --direct_num_workers is apart from its value; write --direct_num_workers=2"
    ),
    "--direct_num_workers": "Beam option --direct_num_workers: expected one argument; mend it or leave it out",
    "--direct_num_workers=x": "Beam option --direct_num_workers: invalid int value: 'x'; mend it or leave it out",
    "--direct_num_workers=-1": "Beam option --direct_num_workers=-1: cannot be negative; 0 means one a core",
    "--direct_running_mode=fast": (
        "Beam option --direct_running_mode: invalid choice: 'fast' (choose from 'in_memory', 'multi_threading', "
        "'multi_processing'); mend it or leave it out"
    ),
    "--streaming=yes": "Beam option --streaming: ignored explicit argument 'yes'; mend it or leave it out",
    "--direct_num_workers=1 --direct_num_workers=2": (
        "Beam option --direct_num_workers is given 2 times; give it once"
    ),
    "--type_check_additional=some": (
        "Beam refuses the options for FnApiRunner: Unrecognized --type_check_additional feature: some"
    ),
}


@pytest.mark.parametrize("options", BAD)
def test_options_that_cannot_be_used(options: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(BAD[options])}$"):
        check_options(options.split(" "))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("runner", ["", "DirectRunner", "direct", "FnApiRunner", "SwitchingDirectRunner"])
def test_the_local_runner_has_many_names(runner: str) -> None:
    parsed = parse_options([f"--runner={runner}"] if runner else [])
    assert parsed.get_all_options(drop_default=True)["runner"] == "FnApiRunner"


def test_lists_grow_and_other_runners_have_options_of_their_own() -> None:
    parsed = parse_options(["--experiments=a", "--runner=FlinkRunner", "--flink_master=host:8081", "--experiments=b"])
    values = parsed.get_all_options(drop_default=True, retain_unknown_options=True)
    assert values["experiments"] == ["a", "b"]
    assert values["flink_master"] == "host:8081"


def test_where_a_job_runs() -> None:
    assert not runs_elsewhere([])
    assert not runs_elsewhere(["--runner=direct", "--direct_num_workers=2"])
    assert runs_elsewhere(["--runner=flink"])
