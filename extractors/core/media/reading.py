"""From a file to a clip's sound and pictures: which passes are made, and what is wrong with each of the two.

Each is judged alone, and the same in every run, whatever else is read: a damaged sound track costs no picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from extractors.core.media.audio import Audio, AudioTrack
from extractors.core.media.demuxing import (
    PacketPass,
    choose_audio,
    declared_end,
    open_media,
    read_only,
    truncation,
    undecodable,
    whole_file_truncation,
)
from extractors.core.media.formats import trims_last_frame
from extractors.core.media.frames import FrameTrack
from extractors.core.media.orientation import Display
from extractors.core.media.video import VideoReading, display_of, require_video
from storage.clip import Clip
from storage.errors import ClipError

Flags = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sound:
    """A clip's sound, or why there is none, and what is unusual about it."""

    audio: Audio | ClipError
    flags: Flags = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pictures:
    """A clip's pictures, or why there are none.

    Attributes:
        times: (T, 2) seconds from the clip's start.
        kept: The decoded frames; None if they do not fit in memory.
        display: How they are shown.
        flags: What is unusual about them.
    """

    times: npt.NDArray[np.float64] | ClipError
    kept: list[av.VideoFrame] | None = None
    display: Display = field(default_factory=Display)
    flags: Flags = field(default_factory=dict)


NO_SOUND = Sound(ClipError("no_audio", "the manifest names no audio", stage="open"))
NO_PICTURES = Pictures(ClipError("no_video", "the manifest names no video", stage="open"))


def read_whole(path: Path, clip: Clip, *, sound: bool, pictures: bool, budget: int) -> tuple[Sound, Pictures]:
    """Read a clip that is a whole file in one pass over all its packets.

    Args:
        path: The file.
        clip: The clip.
        sound: Whether its sound is wanted.
        pictures: Whether its pictures are wanted.
        budget: Most bytes of decoded frames to keep.
    """
    try:
        with open_media(path) as container:
            ears = _Ears(container, path, clip) if sound else None
            eyes = _Eyes(container, path, clip, budget) if pictures else None
            streams = [part.stream for part in (ears, eyes) if part is not None and part.stream is not None]
            packets = PacketPass(container, streams, path)
            for frame, time in packets.frames():
                if eyes is not None and isinstance(frame, av.VideoFrame):
                    eyes.add(frame, time)
                elif ears is not None and isinstance(frame, av.AudioFrame):
                    ears.add(frame, time)
            cut = whole_file_truncation(container, packets.end, path)
            return (
                NO_SOUND if ears is None else ears.result(packets, cut),
                NO_PICTURES if eyes is None else eyes.result(packets, cut),
            )
    except ClipError as error:
        return Sound(error), Pictures(error)


def read_sound(path: Path, clip: Clip) -> Sound:
    """Read the sound of a segment, from the file's start: decoders carry state, and times may be rounded.

    Args:
        path: The file.
        clip: The clip.
    """
    try:
        with open_media(path) as container:
            ears = _Ears(container, path, clip)
            if ears.stream is not None:
                read_only(container, ears.stream)
            packets = PacketPass(container, [] if ears.stream is None else [ears.stream], path)
            for frame, time in packets.frames():
                if isinstance(frame, av.AudioFrame):
                    ears.add(frame, time)
                if ears.is_done:
                    break
            return ears.result(packets, None)
    except ClipError as error:
        return Sound(error)


def read_pictures(path: Path, clip: Clip, budget: int) -> Pictures:
    """Read the pictures of a segment.

    Args:
        path: The file.
        clip: The clip.
        budget: Most bytes of decoded frames to keep.
    """
    reading, frames = VideoReading(path, clip), FrameTrack(clip, budget)
    try:
        for frame, time in reading.frames():
            frames.add(frame, time)
    except ClipError as error:
        return Pictures(error)
    times = frames.times()
    unusable = _unusable(path, clip, times, None)
    flags = _nonzero(reading.flags | frames.flags)
    return Pictures(times if unusable is None else unusable, frames.kept, reading.display, flags)


class _Ears:
    """The sound of one pass."""

    def __init__(self, container: InputContainer, path: Path, clip: Clip) -> None:
        self.stream: av.AudioStream | None = None
        self._path, self._clip = path, clip
        self._track = AudioTrack(clip, path.name)
        self._declared: Fraction | None = None
        self._trims = False
        self._error: ClipError | None = None
        try:
            self.stream = choose_audio(container, clip)
        except ClipError as error:
            self._error = error
        if self.stream is not None:
            self._declared = declared_end(container, self.stream, path)
            self._trims = clip.end is None and trims_last_frame(container, self.stream)

    @property
    def is_done(self) -> bool:
        return self._error is not None or self._track.is_complete

    def add(self, frame: av.AudioFrame, time: Fraction) -> None:
        if self._error is None:
            try:
                self._track.add(frame, time)
            except ClipError as error:
                self._error = error
            except (ValueError, av.error.FFmpegError) as error:  # FFmpeg's resampler
                self._error = undecodable(self._path, error, "sound: ")

    def result(self, packets: PacketPass, cut: ClipError | None) -> Sound:
        if self._error is not None:
            return Sound(self._error)
        if self.stream is None:
            return Sound(ClipError("no_audio", f"{self._path.name}: no audio stream", stage="open"))
        error = packets.errors.get(self.stream.index) or cut
        if error is not None:
            return Sound(error)
        try:
            audio = self._track.finish(self._declared if self._trims else None)
        except ClipError as failed:
            return Sound(failed)
        error = _ends_early(f"{self._path.name}: sound ends at", float(self._track.end), self._declared, self._clip)
        if error is not None:
            return Sound(error)
        flags = packets.flags(self.stream) | {
            "holes": len(audio.holes),
            "hole_seconds": float(np.diff(audio.holes).sum()),
        }
        return Sound(audio, _nonzero(flags))


class _Eyes:
    """The pictures of one pass over a whole file."""

    def __init__(self, container: InputContainer, path: Path, clip: Clip, budget: int) -> None:
        self.stream: av.VideoStream | None = None
        self._path, self._clip = path, clip
        self._frames = FrameTrack(clip, budget)
        self._display: Display | None = None
        self._declared: Fraction | None = None
        self._error: ClipError | None = None
        try:
            self.stream = require_video(container, clip)
            self._declared = declared_end(container, self.stream, path)
        except ClipError as error:
            self._error = error

    def add(self, frame: av.VideoFrame, time: Fraction) -> None:
        if self._display is None and self.stream is not None:
            self._display = display_of(self.stream, frame, self._clip)
        self._frames.add(frame, time)

    def result(self, packets: PacketPass, cut: ClipError | None) -> Pictures:
        if self.stream is None:
            return NO_PICTURES if self._error is None else Pictures(self._error)
        times = self._frames.times()
        error = packets.errors.get(self.stream.index) or cut
        error = error or _unusable(self._path, self._clip, times, self._declared)
        flags = _nonzero(self._frames.flags | packets.flags(self.stream))
        display = self._display or Display(self._clip.crop)
        return Pictures(times if error is None else error, self._frames.kept, display, flags)


def _unusable(path: Path, clip: Clip, times: npt.NDArray[np.float64], declared: Fraction | None) -> ClipError | None:
    """Why the frames of a clip cannot be used; None if they can."""
    if not len(times):
        where = "" if clip.end is None else f" between {clip.start or 0:g} and {clip.end:g} s"
        return ClipError("no_video", f"{path.name}: the video stream holds no frame{where}", stage="decode")
    return _ends_early(f"{path.name}: frames end at", float(times[-1, 1]) + (clip.start or 0.0), declared, clip)


def _ends_early(what: str, end: float, declared: Fraction | None, clip: Clip) -> ClipError | None:
    """The error of a track that ends before the clip's end, or before what the file declares of it."""
    if clip.end is not None:
        return truncation(what, end, clip.end, "that the clip needs")
    return None if declared is None else truncation(what, end, float(declared))


def _nonzero(flags: Mapping[str, float]) -> Flags:
    return {name: value for name, value in sorted(flags.items()) if value}
