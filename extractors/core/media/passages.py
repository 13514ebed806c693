"""Ways through files that segments of one file share: a thousand segments cost one decoding and not a thousand.

A segment gets exactly what it gets when it is read alone: audio is placed from the file's start in both cases, what is
unusual is counted up to the segment's last frame, and an error behind it is not its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from extractors.core.media.audio import LocatedFrame, SampleClock
from extractors.core.media.demuxing import PacketPass
from extractors.core.media.opening import open_media
from extractors.core.media.streams import choose_audio, read_only
from extractors.core.media.video import FramePassage
from storage.clip import Clip
from storage.errors import ClipError

KEPT_SAMPLES = 8_000_000  # of all channels; what segments that overlap share
Counted = tuple[LocatedFrame, dict[str, float]]


class AudioPassage:
    """One way through the audio of a file, from its start.

    Args:
        path: The file.
        clip: A segment of it, for the choice of the track.

    Attributes:
        container: The open file.
        error: Why the stream ended before its end; known once it did.
        flags: What is unusual about the whole stream, once it ended.

    Raises:
        ClipError: If the file cannot be opened.
    """

    def __init__(self, path: Path, clip: Clip) -> None:
        self.error: ClipError | None = None
        self.flags: dict[str, float] = {}
        self._path, self._track = path, clip.audio_track
        self._files = ExitStack()
        self.container: InputContainer = self._files.enter_context(open_media(path))
        try:
            self._stream = choose_audio(self.container, clip)
        except ClipError:
            self._stream = None  # told by whoever asks for the track
        if self._stream is not None:
            read_only(self.container, self._stream)
        self._packets = PacketPass(self.container, [] if self._stream is None else [self._stream], path)
        self._decoded = self._packets.frames()
        self._clock = SampleClock()
        self._kept: deque[Counted] = deque()
        self._kept_samples = 0
        self._begin = Fraction(0)  # seconds from which on frames are still there

    def serves(self, path: Path, clip: Clip) -> bool:
        """Whether a segment can be read on this way: of the same track, and not behind where it is.

        Args:
            path: Its file.
            clip: The segment.
        """
        return (path, clip.audio_track) == (self._path, self._track) and Fraction(clip.start or 0.0) >= self._begin

    def frames(self, start: Fraction) -> Iterator[Counted]:
        """Frames that end after a time, each with what is unusual about the stream up to it.

        Args:
            start: Seconds from the file's start; from one call to the next it only grows.
        """
        while self._kept and _end(self._kept[0][0]) <= start:
            self._drop()
        self._begin = max(self._begin, start)
        yield from list(self._kept)
        for frame, time in self._decoded:
            if not isinstance(frame, av.AudioFrame) or self._stream is None:
                continue
            located = self._clock.locate(frame, time)
            if _end(located) <= start:
                continue
            counted = located, self._packets.flags(self._stream)
            self._kept.append(counted)
            self._kept_samples += _size(frame)
            while self._kept_samples > KEPT_SAMPLES:
                self._begin = max(self._begin, _end(self._drop()))
            yield counted
        if self._stream is not None:
            self.error = self._packets.errors.get(self._stream.index)
            self.flags = self._packets.flags(self._stream)

    def _drop(self) -> LocatedFrame:
        located, _ = self._kept.popleft()
        self._kept_samples -= _size(located.frame)
        return located

    def close(self) -> None:
        """Close the file."""
        self._kept.clear()
        self._files.close()


class Passages:
    """The ways that are open; used by one thread."""

    def __init__(self) -> None:
        self._audio: AudioPassage | None = None
        self._frames: FramePassage | None = None

    def audio(self, path: Path, clip: Clip) -> AudioPassage:
        """A way on which a segment's audio can be read: the one that is open, or a new one.

        Args:
            path: The file.
            clip: The segment.

        Raises:
            ClipError: If the file cannot be opened.
        """
        if self._audio is None or not self._audio.serves(path, clip):
            self._close_audio()
            self._audio = AudioPassage(path, clip)
        return self._audio

    def frames(self, path: Path, clip: Clip, *, deinterlace: bool) -> FramePassage | None:
        """A way on which a segment's frames can be read; None if none that is open goes there.

        Args:
            path: The file.
            clip: The segment.
            deinterlace: Whether interlaced frames are made whole.
        """
        if self._frames is not None and not self._frames.serves(path, clip, deinterlace=deinterlace):
            self.keep_frames(None)
        return self._frames

    def keep_frames(self, passage: FramePassage | None) -> None:
        """Keep a way for the next segment instead of the one before.

        Args:
            passage: The way; None for none.
        """
        if self._frames is not None and self._frames is not passage:
            self._frames.close()
        self._frames = passage

    def close(self) -> None:
        """Close all files."""
        self._close_audio()
        self.keep_frames(None)

    def _close_audio(self) -> None:
        if self._audio is not None:
            self._audio.close()
            self._audio = None


def _end(located: LocatedFrame) -> Fraction:
    """Seconds from the file's start to a frame's end: by the clock or by the samples, whichever is later."""
    frame = located.frame
    by_clock = located.time + Fraction(frame.samples, frame.sample_rate)
    return max(by_clock, Fraction(located.position + frame.samples, frame.sample_rate))


def _size(frame: av.AudioFrame) -> int:
    return frame.samples * len(frame.layout.channels)
