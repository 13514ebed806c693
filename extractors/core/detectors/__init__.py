"""Face detectors: each module in this folder is a plug-in, found by its name.

A detector is a module with two functions, `detect` and `version`; `Detector` says what they take and give.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from storage.errors import RunError

Detection = tuple[float, float, float, float, float]


class Detector(Protocol):
    """What a detector module offers."""

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Detection]:
        """Find the faces of one picture.

        Args:
            rgb: (H, W, 3) uint8, upright.

        Returns:
            Per face x1, y1, x2, y2 in pixels of `rgb` and the confidence, 0..1; in no particular order.

        Raises:
            RunError: If this machine lacks what the detector needs.
        """

    def version(self) -> str:
        """What its boxes depend on, such as a package's version; goes into digests.

        Raises:
            RunError: If this machine lacks what the detector needs.
        """


def detector_names() -> list[str]:
    """Names of the detectors that exist, without importing them."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def detector(name: str) -> Detector:
    """The detector that the module `extractors.core.detectors.<name>` is.

    Raises:
        RunError: If there is none; the message lists those that exist.
    """
    if name not in detector_names():
        raise RunError(f"faces: unknown detector {name!r}; detectors: {', '.join(detector_names())}")
    return cast("Detector", importlib.import_module(f"{__name__}.{name}"))
