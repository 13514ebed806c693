"""Clips decoded for exports: the few options that need pictures are handed this, for storage opens no media."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from extractors.core.media.crops import FACE_EXPAND, crop_face
from extractors.core.media.demuxing import open_media, picture_stream, walk
from extractors.core.media.frames import Frame
from storage.errors import ClipError
from storage.clip import Clip

Rgb = npt.NDArray[np.uint8]


class ClipReader:
    """A `storage.exporters.PictureReader`: the pictures that extractors see, counted as their features' rows are."""

    def pictures(self, clip: Clip, root: Path) -> Iterator[Rgb]:
        """A clip's pictures in order, decoded as they are asked for: (height, width, 3) uint8 RGB, upright, cropped.

        Args:
            clip: The clip.
            root: Folder that its relative paths start from.

        Raises:
            ClipError: `no_video`, or why the file cannot be read.
        """
        if clip.video is None:
            raise ClipError("no_video", "the manifest names no video", stage="open")
        with open_media(root / clip.video) as container:
            stream = picture_stream(container)
            if stream is None:
                raise ClipError("no_video", f"{Path(clip.video).name}: no video stream", stage="open")
            for index, (frame, time) in enumerate(walk(container, clip, stream, None)):
                if isinstance(frame, av.VideoFrame):
                    yield Frame(index, time, time, frame, clip.crop).rgb()

    def face(self, picture: Rgb, box: npt.NDArray[Any], size: int) -> Rgb:
        """The (size, size, 3) square around a face's box x1, y1, x2, y2, 1.2 times as large, cut out of a picture."""
        return crop_face(picture, box, size=size, expand=FACE_EXPAND)
