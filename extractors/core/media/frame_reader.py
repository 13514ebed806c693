"""Clips decoded for exports: the few options that need frames are handed this, for storage opens no media."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.clip import Clip
from storage.errors import ClipError
from storage.media_files import leaves_root
from storage.remote import local_copy

Rgb = npt.NDArray[np.uint8]


class MediaFrameReader:
    """A `FrameReader` of exports: the frames that extractors see, counted as their features' rows are."""

    def frames(self, clip: Clip, root: Path) -> Iterator[Rgb]:
        """A clip's frames in order, decoded as they are asked for: (height, width, 3) uint8 RGB, upright, cropped.

        Args:
            clip: The clip.
            root: Folder that its relative paths start from.

        Raises:
            ClipError: `no_video`, or why the file cannot be read.
        """
        from extractors.core.media.frames import Frame  # most exports need no decoder
        from extractors.core.media.video import open_reading

        if clip.video is None:
            raise ClipError("no_video", "the manifest names no video", stage="open")
        if leaves_root(clip.video):
            raise ClipError("outside_root", f"{clip.video}: outside of the media folder {root}", stage="open")
        reading = open_reading(local_copy(root / clip.video), clip)
        try:
            for index, (decoded, time) in enumerate(reading.frames()):
                yield Frame(index, float(time), float(time), decoded, reading.display).rgb()
        finally:
            reading.close()

    def face(self, frame: Rgb, box: npt.NDArray[Any], size: int) -> Rgb:
        """The (size, size, 3) square around a face, 1.2 times as large as its box, cut out of a frame.

        Args:
            frame: (height, width, 3) uint8.
            box: x1, y1, x2, y2 in pixels of the frame.
            size: Side of the square in pixels.
        """
        from extractors.core.media.crops import FACE_EXPAND, crop_face

        return crop_face(frame, box, size=size, expand=FACE_EXPAND)
