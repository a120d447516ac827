"""What a screening left: which clips are not learnt from and why, and how many clips of each corpus are what.

<screened>/excluded.jsonl   one JSON object a line: an `Exclusion`
<screened>/screen.json      a `Screening`
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from trillsson.config import Spec, Task
from trillsson.datasets import Dataset
from trillsson.digests import SHORT, digest_of
from trillsson.errors import InputError, IntegrityError
from trillsson.folders import local_folder

EXCLUDED = "excluded.jsonl"
SCREENING = "screen.json"
Reason = Literal["leak", "duplicate"]


class Exclusion(Spec):
    """A clip that is not learnt from: its samples are those of a test clip, or of another clip that is learnt from."""

    key: str
    reason: Reason
    of: str


class Counts(Spec):
    """Clips of one corpus, or of all: in total, tested on, learnt from, and excluded."""

    clips: int = 0
    seconds: float = 0.0
    test: int = 0
    pool: int = 0
    pool_seconds: float = 0.0
    leaks: int = 0
    duplicates: int = 0


class Screening(Spec):
    """What was screened, for what, and what came of it: `screen.json`.

    Attributes:
        corpora: the training corpora.
        tasks: corpus, label and split column of every task.
        datasets: corpus -> id of its audio dataset.
        counts: corpus -> its clips.
        total: the clips of all corpora.
    """

    schema_version: Literal[1] = 1
    corpora: tuple[str, ...]
    tasks: dict[str, tuple[str, str, str | None]]
    datasets: dict[str, str]
    counts: dict[str, Counts]
    total: Counts


@dataclass(frozen=True)
class Screened:
    """A screening that was read back."""

    uri: str
    screening: Screening
    exclusions: tuple[Exclusion, ...]

    @cached_property
    def keys(self) -> frozenset[str]:
        """Keys of the clips that are not learnt from."""
        return frozenset(exclusion.key for exclusion in self.exclusions)

    @property
    def digest(self) -> str:
        """Digest of the keys: whatever is made without these clips is made anew when they change, and only then."""
        return digest_of(sorted(self.keys))[:SHORT]

    def check(
        self,
        audio: Sequence[Dataset],
        *,
        corpora: Sequence[str] | None = None,
        tasks: Mapping[str, Task] | None = None,
    ) -> None:
        """Refuses a screening of other data, or for other uses of them.

        Args:
            audio: the datasets that are used, which may be some of those screened.
            corpora: the training corpora, where they matter.
            tasks: the tasks, where they matter.

        Raises:
            InputError: it is one.
        """
        for dataset in audio:
            if self.screening.datasets.get(dataset.manifest.corpus) != dataset.id:
                raise InputError(f"{self.uri} did not screen {dataset.uri}; run screen on the same audio")
        if corpora is not None and tuple(corpora) != self.screening.corpora:
            screened = ", ".join(self.screening.corpora)
            raise InputError(
                f"{self.uri} was screened for training.corpora {screened}, not {', '.join(corpora)}; run screen again"
            )
        if tasks is not None and (changed := _changed(tasks_of(tasks), self.screening.tasks)):
            raise InputError(f"{self.uri} was screened for other tasks, task {changed} differs; run screen again")


def tasks_of(tasks: Mapping[str, Task]) -> dict[str, tuple[str, str, str | None]]:
    """Returns what matters of the tasks here: how they are scored does not."""
    return {name: (task.corpus, task.label, task.split) for name, task in tasks.items()}


def read_screened(uri: str) -> Screened:
    """Reads the folder that a screening left.

    Raises:
        InputError: there is no such folder, or it is of another step.
        IntegrityError: a file is missing or changed, or of another schema version.
    """
    with tempfile.TemporaryDirectory(prefix="trillsson-") as cache:
        folder = local_folder(uri, Path(cache))
        if not (folder / SCREENING).exists():
            raise InputError(f"folder {uri} holds no {SCREENING}; give the folder that `trillsson screen` printed")
        try:
            screening = Screening.model_validate_json((folder / SCREENING).read_bytes())
            with (folder / EXCLUDED).open("rb") as lines:
                exclusions = tuple(map(Exclusion.model_validate_json, lines))
        except ValidationError as error:
            raise IntegrityError(f"{uri} is no screening of schema version 1; run screen again") from error
    return Screened(uri, screening, exclusions)


def _changed(
    one: Mapping[str, tuple[str, str, str | None]], two: Mapping[str, tuple[str, str, str | None]]
) -> str | None:
    return min((name for name in one.keys() | two.keys() if one.get(name) != two.get(name)), default=None)
