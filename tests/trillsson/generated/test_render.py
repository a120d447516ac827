import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from trillsson.generated.espeak import RATE
from trillsson.generated.recipes import Channel, Effect
from trillsson.generated.render import changed, encoded, fitted, recorded

CHANNEL = Channel(seconds=1.0, position=0.25, slope=0.0, snr=20.0, noise_slope=0.0, level=-26.0)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_long_speech_is_cut_where_the_channel_says():
    cut = fitted(np.arange(2.0 * RATE), CHANNEL)
    assert len(cut) == RATE
    assert cut[RATE // 2] == RATE // 4 + RATE // 2
    assert cut[0] == cut[-1] == 0
    assert cut[220] == RATE // 4 + 220


def test_short_speech_is_set_in_silence():
    set_in = fitted(np.ones(RATE // 5), CHANNEL)
    assert len(set_in) == RATE
    assert np.flatnonzero(set_in)[[0, -1]].tolist() == [4_410, 8_819]


def test_the_level_is_that_of_the_channel(rng):
    samples = recorded(0.01 * rng.standard_normal(RATE), CHANNEL, rng=rng)
    assert samples.dtype == np.int16
    assert 20 * np.log10(np.std(samples / 32_767)) == pytest.approx(-26, abs=0.01)


def test_a_peak_beyond_full_scale_lowers_the_clip_and_does_not_clip(rng):
    click = np.zeros(RATE)
    click[1_000] = 1.0
    samples = recorded(click, replace(CHANNEL, snr=60.0), rng=rng)
    assert np.abs(samples.astype(int)).max() == round(0.98 * 32_767)


def test_silence_stays_silence(rng):
    assert not recorded(np.zeros(RATE), CHANNEL, rng=rng).any()


@pytest.mark.parametrize(
    "effect",
    [
        Effect("none"),
        Effect("griffin_lim", amount=2),
        Effect("lpc_vocoder", amount=12),
        Effect("smear", amount=9),
        Effect("slur", amount=9, strength=0.7),
    ],
    ids=lambda effect: effect.kind,
)
def test_every_effect_keeps_the_length_and_repeats(effect, rng):
    speech = rng.standard_normal(10_001)
    first, again = (changed(speech, effect, rng=np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == speech.shape
    assert np.isfinite(first).all()
    assert np.array_equal(first, speech) == (effect.kind == "none")


@pytest.mark.parametrize("extension", ["flac", "wav"])
def test_a_file_holds_the_very_samples_and_repeats(extension, rng):
    samples = rng.integers(-32_768, 32_768, 5_000).astype(np.int16)
    data = encoded(samples, extension)
    read, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    np.testing.assert_array_equal(read, samples)
    assert (rate, data) == (22_050, encoded(samples, extension))
