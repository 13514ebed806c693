"""A clip's video stream as frames in order, wherever the clip begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from extractors.core.media.deinterlacing import deinterlaced
from extractors.core.media.demuxing import PacketPass
from extractors.core.media.opening import open_media
from extractors.core.media.orientation import Display, orientation_of
from extractors.core.media.streams import choose_video, read_only
from storage.clip import Clip
from storage.errors import ClipError

_SEEK_EARLIER = Fraction(2)  # seconds before a segment at which decoding begins
_NEARLY_SQUARE = Fraction(2, 100)  # encoders leave 359:360 after scaling; the narrowest pixels meant so are 16:15
_SLACK = Fraction(1, 1_000_000)  # a manifest's decimals are rounded


def require_video(container: InputContainer, clip: Clip) -> av.VideoStream:
    """The clip's video stream.

    Args:
        container: The media.
        clip: The clip.

    Raises:
        ClipError: `no_video` or `no_track`.
    """
    stream = choose_video(container, clip)
    if stream is None:
        raise ClipError("no_video", f"{Path(container.name).name}: no video stream", stage="open")
    return stream


def display_of(stream: av.VideoStream, first: av.VideoFrame, clip: Clip) -> Display:
    """How a stream's frames are shown.

    Args:
        stream: The stream.
        first: Its first frame.
        clip: The clip, which may be cropped.
    """
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return Display(clip.crop, aspect if abs(aspect - 1) > _NEARLY_SQUARE else Fraction(1), orientation_of(first))


class VideoReading:
    """Reads the frames of a clip's segment.

    A seek may land behind its target, and frames without times of their own can only be counted from the beginning:
    then, reading starts at the beginning of the file.

    Args:
        path: The file.
        clip: The clip.
        deinterlace: Whether interlaced frames are made whole.

    Attributes:
        display: How frames are shown; known from the first one on.
        flags: What is unusual about the frames; known when reading ended.
        files_opened: How often the file was opened.
    """

    def __init__(self, path: Path, clip: Clip, *, deinterlace: bool = False) -> None:
        self._path, self._clip, self._deinterlace = path, clip, deinterlace
        self._start = Fraction(clip.start or 0.0)
        self._length = None if clip.end is None else Fraction(clip.end) - self._start
        self.flags: dict[str, float] = {}
        self.display = Display(clip.crop)
        self.files_opened = 0

    def frames(self) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Frames that begin inside the segment, with their times from the clip's start.

        Raises:
            ClipError: Why the file cannot be read.
        """
        seek = self._start > _SEEK_EARLIER
        while True:
            has_begun = False
            for frame, time in self._pass(seek):
                if seek and not has_begun and (time > 0 or self.flags["times_made_up"]):
                    break
                has_begun = True
                if self._clip.start is None or time >= -_SLACK:
                    yield frame, time
            else:
                if has_begun or not seek:
                    return
            seek = False

    def _pass(self, seek: bool) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Frames up to the segment's end, from before its start."""
        with open_media(self._path) as container:
            self.files_opened += 1
            stream = require_video(container, self._clip)
            read_only(container, stream)
            packets = PacketPass(container, [stream], self._path)
            if seek:
                with suppress(av.error.FFmpegError):  # then, reading begins where it is: at the file's start
                    packets.seek(self._start - _SEEK_EARLIER)
            is_first = True
            for frame, time in deinterlaced(packets.frames(), wanted=self._deinterlace):
                if not isinstance(frame, av.VideoFrame):
                    continue
                if is_first:
                    self.display, is_first = display_of(stream, frame, self._clip), False
                if self._length is not None and time - self._start >= self._length - _SLACK:
                    return
                if time - self._start < -_SLACK:  # what is unusual before the segment is not the segment's
                    packets.forget_flags()
                self.flags = packets.flags(stream)
                yield frame, time - self._start
            if stream.index in packets.errors:
                raise packets.errors[stream.index]
