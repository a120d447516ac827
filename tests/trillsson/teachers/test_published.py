"""With a real pretrained network, where the folder that `TRILLSSON_TEACHERS` names has one."""

from pathlib import Path

import numpy as np
import pytest

from trillsson.config import Framing, LogMelInput, LogMelSpec, TFLiteTeacher
from trillsson.logmel import log_mel
from trillsson.teachers import open_embedder


def yamnet(folder: Path, *, hop: int) -> TFLiteTeacher:
    patches = LogMelInput(kind="logmel", frames=96, hop=hop, logmel=LogMelSpec(bands=64))
    path = str(folder / "yamnet_spectra_in.tflite")
    return TFLiteTeacher(kind="tflite", path=path, dim=1024, tensor="layer28/reduce_mean", input=patches)


def test_log_mels_are_those_that_came_with_the_network(published: Path) -> None:
    """The spectra, `[96, 64]` float32, were made of the audio scaled to a peak of 1, with an offset of 0.01."""
    pcm = np.fromfile(published / "yamnet_test_audio.bin", "<i2").astype(np.float32)
    spectra = np.fromfile(published / "yamnet_test_spectra.bin", "<f4").reshape(96, 64)
    ours = log_mel((pcm / np.abs(pcm).max())[None], LogMelSpec(bands=64, offset=0.01))[0]
    np.testing.assert_allclose(ours, spectra, atol=1e-5)


@pytest.mark.parametrize("hop", [48, 96])
def test_embeddings_of_the_same_sound_are_alike_and_of_others_not(published: Path, hop: int) -> None:
    time = np.arange(32_000) / 16_000
    random = np.random.default_rng(0)
    sounds = np.stack(
        [
            random.normal(size=32_000) * 0.1,
            random.normal(size=32_000) * 0.1,
            np.sin(2 * np.pi * 440 * time) * 0.3,
            np.sin(2 * np.pi * 466 * time) * 0.3,
        ]
    )
    embedder = open_embedder(yamnet(published, hop=hop), Framing())
    rows = embedder.embed(sounds.astype(np.float32))
    assert rows.shape == (4, 1024)
    assert embedder.size_bytes == 4_047_424
    assert np.isfinite(rows).all()
    noises, tones, across = (np.corrcoef(rows)[pair] for pair in ((0, 1), (2, 3), (0, 2)))
    assert min(noises, tones) > 0.7
    assert across < 0.5
