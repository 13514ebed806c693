"""How a stored frame is shown: turned or mirrored as its display matrix says, with square pixels, and cropped."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

Rgb = npt.NDArray[np.uint8]
_MATRIX_BYTES = 36


@dataclass(frozen=True, slots=True)
class Orientation:
    """Which way round a stored frame is shown: first transposed, then mirrored.

    Attributes:
        transpose: Whether rows become columns.
        flip_x: Whether left and right are exchanged.
        flip_y: Whether up and down are exchanged.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The (height, width, ...) pixels as shown; a view."""
        if self.transpose:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


AS_STORED = Orientation()


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """What FFmpeg's `-autorotate` makes of a frame's display matrix, for turns by quarters and mirrors."""
    side: Any = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return AS_STORED
    data = bytes(side)
    return AS_STORED if len(data) < _MATRIX_BYTES else from_matrix(np.frombuffer(data[:_MATRIX_BYTES], "<i4").tolist())


def from_matrix(matrix: list[int]) -> Orientation:
    """The orientation of a display matrix (ISO/IEC 14496-12), by FFmpeg's rules.

    Args:
        matrix: Its nine numbers, row by row. One that collapses the frame, such as all zeros, changes nothing.
    """
    a, b, _, c, d = matrix[:5]
    width, height = math.hypot(a, c), math.hypot(b, d)
    if width == 0 or height == 0:
        return AS_STORED
    angle = round(math.degrees(math.atan2(b / height, a / width))) % 360
    if angle == 90:
        return Orientation(transpose=True, flip_x=c <= 0)
    if angle == 270:
        return Orientation(transpose=True, flip_x=c < 0, flip_y=True)
    if angle == 180:
        return Orientation(flip_x=a < 0, flip_y=d < 0)
    return Orientation(flip_y=d < 0) if angle == 0 else AS_STORED


@dataclass(frozen=True, slots=True)
class Display:
    """How the frames of one pass are shown.

    Attributes:
        crop: Part of the upright frame as fractions (left, top, right, bottom); None for all of it.
        aspect: Width over height of one stored pixel.
        orientation: Which way round.
    """

    crop: tuple[float, float, float, float] | None = None
    aspect: Fraction = Fraction(1)
    orientation: Orientation = field(default=AS_STORED)

    def _squared(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the stored frame with square pixels."""
        return (width if self.aspect == 1 else max(1, round(width * self.aspect))), height

    def _edges(self, width: int, height: int) -> tuple[int, int, int, int]:
        left, top, right, bottom = self.crop or (0.0, 0.0, 1.0, 1.0)
        return round(left * width), round(top * height), round(right * width), round(bottom * height)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height as shown.

        Args:
            width: Of the stored frame.
            height: Of the stored frame.
        """
        width, height = self._squared(width, height)
        if self.orientation.transpose:
            width, height = height, width
        left, top, right, bottom = self._edges(width, height)
        return right - left, bottom - top

    def show(self, pixels: Rgb, short_side: int | None) -> Rgb:
        """Pixels as shown: (height, width, 3) uint8.

        Args:
            pixels: The stored frame, (height, width, 3) uint8.
            short_side: Scale down (area average) so that the whole frame's short side is at most this.
        """
        stored = pixels.shape[1], pixels.shape[0]
        width, height = self._squared(*stored)
        if (width, height) != stored:
            pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
        scale = 1.0 if short_side is None else min(1.0, short_side / min(width, height))
        if scale < 1:
            size = (round(width * scale), round(height * scale))
            pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX, reducing_gap=1.0))
        shown = self.orientation.apply(pixels)
        if self.crop is not None:
            left, top, right, bottom = self._edges(shown.shape[1], shown.shape[0])
            shown = shown[top:bottom, left:right]
        return np.ascontiguousarray(shown)
