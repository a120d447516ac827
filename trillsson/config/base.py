"""What every spec is made of: a frozen model that knows its digest, and the types that several specs share."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from trillsson.digests import digest_of

SAMPLE_RATE = 16_000
"""Hz. Every clip, window and model of this project."""


def matching(pattern: str, allowed: str) -> AfterValidator:
    """Returns what makes pydantic refuse text that does not match all of a pattern, in words of ours."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"give {allowed}")
        return text

    return AfterValidator(check)


Name = Annotated[str, matching(r"[a-z0-9][a-z0-9_-]{0,62}", "a name of up to 63 lower-case letters, digits, - and _")]
"""A name that is also a folder: lower-case letters, digits, `-` and `_`."""

TaskName = Annotated[str, matching(r"[a-z0-9][a-z0-9_]{0,62}", "a name of up to 63 lower-case letters, digits and _")]
"""As `Name`, without `-`: it also names a vocabulary of tensorflow-transform, which would change a `-`."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A finite number above 0."""


class Spec(BaseModel):
    """A frozen value that knows its own digest. Unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def digest(self) -> str:
        """SHA-256 of the spec's canonical JSON."""
        return digest_of(self.model_dump(mode="json"))


class Framing(Spec):
    """How a clip is cut into windows. Part of the identity of every dataset and model.

    Windows start at 0, `hop`, 2 `hop`, ... A window that runs past the clip's end is dropped (`tail: drop`, the
    original's rule) or filled (`tail: pad`); the first window is always kept. Filling mirrors the clip at its end
    as often as needed (`symmetric`, as the original pads) or adds zeros (`constant`).
    """

    window: int = Field(32_000, ge=400, description="samples in a window; 2 s")
    hop: int = Field(32_000, ge=1, description="samples between the starts of windows")
    padding: Literal["symmetric", "constant"] = "symmetric"
    tail: Literal["pad", "drop"] = "pad"
