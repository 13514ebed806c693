"""A stand-in for platforms without a detector: the centred square of the frame's short side, always.

It sees a face in every frame, so it says nothing about presence; its name in the recipe marks what it gave.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from configs.sections import Faces
from extractors.core.faces.detector import Detect, Detection, Detector


class Center(Detector):
    """Always the centred square."""

    name = "center"

    def version(self) -> str:
        """Says that nothing was detected."""
        return "centred square, nothing detected"

    def build(self, options: Faces) -> Detect:
        """Nothing to make ready."""
        return detect


def detect(rgb: npt.NDArray[np.uint8]) -> list[Detection]:
    """Give the centred square.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        One box x1, y1, x2, y2 in pixels of `rgb`, with confidence 1.
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    return [(left, top, left + side, top + side, 1.0)]
