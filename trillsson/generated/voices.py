"""Who speaks and what is said: espeak-ng's voice variants and the words, each split with its own."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np

Split = Literal["train", "validation", "test"]
_Item = TypeVar("_Item")

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Left out are robots, whispers, echoes and twins of a voice that another split has.
VOICES: Mapping[Split, tuple[str, ...]] = {
    "train": _words(
        "Alex Alicia Andrea Andy Annie Denis Diogo Gene Henrique Hugo Jacky Mario Marco Michael Reed adam anika boris"
        " david edward f1 f2 f3 gustave iven2 john m1 m3 m5 m7 marcelo rob shelby steph travis"
    ),
    "validation": _words("Mike Nguyen aunty benjamin f4 m2 m6 max pablo quincy"),
    "test": _words("Lee antonio belinda ed f5 grandma grandpa ian linda m4 m8 miguel paul robert victor"),
}
# All of them are train voices: the speaker task trains on them, and no other task's test voice may be heard there.
SPEAKERS = _words(
    "Andrea Annie Diogo Jacky Reed adam anika boris f2 steph Alex Denis Gene Henrique Hugo Mario Michael david f1"
    " gustave"
)
BRITISH_SPEAKERS: Mapping[Split, tuple[str, ...]] = {
    "train": ("m3", "Andy", "marcelo"),
    "validation": ("m2",),
    "test": ("m4",),
}

LANGUAGES: Mapping[str, str] = {
    "english": "en-us",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "russian": "ru",
    "spanish": "es",
}
KEYWORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
OTHER_WORDS = _words(
    "backward bed bird cat dog eight five follow forward four happy house learn marvin nine one seven sheila six three"
    " tree two visual wow zero"
)

# Each split has words of its own, so no sentence is heard in two.
_ADJECTIVES: Mapping[Split, tuple[str, ...]] = {
    "train": _words("old little happy angry yellow broken heavy gentle lazy noisy famous hungry silver secret"),
    "validation": _words("tiny purple clever frozen modern"),
    "test": _words("young wooden quiet orange careful dusty"),
}
_NOUNS: Mapping[Split, tuple[str, ...]] = {
    "train": _words(
        "farmer teacher window garden river horse camera doctor bicycle sailor mountain kitchen village letter rabbit"
        " engine neighbour blanket island tiger"
    ),
    "validation": _words("painter bridge monkey basket castle lawyer"),
    "test": _words("student forest pilot bottle elephant market jacket musician"),
}
_VERBS = _words("found followed painted carried forgot visited described watched remembered moved")
_PLACES = ("after breakfast", "in the morning", "near the station", "once again", "every Sunday", "without a word")


def one_of(rng: np.random.Generator, items: Sequence[_Item]) -> _Item:
    """Draws one of the items."""
    return items[int(rng.integers(len(items)))]


def sentences(rng: np.random.Generator, split: Split) -> str:
    """Draws two English sentences, about 16 words."""
    return " ".join(_sentence(rng, split) for _ in range(2))


def numbers(rng: np.random.Generator) -> str:
    """Draws five numbers below 1,000 in digits, which espeak-ng spells out in every language."""
    return ", ".join(str(int(rng.integers(1_000))) for _ in range(5))


def _sentence(rng: np.random.Generator, split: Split) -> str:
    actor, thing = (f"{one_of(rng, _ADJECTIVES[split])} {one_of(rng, _NOUNS[split])}" for _ in range(2))
    return f"The {actor} {one_of(rng, _VERBS)} the {thing} {one_of(rng, _PLACES)}."
