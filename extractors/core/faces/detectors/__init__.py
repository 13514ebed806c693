"""Face detectors: each module in this folder is a plug-in, found by its name.

A detector is a module; `Detector` says what it holds.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from configs.schema import Faces, Weights
from configs.errors import RunError

Detection = tuple[float, float, float, float, float]
Detect = Callable[[npt.NDArray[np.uint8]], list[Detection]]
"""Finds the faces of one upright (H, W, 3) uint8 picture, in any order: per face x1, y1, x2, y2 in its pixels (the box
may reach over its edge) and the confidence, 0..1."""


class Detector(Protocol):
    """What a detector module offers.

    Attributes:
        WEIGHTS: The weights it loads where the configuration names none; None for a detector that loads nothing.
    """

    WEIGHTS: Weights | None

    def version(self) -> str:
        """What its boxes depend on beside weights and settings, such as a package's version; goes into digests.

        Raises:
            RunError: If this machine lacks what the detector needs.
        """

    def build(self, config: Faces) -> Detect:
        """Make it ready; called once per clip, so what is slow is kept between calls.

        Raises:
            RunError: If this machine lacks what the detector needs, or its weights are damaged.
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


def detector_weights(config: Faces) -> Weights | None:
    """The weights that the configured detector loads; None if it loads nothing.

    Raises:
        RunError: Unknown detector; weights for one that loads none; or weights from a seed, which find no faces.
    """
    usual = detector(config.detector).WEIGHTS
    if config.weights is None:
        return usual
    if usual is None:
        raise RunError(f"faces: detector {config.detector} loads no weights; leave `weights` out")
    if config.weights.random is not None:
        raise RunError("faces: a detector with random weights finds no faces; use `{detector: center}` without weights")
    return config.weights
