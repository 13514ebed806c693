"""A clip's frames: one upright frame as pixels, and the frames of one decoding pass with their times."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

from extractors.core.media.demuxing import clip_length
from storage.clip import Clip


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame, shown during [start, end) seconds from the clip's start; pixels are made on demand."""

    index: int
    start: float
    end: float
    decoded: av.VideoFrame
    crop: tuple[float, float, float, float] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright, cropped frame, without making its pixels."""
        width, height = self.decoded.width, self.decoded.height
        if round(self.decoded.rotation / 90) % 2:
            width, height = height, width
        left, top, right, bottom = self.crop or (0.0, 0.0, 1.0, 1.0)
        return round(right * width) - round(left * width), round(bottom * height) - round(top * height)

    def rgb(self, short_side: int | None = None) -> npt.NDArray[np.uint8]:
        """The upright frame as (height, width, 3) uint8 RGB.

        Args:
            short_side: Scale down (area average) so that the frame's short side is at most this.
        """
        width, height = self.decoded.width, self.decoded.height
        scale = 1.0 if short_side is None else min(1.0, short_side / min(width, height))
        pixels = self.decoded.to_ndarray(
            format="rgb24", interpolation="AREA", width=round(width * scale), height=round(height * scale)
        )
        upright = np.rot90(pixels, round(self.decoded.rotation / 90) % 4)
        if self.crop is not None:
            left, top, right, bottom = self.crop
            h, w = upright.shape[:2]
            upright = upright[round(top * h) : round(bottom * h), round(left * w) : round(right * w)]
        return np.ascontiguousarray(upright)


class FrameTrack:
    """Frames of one pass: always their times, and themselves while they fit in the memory bound.

    Args:
        budget: Most bytes of decoded frames to keep.

    Attributes:
        kept: The frames; None if they do not fit.
        end: Seconds at which the last one starts.
    """

    def __init__(self, budget: int) -> None:
        self.kept: list[av.VideoFrame] | None = []
        self._room = budget
        self._starts: list[float] = []
        self._last = 0.0
        self.end = 0.0

    def add(self, frame: av.VideoFrame, time: float) -> None:
        """Take in one frame.

        Args:
            frame: The frame.
            time: Seconds from the clip's start at which it is shown.
        """
        self._starts.append(time)
        self.end = time
        self._last = float((frame.duration or 0) * (frame.time_base or 0))
        self._room -= sum(p.buffer_size for p in frame.planes)
        if self._room < 0:
            self.kept = None
        if self.kept is not None:
            self.kept.append(frame)

    def times(self, clip: Clip) -> npt.NDArray[np.float64]:
        """(T, 2) seconds from the clip's start in which each frame is shown."""
        starts = np.array(self._starts, dtype=np.float64)
        usual = float(np.median(np.diff(starts))) if starts.size > 1 else 0.04
        ends = np.append(starts[1:], starts[-1:] + (self._last or usual))
        ends = np.minimum(ends, clip_length(clip))
        return np.stack([starts, ends], axis=1).reshape(-1, 2)
