"""Frames that are files of their own: the images of a folder at a stated rate, or a single image.

Times are the stated rate's; a single image is shown from 0 for as long as any frame whose length nobody says.
Images are read by Pillow and turned upright by their EXIF orientation.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from extractors.core.media.opening import check_readable
from extractors.core.media.orientation import Display
from storage.clip import Clip
from storage.errors import ClipError
from storage.media_files import image_files

_SLACK = Fraction(1, 1_000_000)  # a manifest's decimals are rounded
_TICKS = 1_000_000


class ImageReading:
    """Reads the frames of a clip that are files of their own.

    Args:
        path: A folder of images, or one image.
        clip: The clip, whose `frame_rate` a folder needs.

    Attributes:
        display: How frames are shown.
        flags: What is unusual about the frames: nothing.
        files_opened: How many images were opened.
    """

    def __init__(self, path: Path, clip: Clip) -> None:
        self._path, self._clip = path, clip
        self.display = Display(clip.crop)
        self.flags: dict[str, float] = {}
        self.files_opened = 0

    def frames(self) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Frames that begin inside the segment, with their times from the clip's start.

        Raises:
            ClipError: `missing_file` or `undecodable`; `no_rate` for a folder without a stated rate.
        """
        if not self._path.exists():
            raise ClipError("missing_file", f"{self._path}: no such file or folder", stage="open")
        files = image_files(self._path)
        if not files:
            raise ClipError("missing_file", f"{self._path}: a folder without images", stage="open")
        rate = None if self._clip.frame_rate is None else Fraction(self._clip.frame_rate).limit_denominator(1001)
        if rate is None and self._path.is_dir():
            raise ClipError("no_rate", f"{self._path.name}: a folder of images, and no rate is stated", stage="open")
        start = Fraction(self._clip.start or 0.0)
        for index, file in enumerate(files):
            time = (index / rate if rate else Fraction(0)) - start
            if self._clip.end is not None and time >= Fraction(self._clip.end) - start - _SLACK:
                return
            if time >= -_SLACK:
                yield self._read(file, rate), time

    def _read(self, file: Path, rate: Fraction | None) -> av.VideoFrame:
        check_readable(file)
        self.files_opened += 1
        frame = av.VideoFrame.from_ndarray(read_image(file), format="rgb24")
        if rate is not None:
            frame.time_base, frame.duration = Fraction(1, _TICKS), round(_TICKS / rate)
        return frame

    def close(self) -> None:
        """Nothing is open between two frames."""


def read_image(file: Path) -> npt.NDArray[np.uint8]:
    """The (height, width, 3) uint8 RGB pixels of an image, upright.

    Args:
        file: The image.

    Raises:
        ClipError: `undecodable`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # twice that size is an error of Pillow
            with Image.open(file) as image:
                upright = ImageOps.exif_transpose(image)
                if upright.mode.startswith("I;16"):  # `convert` would cut the values at 255
                    grey = (np.asarray(upright, np.uint16) >> 8).astype(np.uint8)
                    return np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))
                return np.ascontiguousarray(np.asarray(upright.convert("RGB")))
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many kinds: whatever it is, this image cannot be read
        said = " ".join(str(error).split()) or type(error).__name__
        raise ClipError(
            "undecodable", f"{file.name}: not an image that can be read ({said[:120]})", stage="decode"
        ) from error
