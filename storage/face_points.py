"""Which face matters, as somebody pointed it out: a point or a box, in pixels or fractions, at a time or always."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

_NUMBERS = re.compile(r"[\s,;]+")


class PointedFace(NamedTuple):
    """A point or box of a frame.

    Attributes:
        at: x, y, or x1, y1, x2, y2: pixels of the upright frame, or fractions of it where none is above 1.
        time: Seconds from the clip's start at which the face is there; None for any time.
    """

    at: tuple[float, ...]
    time: float | None = None


def read_pointed_face(text: str, name: str) -> PointedFace:
    """What a table says, such as `0.3,0.4`, `120 80 220 190` or `0.3,0.4@1.5`.

    Args:
        text: The cell.
        name: Of the field, for messages.

    Raises:
        ValueError: If it is something else.

    >>> read_pointed_face("0.3, 0.4@1.5", "main_face")
    PointedFace(at=(0.3, 0.4), time=1.5)
    """
    place, has_time, time = text.strip().partition("@")
    try:
        numbers = tuple(float(part) for part in _NUMBERS.split(place.strip("()[] ")) if part)
        seconds = float(time) if has_time else None
    except ValueError:
        numbers, seconds = (), None
    if len(numbers) not in {2, 4} or not all(math.isfinite(n) and n >= 0 for n in (*numbers, seconds or 0.0)):
        raise ValueError(f"{name}: expected x,y or x1,y1,x2,y2, perhaps @seconds, got {text!r}")
    if len(numbers) == 4 and (numbers[2] <= numbers[0] or numbers[3] <= numbers[1]):
        raise ValueError(f"{name}: expected x2 and y2 beyond x1 and y1, got {text!r}")
    return PointedFace(numbers, seconds)
