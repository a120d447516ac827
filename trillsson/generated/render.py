"""From the recipe of a clip to the bytes of its file."""

import io

import numpy as np
from numpy.typing import NDArray

from trillsson.generated import effects
from trillsson.generated.effects import Signal
from trillsson.generated.espeak import RATE, Espeak
from trillsson.generated.recipes import Channel, Effect, Utterance

_FADE = RATE // 100
_HIGHEST_PEAK = 0.98


def render(utterance: Utterance, espeak: Espeak) -> bytes:
    """Returns the bytes of the clip's file: mono, 16 bit, 22,050 Hz.

    Raises:
        InputError: espeak-ng does not know the voice.
        TransientError: espeak-ng died.
    """
    rng = np.random.default_rng(utterance.seed)
    speech = fitted(espeak.say(utterance.speech) / 32_768, utterance.channel)
    return encoded(
        recorded(changed(speech, utterance.effect, rng=rng), utterance.channel, rng=rng), utterance.extension
    )


def fitted(speech: Signal, channel: Channel) -> Signal:
    """Cuts speech to the channel's length with 10 ms fades, or sets it in silence of that length."""
    samples = round(channel.seconds * RATE)
    start = int(channel.position * abs(len(speech) - samples))
    if len(speech) < samples:
        return np.pad(speech, (start, samples - len(speech) - start))
    fade = np.minimum(1, np.minimum(np.arange(samples), np.arange(samples)[::-1]) / _FADE)
    return speech[start : start + samples] * fade


def changed(speech: Signal, effect: Effect, *, rng: np.random.Generator) -> Signal:
    """Applies the effect."""
    match effect.kind:
        case "griffin_lim":
            return effects.griffin_lim(speech, iterations=effect.amount, rng=rng)
        case "lpc_vocoder":
            return effects.lpc_vocoder(speech, order=effect.amount, rng=rng)
        case "smear":
            return effects.smear(speech, bins=effect.amount)
        case "slur":
            return effects.slur(speech, frames=effect.amount, strength=effect.strength)
        case "none":
            return speech


def recorded(speech: Signal, channel: Channel, *, rng: np.random.Generator) -> NDArray[np.int16]:
    """Tilts the spectrum, adds noise, sets the level and rounds to 16 bits; never clips."""
    heard = effects.tilt(speech, slope=channel.slope)
    noisy = effects.with_noise(heard, snr=channel.snr, slope=channel.noise_slope, rng=rng)
    level = noisy * 10 ** (channel.level / 20) / max(effects.rms(noisy), 1e-10)
    safe = level * min(1.0, _HIGHEST_PEAK / max(float(np.abs(level).max()), 1e-10))
    return np.rint(safe * 32_767).astype(np.int16)


def encoded(samples: NDArray[np.int16], extension: str) -> bytes:
    """Returns the bytes of an audio file. FLAC and WAV repeat byte for byte; Ogg numbers its streams at random."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=extension.upper(), subtype="PCM_16")
    return file.getvalue()
