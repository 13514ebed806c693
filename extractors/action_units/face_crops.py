"""The square around a face, cut out and scaled as py-feat does it for its network, from the pixels it needs only.

py-feat turns the whole frame into floats, samples 256 x 256 points around the face bilinearly, mirroring the frame
at its edges (`extract_face_square_pad_torch`), and shrinks that to 224 x 224 with smoothing. Both steps are linear and
treat rows and columns alike, so here a face has two small sparse matrices, one for its rows and one for its columns,
and they meet the bytes around the face only. Positions are computed in float32 in the order in which py-feat and torch
compute them, so that they are the same; the sums differ by their rounding, below 1e-6.

One thread of NumPy and SciPy on purpose: torch's short parallel loops wait for a core wherever anything else, such as
the decoder, keeps one busy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

CHIP, EXPAND = 256, 1.2  # py-feat's, which the network was trained on
INPUT = 224  # side of what the network sees
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32).reshape(3, 1, 1)  # ImageNet's
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32).reshape(3, 1, 1)


def face_square(box: npt.NDArray[Any]) -> Float32:
    """The square that py-feat cuts around a box: on its longer side times 1.2, centred, at least a pixel.

    Args:
        box: (4,) x1, y1, x2, y2 in pixels; may reach over the frame's edge.

    Returns:
        (3,) float32 left, top and side in pixels.
    """
    x1, y1, x2, y2 = box.astype(np.float32)
    side = max(max(x2 - x1, y2 - y1) * np.float32(EXPAND), np.float32(1))
    return np.array([(x1 + x2) / 2 - side / 2, (y1 + y2) / 2 - side / 2, side], dtype=np.float32)


def cut_face(rgb: npt.NDArray[np.uint8], square: Float32, size: int = INPUT) -> Float32:
    """Cut out a square and scale it; the frame mirrors at its edges.

    Args:
        rgb: (H, W, 3) uint8.
        square: (3,) from `face_square`.
        size: 256 for py-feat's crop, smaller to shrink that.

    Returns:
        (3, size, size) float32, 0..1.
    """
    left, top, side = square
    columns, x = _weights(left, side, rgb.shape[1], size)
    rows, y = _weights(top, side, rgb.shape[0], size)
    region = rgb[y, x].astype(np.float32)
    tall = rows @ region.reshape(len(region), -1)  # y, x and colour
    planes = np.ascontiguousarray(tall.T).reshape(region.shape[1], -1)  # x, colour and y
    turned: Float32 = columns @ planes
    face: Float32 = np.ascontiguousarray(turned.T).reshape(3, size, size) / np.float32(255)
    return face


def normalised(faces: Float32) -> Float32:
    """(N, 3, H, W) faces in 0..1 with ImageNet's mean and deviation taken out, as the network wants them."""
    return (faces - MEAN) / STD


def _weights(origin: np.float32, side: np.float32, length: int, size: int) -> tuple[Any, slice]:
    """Sparse (size, n) weights that make one axis of a face from the n pixels of the slice."""
    from scipy.sparse import csr_array

    at = _positions(origin, side, length)
    low = np.floor(at)
    pixels = np.stack([low, np.minimum(low + 1, length - 1)], axis=1).astype(np.int32)
    shares = np.stack([1 - (at - low), at - low], axis=1)
    needed = slice(int(pixels.min()), int(pixels.max()) + 1)
    ends = np.arange(0, 2 * CHIP + 1, 2, dtype=np.int32)
    shape = (CHIP, needed.stop - needed.start)
    sampling = csr_array((shares.ravel(), pixels.ravel() - needed.start, ends), shape=shape)
    return (sampling if size == CHIP else _shrinking(size) @ sampling), needed


def _positions(origin: np.float32, side: np.float32, length: int) -> Float32:
    """(256,) pixels at which py-feat samples one axis, mirrored into the frame as torch's `grid_sample` does it."""
    half, full = np.float32(0.5), np.float32(length)
    points = origin + (np.arange(CHIP, dtype=np.float32) + half) / np.float32(CHIP) * side
    grid = 2 * (points + half) / full - 1  # -1..1 over the frame
    unrounded = (grid + 1).astype(np.float64) * np.float64(full / 2) - 0.5  # torch fuses these two: one rounding
    from_edge = np.abs(unrounded.astype(np.float32) + half)
    from_edge -= np.trunc(from_edge / (2 * full)) * (2 * full)
    mirrored: Float32 = np.minimum(from_edge, 2 * full - from_edge) - half
    return np.clip(mirrored, 0, full - 1)


@lru_cache(maxsize=2)
def _shrinking(size: int) -> Any:
    """Sparse (size, 256) weights of torch's smoothed resize of one axis, taken from torch."""
    import torch
    from scipy.sparse import csr_array

    unit = torch.eye(CHIP)[None, None]
    weights = torch.nn.functional.interpolate(unit, (size, CHIP), mode="bilinear", antialias=True)
    return csr_array(weights[0, 0].numpy())
