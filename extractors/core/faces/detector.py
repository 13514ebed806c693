"""What a face detector is: the extension point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from configs.plugins import Registry, Section
from configs.sections import Faces
from configs.weights import Weights

Detection = tuple[float, ...]
Detect = Callable[[npt.NDArray[np.uint8]], list[Detection]]
"""Finds the faces of one upright (H, W, 3) uint8 frame, in any order: per face x1, y1, x2, y2 in its pixels (the box
may reach over its edge) and the confidence, 0..1; of a detector with landmarks, then x and y of the eyes, the nose and
the corners of the mouth, from left to right in the frame."""


class Detector(ABC):
    """Finds faces in single frames.

    A detector is a module of `extractors.core.faces.detectors` that defines one subclass.

    Attributes:
        name: Name of the detector, as its module is called.
        Options: Class of its options: those of the extractor `faces`.
        default_weights: The weights it loads where the configuration names none; None for one that loads nothing.
        licence: Licence of what it loads.
    """

    name: ClassVar[str]
    Options: ClassVar[type[Section]] = Faces
    default_weights: ClassVar[Weights | None] = None
    licence: ClassVar[str] = ""

    def has_landmarks(self) -> bool:
        """Whether it also finds five landmarks of each face, on this machine."""
        return False

    @abstractmethod
    def version(self) -> str:
        """What its boxes depend on beside weights and options, such as a package's version; must be in the recipe.

        Raises:
            RunError: If this machine lacks what the detector needs.
        """

    @abstractmethod
    def build(self, options: Faces) -> Detect:
        """Make it ready; called once per clip, so what is slow is kept between calls.

        Raises:
            RunError: If this machine lacks what the detector needs, or its weights are damaged.
        """


DETECTORS: Registry[Detector] = Registry("extractors.core.faces.detectors", "detector", "detectors", "Detector")


def load_detector(name: str) -> Detector:
    """The detector of a name.

    Raises:
        RunError: If there is none; the message lists those that exist.
    """
    try:
        return DETECTORS.load(name)()
    except RunError as error:
        raise RunError(f"faces: {error}") from error


def detector_weights(options: Faces) -> Weights | None:
    """The weights that the configured detector loads; None if it loads nothing.

    Raises:
        RunError: Unknown detector; weights for one that loads none; or weights from a seed, which find no faces.
    """
    usual = load_detector(options.detector).default_weights
    if options.weights is None:
        return usual
    if usual is None:
        raise RunError(f"faces: detector {options.detector} loads no weights; leave `weights` out")
    if options.weights.random is not None:
        raise RunError("faces: a detector with random weights finds no faces; use `{detector: center}` without weights")
    return options.weights
