"""Real recordings, where a folder of labelled sets is at hand: every file of every set becomes audio."""

import csv
from pathlib import Path

import pytest

from pipelines.beam.prepare import PrepareSpec, run
from tests.real_speech import SETS, needs_sets
from trillsson.config import FolderCorpus
from trillsson.datasets import open_dataset


@needs_sets
def test_every_file_of_every_set_is_prepared(tmp_path: Path) -> None:
    for folder in SETS:
        with (folder / "manifest.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        corpus = FolderCorpus(kind="folder", path=str(folder), csv="manifest.csv")
        manifest = open_dataset(
            run(PrepareSpec(name="real", corpus=corpus, workdir=str(tmp_path / folder.name))), "audio"
        ).manifest
        assert (manifest.records, manifest.rejects) == (len(rows), {})
        assert manifest.seconds == pytest.approx(sum(float(row["seconds"]) for row in rows), rel=0.02)
