"""Parts of a long recording: joining those that voice activity detection found into clips."""

from collections.abc import Sequence


def merge_segments(segments: Sequence[tuple[float, float]], longest: float) -> list[tuple[float, float]]:
    """Joins consecutive segments into clips that are as long as they may be and cut no segment.

    A clip runs from the start of its first segment to the end of its last, the silence between them included. It takes
    the next segment for as long as it stays within `longest`; so no two neighbours could have been one clip.

    Args:
        segments: starts and ends in seconds, in order, none overlapping the next, each of some length.
        longest: seconds. A segment that is longer becomes a clip of its own, whole.

    Returns:
        Starts and ends of the clips in seconds, in order, not overlapping.
    """
    clips: list[tuple[float, float]] = []
    for start, end in segments:
        if clips and end - clips[-1][0] <= longest:
            clips[-1] = (clips[-1][0], end)
        else:
            clips.append((start, end))
    return clips
