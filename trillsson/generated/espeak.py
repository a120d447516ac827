"""Speaks text with espeak-ng through ctypes, the same samples for the same `Speech`.

The library is GPL-3.0-or-later and optional: it is loaded here only, from the package `espeakng-loader`.
"""

import ctypes
import os
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from trillsson.errors import InputError, TransientError

RATE = 22_050
"""Hz. What every voice of espeak-ng speaks at."""

# Names and values of espeak-ng's public header, `speak_lib.h`.
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_UTF8 = 1
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4, "gap": 7}
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

# Several voices clip at espeak's own volume of 100. Loudness is set later, from the samples.
_VOLUME = 45


@dataclass(frozen=True)
class Speech:
    """What to say and how.

    Attributes:
        language: espeak's language, such as `en-us`.
        voice: espeak's voice variant, such as `f2`: the speaker.
        text: in the language; digits are spelt out.
        rate: words a minute, 80 to 450.
        pitch: 0 to 99, 50 is the voice's own.
        range: of the pitch, 0 to 99, 50 is the voice's own.
        gap: pause between words, in 10 ms.
        seed: of espeak's random breath and roughness, 0 to 2^31 - 1.
    """

    language: str
    voice: str
    text: str
    rate: int
    pitch: int
    range: int
    gap: int
    seed: int


def loader() -> ModuleType:
    """Imports the package that carries espeak-ng.

    Raises:
        InputError: it is not installed.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise InputError(
            "the generated corpus needs espeakng-loader, which is not installed; pip install 'trillsson[quickstart]'"
        ) from error
    module: ModuleType = espeakng_loader
    return module


class Espeak:
    """The library, initialised once. Use it only in a process without other threads: every utterance forks.

    espeak-ng carries state from one utterance to the next, which neither a seed nor a new initialisation clears, so
    each is spoken by a fork of the same fresh state.

    Raises:
        InputError: espeak-ng is not installed, or does not start.
    """

    def __init__(self) -> None:
        module = loader()
        path = module.get_library_path()
        try:
            self._library = ctypes.CDLL(path)
        except OSError as error:
            raise InputError(f"cannot load {path}: {error}; pip install 'trillsson[quickstart]' again") from error
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, module.get_data_path().encode(), _DONT_EXIT)
        if rate != RATE:
            raise InputError(f"espeak-ng answers {rate}, not {RATE} Hz; pip install 'trillsson[quickstart]' again")
        # Reads the phonemes and the English dictionary once, where every fork finds them: half of an utterance's time.
        self._library.espeak_SetVoiceByName(b"en-us")

    def say(self, speech: Speech) -> NDArray[np.int16]:
        """Returns the samples, `[n]` int16 at 22,050 Hz.

        Raises:
            InputError: espeak-ng does not know the language or the voice.
            TransientError: the child process died.
        """
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            self._speak_and_exit(speech, reader, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            samples = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 2:
            raise InputError(
                f"espeak-ng has no voice {speech.language}+{speech.voice}; install espeakng-loader==0.2.4 again"
            )
        if status:
            raise TransientError(f"espeak-ng died with status {status} saying {speech.text!r}; run again")
        return np.frombuffer(samples, np.int16)

    def _speak_and_exit(self, speech: Speech, reader: int, writer: int) -> None:
        """Never returns: no frame of the parent may run twice, whatever goes wrong."""
        status = 1
        try:
            os.close(reader)  # or a child whose parent is killed would wait for itself to read
            spoken = self._speak(speech)
            status = 2 if spoken is None else 0
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(spoken or b"")
        finally:
            os._exit(status)

    def _speak(self, speech: Speech) -> bytes | None:
        library, blocks = self._library, list[bytes]()

        @_Callback  # type: ignore[untyped-decorator]
        def keep(samples: object, count: int, _events: object) -> int:
            if count > 0:
                blocks.append(ctypes.string_at(samples, count * 2))  # type: ignore[arg-type]
            return 0

        library.espeak_SetSynthCallback(keep)
        library.espeak_ng_SetRandSeed(ctypes.c_long(speech.seed))
        if library.espeak_SetVoiceByName(f"{speech.language}+{speech.voice}".encode()):
            return None
        values = {name: getattr(speech, name) for name in _PARAMETERS if name != "volume"} | {"volume": _VOLUME}
        for name, value in values.items():
            library.espeak_SetParameter(_PARAMETERS[name], value, 0)
        text = speech.text.encode()
        library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        return b"".join(blocks)
