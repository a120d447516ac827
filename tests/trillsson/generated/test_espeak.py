import sys
from dataclasses import replace

import numpy as np
import pytest

from trillsson.errors import InputError
from trillsson.generated.espeak import RATE, Speech, loader
from trillsson.generated.voices import BRITISH_SPEAKERS, LANGUAGES, SPEAKERS, VOICES

HELLO = Speech(language="en-us", voice="m3", text="Hello again.", rate=170, pitch=50, range=50, gap=0, seed=1)
# Breath and roughness are random in this voice.
BREATHY = replace(HELLO, voice="f5")


def test_the_same_speech_has_the_same_samples_whatever_was_said_before(say):
    fresh = say(BREATHY)[0]
    again = say(HELLO, BREATHY, replace(BREATHY, seed=2), BREATHY)
    np.testing.assert_array_equal(again[1], fresh)
    np.testing.assert_array_equal(again[3], fresh)
    assert not np.array_equal(again[2], fresh)


def test_samples_are_speech_that_does_not_clip(say):
    loudest = say(replace(HELLO, voice="antonio", text="Hello again, " * 5))[0]
    assert loudest.dtype == np.int16
    assert 10_000 < np.abs(loudest.astype(int)).max() < 32_767


def test_every_voice_and_language_of_the_corpus_speaks(say):
    voices = sorted({*SPEAKERS, *(name for pool in VOICES.values() for name in pool)})
    british = sorted(name for pool in BRITISH_SPEAKERS.values() for name in pool)
    speeches = [replace(HELLO, voice=name) for name in voices]
    speeches += [replace(HELLO, voice=name, language="en-gb-x-rp") for name in british]
    speeches += [replace(HELLO, language=code, text="123") for code in LANGUAGES.values()]
    said = say(*speeches)
    assert len({samples.tobytes() for samples in said}) == len(speeches)
    assert min(len(samples) for samples in said) > RATE / 3


@pytest.mark.parametrize(("slower", "longer"), [({"rate": 100}, 1.3), ({"gap": 30}, 1.1)], ids=["rate", "gap"])
def test_rate_and_gap_change_the_length(say, slower, longer):
    usual, slow = say(HELLO, replace(HELLO, **slower))
    assert len(slow) > longer * len(usual)


def test_an_unknown_voice_is_an_input_error(say):
    with pytest.raises(InputError) as error:
        say(replace(HELLO, language="xx-nowhere"))
    assert str(error.value) == "espeak-ng has no voice xx-nowhere+m3; install espeakng-loader==0.2.4 again"


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError) as error:
        loader()
    assert str(error.value) == (
        "the generated corpus needs espeakng-loader, which is not installed; pip install 'trillsson[quickstart]'"
    )
