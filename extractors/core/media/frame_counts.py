"""Whether a file with something for each frame of a clip is of that clip."""

from __future__ import annotations

_MOST_MISSING = 0.05  # of the frames; two of them always may be


def lacks_too_many(rows: int, frames: int) -> bool:
    """Whether a file has too few rows to be of a clip: more than 2 frames and 5 % are missing.

    Args:
        rows: Rows of the file.
        frames: Frames of the clip.
    """
    return frames - rows > max(2, _MOST_MISSING * frames)
