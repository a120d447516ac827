"""What holds for every reader: a path where no corpus is."""

from pathlib import Path

import pytest
import yaml

from pipelines.beam.corpora import READERS
from pipelines.beam.corpora.catalogue import example
from pipelines.beam.prepare import PrepareSpec, run
from trillsson.config import parse_preparation
from trillsson.config.corpora import CorpusSpec
from trillsson.errors import InputError


def refused(kind: str, path: Path) -> str:
    """Returns what prepare says of a corpus of a kind at a path, after the path."""
    corpus = parse_preparation(yaml.safe_load(example(kind)), source="here").corpora[kind]
    assert isinstance(corpus, CorpusSpec)
    spec = corpus.model_copy(update={"path": str(path)})
    with pytest.raises(InputError) as caught:
        run(PrepareSpec(name="some", corpus=spec, workdir=str(path.parent / "work")))
    return str(caught.value).partition(str(path))[2]


@pytest.mark.parametrize("kind", READERS)
def test_a_path_where_no_corpus_is(tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty/folder").mkdir(parents=True)
    (tmp_path / "file").touch()
    fix = "correct corpora.some.path"
    assert refused(kind, tmp_path / "nowhere") == f" does not exist; {fix}"
    assert refused(kind, tmp_path / "file") == f" is a file, not a folder; {fix}"
    expected = "holds no audio; give a folder with " if kind == "folder" else "holds no files; expected "
    assert refused(kind, tmp_path / "empty").startswith(f" {expected}")
