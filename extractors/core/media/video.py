"""A clip's video stream as frames in order, wherever the clip begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from extractors.core.media.deinterlacing import deinterlaced
from extractors.core.media.demuxing import PacketPass
from extractors.core.media.images import ImageReading
from extractors.core.media.opening import open_media
from extractors.core.media.orientation import Display, orientation_of
from extractors.core.media.streams import choose_video, read_only
from storage.clip import Clip
from storage.errors import ClipError
from storage.media_files import is_images

_SEEK_EARLIER = Fraction(2)  # seconds before a segment at which decoding begins
_SEEK_FURTHER = Fraction(10)  # seconds; over a longer gap between two segments a seek is cheaper than decoding
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


class FramePassage:
    """One way through the frames of a file, which neighbouring segments share.

    Args:
        path: The file.
        clip: A segment of it, for the choice of the track.
        deinterlace: Whether interlaced frames are made whole.

    Attributes:
        stream: The video stream.
        packets: Gives its frames, and what is unusual about them.
        display: How its frames are shown; known from the first one on.

    Raises:
        ClipError: If the file cannot be opened, or has no such track.
    """

    def __init__(self, path: Path, clip: Clip, *, deinterlace: bool = False) -> None:
        self._path, self._clip, self._deinterlace = path, clip, deinterlace
        self._files = ExitStack()
        container = self._files.enter_context(open_media(path))
        try:
            self.stream = require_video(container, clip)
        except ClipError:
            self._files.close()
            raise
        read_only(container, self.stream)
        self.packets = PacketPass(container, [self.stream], path)
        self._decoded = deinterlaced(self.packets.frames(), wanted=deinterlace)
        self._next: tuple[av.VideoFrame, Fraction] | None = None
        self.display: Display | None = None

    def serves(self, path: Path, clip: Clip, *, deinterlace: bool) -> bool:
        """Whether a segment can be read on this way: soon after where it is, of the same track, with times of its own.

        Args:
            path: Its file.
            clip: The segment.
            deinterlace: Whether interlaced frames are made whole.
        """
        same = (path, clip.video_track, clip.crop) == (self._path, self._clip.video_track, self._clip.crop)
        if not same or deinterlace or self._deinterlace or self._next is None or self.has_made_up_times:
            return False
        return 0 <= Fraction(clip.start or 0.0) - self._next[1] + _SLACK <= _SEEK_FURTHER

    @property
    def has_made_up_times(self) -> bool:
        """Whether some frame had no time of its own."""
        return bool(self.packets.flags(self.stream)["times_made_up"])

    def frames(self) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Frames with their times from the file's start; the one that was not taken comes again the next time."""
        if self._next is not None:
            self.packets.forget_flags()
            self.packets.count(self.stream.index, self._next[0])
            yield self._next
        for frame, time in self._decoded:
            if isinstance(frame, av.VideoFrame):
                if self.display is None:
                    self.display = display_of(self.stream, frame, self._clip)
                self._next = frame, time
                yield frame, time
        self._next = None

    def close(self) -> None:
        """Close the file."""
        self._next = None
        self._files.close()


class VideoReading:
    """Reads the frames of a clip's segment.

    A seek may land behind its target, and frames without times of their own can only be counted from the beginning:
    then, reading starts at the beginning of the file.

    Args:
        path: The file.
        clip: The clip.
        deinterlace: Whether interlaced frames are made whole.
        passage: A way through the file that goes on where the segment begins.

    Attributes:
        display: How frames are shown; known from the first one on.
        flags: What is unusual about the frames; known when reading ended.
        files_opened: How often the file was opened.
        passage: The way that was used, still open where the file goes on behind the segment.
    """

    def __init__(
        self, path: Path, clip: Clip, *, deinterlace: bool = False, passage: FramePassage | None = None
    ) -> None:
        self._path, self._clip, self._deinterlace = path, clip, deinterlace
        self._start = Fraction(clip.start or 0.0)
        self._length = None if clip.end is None else Fraction(clip.end) - self._start
        self.flags: dict[str, float] = {}
        self.display = Display(clip.crop)
        self.files_opened = 0
        self.passage = passage

    def frames(self) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Frames that begin inside the segment, with their times from the clip's start.

        Raises:
            ClipError: Why the file cannot be read.
        """
        seek = self._start > _SEEK_EARLIER
        while True:
            has_begun = self.passage is not None
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
            self.close()

    def _pass(self, seek: bool) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Frames up to the segment's end, from before its start."""
        if self.passage is None:
            self.passage = FramePassage(self._path, self._clip, deinterlace=self._deinterlace)
            self.files_opened += 1
            if seek:
                with suppress(av.error.FFmpegError):  # then, reading begins where it is: at the file's start
                    self.passage.packets.seek(self._start - _SEEK_EARLIER)
        passage = self.passage
        for frame, time in passage.frames():
            self.display = passage.display or self.display
            if self._length is not None and time - self._start >= self._length - _SLACK:
                return
            if time - self._start < -_SLACK:  # what is unusual before the segment is not the segment's
                passage.packets.forget_flags()
            self.flags = passage.packets.flags(passage.stream)
            yield frame, time - self._start
        if passage.stream.index in passage.packets.errors:
            raise passage.packets.errors[passage.stream.index]

    def close(self) -> None:
        """Close the file."""
        if self.passage is not None:
            self.passage.close()
            self.passage = None


def open_reading(path: Path, clip: Clip, *, deinterlace: bool = False) -> VideoReading | ImageReading:
    """What reads the frames of a clip, in order.

    Args:
        path: Its video, a folder of images, or one image.
        clip: The clip.
        deinterlace: Whether interlaced frames are made whole.
    """
    return ImageReading(path, clip) if is_images(path) else VideoReading(path, clip, deinterlace=deinterlace)
