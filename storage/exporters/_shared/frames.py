"""Video frames in exports: storage opens no media, a `FrameReader` that is handed in does."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from storage.clip import Clip
from storage.errors import ClipError

if TYPE_CHECKING:
    from collections.abc import Generator

Rgb = npt.NDArray[np.uint8]


class FrameReader(Protocol):
    """Decodes clips for the few options that need video frames."""

    def frames(self, clip: Clip, root: Path) -> Iterator[Rgb]:
        """A clip's frames in order, (height, width, 3) uint8, upright; the rows of per-frame features count them.

        Args:
            clip: The clip.
            root: Folder that its relative paths start from.

        Raises:
            ClipError: Why they cannot be read.
        """

    def face(self, frame: Rgb, box: npt.NDArray[Any], size: int) -> Rgb:
        """Cut the (size, size, 3) square around a face out of a frame.

        Args:
            frame: (height, width, 3) uint8.
            box: x1, y1, x2, y2 in pixels of the frame.
            size: Side of the square in pixels.
        """


def require_reader(reader: FrameReader | None, option: str) -> FrameReader:
    """The reader.

    Args:
        reader: What was handed in.
        option: The option that needs it.

    Raises:
        RunError: If none was handed in.
    """
    if reader is None:
        raise RunError(f"option {option}: needs the clips' media and nothing was given to read them with (reader=)")
    return reader


def frames_at(reader: FrameReader, clip: Clip, root: Path, wanted: Collection[int]) -> Iterator[tuple[int, Rgb]]:
    """Some frames of a clip by their number from 0, in order; decodes no further than the last one wanted.

    Args:
        reader: Decodes the clip.
        clip: The clip.
        root: Folder that its relative paths start from.
        wanted: Numbers of frames.

    Raises:
        RunError: If the media cannot be read or has fewer frames; names the clip.
    """
    left = set(wanted)
    try:
        with closing(cast("Generator[Rgb]", reader.frames(clip, root))) as frames:
            for index, frame in enumerate(frames if left else ()):
                if index in left:
                    left.discard(index)
                    yield index, frame
                if not left:
                    return
    except ClipError as error:
        raise RunError(f"clip {clip.id}, frames: expected media that can be read, got {error.message}") from error
    if left:
        raise RunError(f"clip {clip.id}, frames: expected frame {max(left)} and those before, got fewer")


def write_png(path: Path, frame: Rgb) -> None:
    """Write a frame without loss; the folder is made.

    Args:
        path: File to write.
        frame: (height, width, 3) uint8 RGB.
    """
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame).save(path, format="PNG")
