"""evaluate: from datasets to a result, once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trillsson.config import Evaluation, Framing, LogMelBaseline, Task
from trillsson.errors import InputError
from trillsson.noss import evaluate
from trillsson.noss.evaluate import EvaluateSpec, read_result, run, time_embedder
from trillsson.records import AudioRecord, EmbeddingRecord

FRAMING = Framing(window=8_000, hop=8_000)
CONTENT = {"framing": FRAMING.model_dump(mode="json")}


MakeSpec = Callable[..., EvaluateSpec]


@pytest.fixture
def make_spec(store_pair: Callable[..., tuple[str, str]], tmp_path: Path) -> MakeSpec:
    """40 clips whose mean embedding, but no single window, tells the class; every fourth clip is test.

    Clips of numbers in `rejected` have no embedding.
    """
    clips, rows = [], []
    rng = np.random.default_rng(0)
    for number in range(40):
        split = "test" if number % 4 == 0 else "train"
        labels = {"mood": ("sad", "glad")[number % 2 if number % 4 else number // 4 % 2]} if number != 39 else {}
        clips.append(AudioRecord(key=f"speech/{number:02d}", audio=np.zeros(9, np.float32), split=split, labels=labels))
        noise = rng.normal(0, 5, 3)
        mean = {"sad": -1.0, "glad": 1.0}.get(labels.get("mood", ""), 0.0)
        pair = np.stack([mean + noise, mean - noise]).astype(np.float32)
        rows.append(EmbeddingRecord(key=clips[-1].key, embeddings=pair))

    def make(*rejected: int) -> EvaluateSpec:
        kept = [row for number, row in enumerate(rows) if number not in rejected]
        audio, embeddings = store_pair(tmp_path / "data", clips, kept, content=CONTENT)
        return EvaluateSpec(
            name="logmel",
            role="baseline",
            embedder=LogMelBaseline(),
            audio=(audio,),
            embeddings=(embeddings,),
            tasks={"mood": Task(corpus="speech", label="mood", carve_by="clip")},
            evaluation=Evaluation(penalties=(1.0,), bootstrap=100),
            framing=FRAMING,
            workdir=str(tmp_path / "work"),
        )

    return make


@pytest.fixture
def spec(make_spec: MakeSpec) -> EvaluateSpec:
    """A model that has embedded every clip."""
    return make_spec()


def test_windows_are_averaged_before_the_probe_and_unlabelled_clips_left_out(spec: EvaluateSpec) -> None:
    result = read_result(run(spec))
    score = result.scores["mood"]
    assert (score.value, score.train + score.validation, score.test) == (1.0, 29, 10)
    assert (result.role, result.dim, result.size_mb, result.parity) == ("baseline", 128, None, {})
    assert result.rejects == {}
    assert result.ms_per_second > 0


def test_a_model_that_lacks_a_clip_of_a_task_is_not_compared(make_spec: MakeSpec) -> None:
    message = (
        r"^logmel has no embedding of speech/25 \(non_finite_embedding\), which task mood needs: models are compared "
        r"on the same clips; mend the model, or take the clip out of the corpus$"
    )
    with pytest.raises(InputError, match=message):
        run(make_spec(25, 31))


def test_a_clip_of_no_task_may_lack(make_spec: MakeSpec) -> None:
    result = read_result(run(make_spec(39)))
    assert result.scores["mood"].test == 10
    assert result.rejects == {"speech": {"non_finite_embedding": 1}}


def test_a_result_is_measured_once(spec: EvaluateSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = run(spec)
    monkeypatch.setattr(evaluate, "evaluate_task", None)
    assert run(spec) == uri


def test_a_label_that_no_clip_has(spec: EvaluateSpec) -> None:
    tasks = {"age": Task(corpus="speech", label="age")}
    message = r"^task age: no clip of speech has label 'age' and a split in column 'split'; its columns are mood$"
    with pytest.raises(InputError, match=message):
        run(spec.model_copy(update={"tasks": tasks}))


def test_a_result_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"result .*none\.json does not exist; name one that a step printed, or run"):
        read_result(str(tmp_path / "none.json"))


def test_timing_is_per_second_of_audio() -> None:
    class Slow:
        dim, window, size_bytes = 1, 16_000, 0

        def embed(self, windows: np.ndarray) -> np.ndarray:
            evaluate.time.sleep(0.032)
            return windows[:, :1]

    assert time_embedder(Slow()) == pytest.approx(1.0, rel=0.5)
