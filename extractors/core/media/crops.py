"""The square around a face, cut out of a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FACE_EXPAND = 1.2  # side of the crop over side of the face box, wherever faces are cut out for people or encoders


def crop_face(
    rgb: npt.NDArray[np.uint8], box: npt.NDArray[np.floating[Any]], *, size: int, expand: float
) -> npt.NDArray[np.uint8]:
    """Cut out the square around a box, on its longer side times `expand`, centred; the frame mirrors at its edges.

    Samples at the points where py-feat's `extract_face_square_pad_torch` samples, bilinear, without smoothing first.

    Args:
        rgb: (H, W, 3) uint8.
        box: (4,) x1, y1, x2, y2 in pixels of `rgb`; may reach over its edge.
        size: Side of the result in pixels.
        expand: Side of the square as a multiple of the box's longer side.

    Returns:
        (size, size, 3) uint8.
    """
    x1, y1, x2, y2 = (float(v) for v in box[:4])
    side = max(max(x2 - x1, y2 - y1) * expand, 1.0)
    steps = (np.arange(size) + 0.5) / size * side - side / 2
    left, right, across = _neighbours((x1 + x2) / 2 + steps, rgb.shape[1])
    upper, lower, down = _neighbours((y1 + y2) / 2 + steps, rgb.shape[0])
    first = left.min()  # only the columns that are used: a face is a small part of a large frame
    near = rgb[:, first : right.max() + 1]
    rows = near[upper] * (1 - down)[:, None, None] + near[lower] * down[:, None, None]
    pixels = rows[:, left - first] * (1 - across)[:, None] + rows[:, right - first] * across[:, None]
    return np.rint(pixels).astype(np.uint8)


def _neighbours(
    at: npt.NDArray[np.float64], length: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Pixels below and above each position on a mirrored line of pixels, and the share of the second."""
    mirrored = length - np.abs(length - (at + 0.5) % (2 * length)) - 0.5
    inside = np.clip(mirrored, 0, length - 1)
    low = np.floor(inside).astype(np.intp)
    return low, np.minimum(low + 1, length - 1), (inside - low).astype(np.float32)
