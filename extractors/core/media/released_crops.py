"""Face crops that a corpus releases instead of videos: read as the frames of a clip.

MERTools ships `openface_face/<clip>/<clip>.npy`, (T, 112, 112, 3) uint8 in the order blue, green, red, one for each
frame. OpenFace itself writes folders of images, `<clip>_aligned/frame_det_00_000001.bmp`, numbered by frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from configs.sections import FaceCrops
from extractors.core.media.clip_media import Media
from extractors.core.media.frame_counts import lacks_too_many
from storage.errors import ClipError
from storage.released_crops import IMAGES, find_crops, names_of

_NUMBER = re.compile(r"(\d+)$")
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """One crop, shown during [start, end) seconds from the clip's start."""

    index: int
    start: float
    end: float
    pixels: Pixels

    def rgb(self) -> Pixels:
        """(H, W, 3) uint8 RGB."""
        return self.pixels


class ReleasedCrops:
    """The crops of one clip, with the times in which they are shown.

    Args:
        media: The clip's media; its frames say when each crop is shown, where it has some.
        settings: Where the crops are.

    Raises:
        ClipError: `bad_crops` if they are missing, damaged, of another shape, or do not fit the clip's frames;
            `no_rate` without a video or a stated rate.
    """

    def __init__(self, media: Media, settings: FaceCrops) -> None:
        self._clip = media.clip.id
        path = find_crops(settings.root, media.clip)
        if path is None:
            names = " or ".join(names_of(media.clip))
            raise ClipError("bad_crops", f"{settings.root}: no crops of {names}", stage="open")
        self._images = _numbered(path) if path.is_dir() else None
        self._array = None if path.is_dir() else _opened(path)
        count = len(self._array) if self._array is not None else len(self._images or {})
        if count == 0:
            raise ClipError("bad_crops", f"{path.name}: holds no crop", stage="open")
        self._times = self._times_of(media, settings, count, path)

    def frame_times(self) -> npt.NDArray[np.float64]:
        """(T, 2) seconds from the clip's start, one row for each crop."""
        return self._times

    def frames(self) -> Iterator[Crop]:
        """The crops in order.

        Raises:
            ClipError: `bad_crops` if an image cannot be read.
        """
        for index, (start, end) in enumerate(self._times):
            yield Crop(index, float(start), float(end), self._pixels(index))

    @cached_property
    def shown(self) -> npt.NDArray[np.bool_]:
        """(T,) False where a crop is black throughout, as OpenFace leaves it without a face."""
        return np.array([bool(crop.pixels.any()) for crop in self.frames()])

    def _pixels(self, index: int) -> Pixels:
        if self._array is not None:
            return np.ascontiguousarray(self._array[index, :, :, ::-1])
        from PIL import Image

        path = list((self._images or {}).values())[index]
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"), np.uint8).copy()
        except OSError as error:
            raise ClipError("bad_crops", f"{path.name}: cannot be read: {error}", stage="decode") from error

    def _times_of(self, media: Media, settings: FaceCrops, count: int, path: Path) -> npt.NDArray[np.float64]:
        try:
            shown = media.frame_times()
        except ClipError as error:
            if error.reason not in {"no_video", "missing_file"}:
                raise
            if settings.frame_rate is None:
                message = f"clip {self._clip} has no video that says when its crops are shown; state `frame_rate:`"
                raise ClipError("no_rate", message, stage="open") from error
            edges = np.arange(count + 1) / settings.frame_rate
            return np.stack([edges[:-1], edges[1:]], axis=1)
        rows = list(range(count)) if self._images is None else list(self._images)
        if rows[-1] >= len(shown) or (self._images is None and lacks_too_many(count, len(shown))):
            reach = f"{count} crops up to frame {rows[-1] + 1}"
            raise ClipError("bad_crops", f"{path.name}: {reach}, but the video has {len(shown)} frames", stage="check")
        times: npt.NDArray[np.float64] = shown[rows]
        return times


def _opened(path: Path) -> npt.NDArray[np.uint8]:
    try:
        array: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ClipError("bad_crops", f"{path.name}: cannot be read: {error}", stage="open") from error
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        got = f"{array.shape} {array.dtype}"
        raise ClipError("bad_crops", f"{path.name}: expected (T, H, W, 3) uint8, got {got}", stage="check")
    return array


def _numbered(folder: Path) -> dict[int, Path]:
    """Images by the number of their frame, from 0, in order; by their place where names have no number."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
    numbers = [int(match[1]) - 1 if (match := _NUMBER.search(path.stem)) else -1 for path in paths]
    if any(number < 0 for number in numbers) or len(set(numbers)) < len(numbers):
        return dict(enumerate(paths))
    return dict(sorted(zip(numbers, paths, strict=True)))
