"""A clip's frames: one upright frame as pixels, and the frames of one decoding pass with their times."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from extractors.core.media.orientation import Display
from storage.clip import Clip

_USUAL_SECONDS = Fraction(1, 25)  # of a lone frame whose container does not say how long it is shown


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame, shown during [start, end) seconds from the clip's start; pixels are made on demand."""

    index: int
    start: float
    end: float
    decoded: av.VideoFrame
    display: Display = field(default_factory=Display)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright, cropped frame, without making its pixels."""
        return self.display.size(self.decoded.width, self.decoded.height)

    def rgb(self, short_side: int | None = None) -> npt.NDArray[np.uint8]:
        """The upright frame as (height, width, 3) uint8 RGB with square pixels.

        Args:
            short_side: Scale down (area average) so that the frame's short side is at most this.
        """
        # FFmpeg changes the colour space only: its scalers give other pixels from version to version.
        pixels: npt.NDArray[Any] = self.decoded.to_ndarray(format="rgb24")
        return self.display.show(pixels, short_side)


class FrameTrack:
    """Frames of one pass: always their times, and themselves while they fit in the memory bound.

    Args:
        clip: The clip.
        budget: Most bytes of decoded frames to keep.

    Attributes:
        kept: The frames; None if they do not fit.
    """

    def __init__(self, clip: Clip, budget: int) -> None:
        self.kept: list[av.VideoFrame] | None = []
        self._clip, self._room = clip, budget
        self._starts: list[Fraction] = []
        self._last = Fraction(0)

    def add(self, frame: av.VideoFrame, time: Fraction) -> None:
        """Take in one frame.

        Args:
            frame: The frame.
            time: Seconds from the clip's start at which it is shown.
        """
        self._starts.append(time)
        self._last = (frame.duration or 0) * (frame.time_base or Fraction(0))
        self._room -= sum(p.buffer_size for p in frame.planes)
        if self._room < 0:
            self.kept = None
        if self.kept is not None:
            self.kept.append(frame)

    def times(self) -> npt.NDArray[np.float64]:
        """(T, 2) seconds from the clip's start in which each frame is shown."""
        if not self._starts:
            return np.empty((0, 2))
        steps = sorted(b - a for a, b in zip(self._starts, self._starts[1:], strict=False))
        usual = steps[len(steps) // 2] if steps else _USUAL_SECONDS
        ends = [*self._starts[1:], self._starts[-1] + (self._last or usual)]
        if self._clip.end is not None:
            ends[-1] = min(ends[-1], Fraction(self._clip.end) - Fraction(self._clip.start or 0.0))
        return np.array([[float(a), float(b)] for a, b in zip(self._starts, ends, strict=True)])
