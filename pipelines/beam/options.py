"""Beam's options: what follows `--` on the command line, and the config's `beam` list.

Beam warns of an option that it does not know and goes on without it, and prints its whole usage for a bad value; here
both are an InputError.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from trillsson.errors import InputError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

LOCAL_RUNNER = "FnApiRunner"
"""What a job runs on if the options name no runner. `DirectRunner` means the same: Beam's own runner of that name would
first try to download another one."""

_LOCAL_NAMES = ("fnapi", "direct", "switchingdirect")
_SPELLED = re.compile(r"--\w[\w-]*(=.*)?", re.DOTALL)
_UNKNOWN = "Beam option --{} is unknown; mend its spelling or leave it out"


def parse_options(options: Sequence[str]) -> "PipelineOptions":
    """Parses Beam's options.

    Raises:
        InputError: one is misspelt, unknown, given twice or has a bad value; or the runner is unknown or loses data.
    """
    from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

    _refuse_misspelt(options)
    parsed = PipelineOptions(list(options))
    values = parsed.get_all_options(retain_unknown_options=True, add_extra_args_fn=_refuse_bad_values)
    known = PipelineOptions([]).get_all_options().keys()
    _refuse_twice(options, {name: value for name, value in values.items() if name in known})
    standard = parsed.view_as(StandardOptions)
    if standard.runner is None or short_name(standard.runner) in _LOCAL_NAMES:
        standard.runner = LOCAL_RUNNER
        # Runners elsewhere have options of their own, which only they know.
        if unknown := values.keys() - known:
            raise InputError(_UNKNOWN.format(min(unknown)))
        if (workers := parsed.view_as(DirectOptions).direct_num_workers) < 0:
            raise InputError(f"Beam option --direct_num_workers={workers}: cannot be negative; 0 means one a core")
    _refuse_runner(parsed, standard.runner)
    return parsed


def check_options(options: Sequence[str]) -> None:
    """Refuses what `parse_options` does, whether there is work to do or not; without options Beam is not loaded."""
    if options:
        parse_options(options)


def runs_elsewhere(options: Sequence[str]) -> bool:
    """Checks options as `check_options` does, and tells whether they name a runner that is not on this machine."""
    if not options:
        return False
    from apache_beam.options.pipeline_options import StandardOptions

    return bool(parse_options(options).view_as(StandardOptions).runner != LOCAL_RUNNER)


def refused(runner: str, reasons: Sequence[str]) -> InputError:
    """What Beam's own check of options for a runner found, as one line."""
    return InputError(f"Beam refuses the options for {runner}: {' '.join(' '.join(reasons).split())}")


def _refuse_misspelt(options: Sequence[str]) -> None:
    for before, option in zip(["", *options], options, strict=False):
        if _SPELLED.fullmatch(option):
            continue
        if before and "=" not in before:
            raise InputError(f"Beam option {before} is apart from its value; write {before}={option}")
        raise InputError(f"Beam option {option!r} is none; write --name=value, such as --direct_num_workers=2")
    if "--help" in options:  # argparse would print a usage without any option, and end the process
        raise InputError(_UNKNOWN.format("help"))


def _refuse_bad_values(parser: Any) -> None:
    """Makes Beam's parser raise where it would print its usage and end the process."""

    def refuse(message: str) -> NoReturn:
        raise InputError(f"Beam option {message.removeprefix('argument ')}; mend it or leave it out")

    parser.error = refuse


def _refuse_twice(options: Sequence[str], values: dict[str, Any]) -> None:
    """Refuses an option that is given twice, where the last would win; lists such as --experiments may grow."""
    for name, count in Counter(option.partition("=")[0] for option in options).items():
        if count > 1 and not isinstance(values.get(name[2:], []), list | dict):
            raise InputError(f"Beam option {name} is given {count} times; give it once")


def _refuse_runner(parsed: "PipelineOptions", name: str) -> None:
    from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
    from apache_beam.runners.runner import PipelineRunner, create_runner

    if short_name(name) == "dask":
        raise InputError("Beam's DaskRunner loses data silently; choose FnApiRunner, FlinkRunner or DataflowRunner")
    try:
        runner = create_runner(name)
        if not isinstance(runner, PipelineRunner):
            raise TypeError(f"{name} makes a {type(runner).__name__}")
    except (ValueError, ImportError, AttributeError, TypeError) as error:
        known = "FnApiRunner, FlinkRunner, SparkRunner or DataflowRunner"
        raise InputError(f"Beam has no runner {name!r}; choose {known}") from error
    validator = PipelineOptionsValidator(parsed, runner)
    # Google's are checked when the job starts: that looks for buckets, and makes them.
    if not validator.is_service_runner() and (wrong := validator.validate()):
        raise refused(name, wrong)


def short_name(runner: str) -> str:
    """The runner's name as Beam compares it: without its module, the word Runner and capitals."""
    return runner.rpartition(".")[2].lower().removesuffix("runner")
