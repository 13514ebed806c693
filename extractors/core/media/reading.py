"""From a file to a clip's audio and frames: which passes are made, and what is wrong with each of the two.

Each is judged alone, and the same in every run, whatever else is read: a damaged audio track costs no frame.
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

from extractors.core.media.audio import Audio, AudioTrack, LocatedFrame, SampleClock
from extractors.core.media.deinterlacing import deinterlaced
from extractors.core.media.demuxing import PacketPass
from extractors.core.media.formats import trims_last_frame
from extractors.core.media.frames import FrameTrack
from extractors.core.media.images import ImageReading
from extractors.core.media.opening import open_media, undecodable
from extractors.core.media.orientation import Display
from extractors.core.media.passages import Passages
from extractors.core.media.streams import choose_audio, declared_end, truncation, whole_file_truncation
from extractors.core.media.video import VideoReading, display_of, require_video
from storage.clip import Clip
from storage.errors import ClipError

Flags = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FrameSettings:
    """How frames are read.

    Attributes:
        cache_bytes: Most bytes of decoded frames to keep.
        deinterlace: Whether interlaced frames are made whole.
    """

    cache_bytes: int
    deinterlace: bool = False


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """A clip's audio, or why there is none, and what is unusual about it."""

    audio: Audio | ClipError
    flags: Flags = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecodedFrames:
    """A clip's frames, or why there are none.

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


NO_AUDIO = DecodedAudio(ClipError("no_audio", "the manifest names no audio", stage="open"))
NO_FRAMES = DecodedFrames(ClipError("no_video", "the manifest names no video", stage="open"))


def read_whole(
    path: Path, clip: Clip, *, audio: bool, frames: bool, settings: FrameSettings
) -> tuple[DecodedAudio, DecodedFrames]:
    """Read a clip that is a whole file in one pass over all its packets.

    Args:
        path: The file.
        clip: The clip.
        audio: Whether its audio is wanted.
        frames: Whether its frames are wanted.
        settings: How frames are read.
    """
    try:
        with open_media(path) as container:
            audio_pass = _AudioPass(container, path, clip) if audio else None
            frame_pass = _FramePass(container, path, clip, settings) if frames else None
            streams = [part.stream for part in (audio_pass, frame_pass) if part is not None and part.stream is not None]
            packets = PacketPass(container, streams, path)
            for frame, time in deinterlaced(packets.frames(), wanted=settings.deinterlace):
                if frame_pass is not None and isinstance(frame, av.VideoFrame):
                    frame_pass.add(frame, time)
                elif audio_pass is not None and isinstance(frame, av.AudioFrame):
                    audio_pass.locate(frame, time)
            cut = whole_file_truncation(container, packets.end, path)
            return (
                NO_AUDIO if audio_pass is None else audio_pass.result_of(packets, cut),
                NO_FRAMES if frame_pass is None else frame_pass.result(packets, cut),
            )
    except ClipError as error:
        return DecodedAudio(error), DecodedFrames(error)


def read_audio(path: Path, clip: Clip, passages: Passages) -> DecodedAudio:
    """Read the audio of a segment, from the file's start: decoders carry state, and times may be rounded.

    Args:
        path: The file.
        clip: The clip.
        passages: Ways through files, which segments of one file share.
    """
    try:
        passage = passages.audio(path, clip)
    except ClipError as error:
        return DecodedAudio(error)
    audio_pass = _AudioPass(passage.container, path, clip)
    flags: Flags = {}
    if audio_pass.stream is not None:
        for located, flags in passage.frames(Fraction(clip.start or 0.0)):  # those of the last frame count
            audio_pass.add(located)
            if audio_pass.is_done:
                return audio_pass.result(None, flags)
    return audio_pass.result(passage.error, passage.flags or flags)


def read_frames(path: Path, clip: Clip, settings: FrameSettings, passages: Passages) -> DecodedFrames:
    """Read the frames of a segment.

    Args:
        path: The file.
        clip: The clip.
        settings: How frames are read.
        passages: Ways through files, which segments of one file share.
    """
    deinterlace, frames = settings.deinterlace, FrameTrack(clip, settings.cache_bytes)
    shared = passages.frames(path, clip, deinterlace=deinterlace)
    reading = VideoReading(path, clip, deinterlace=deinterlace, passage=shared)
    try:
        for frame, time in reading.frames():
            frames.add(frame, time)
    except ClipError as error:
        passages.keep_frames(None)
        return DecodedFrames(error) if shared is None else read_frames(path, clip, settings, passages)
    passages.keep_frames(reading.passage)
    if shared is not None and reading.flags.get("times_made_up"):
        passages.keep_frames(None)  # such frames are counted from where a segment alone begins to read
        return read_frames(path, clip, settings, passages)
    times = frames.times()
    unusable = _unusable(path, clip, times, None)
    flags = _nonzero(reading.flags)
    return DecodedFrames(times if unusable is None else unusable, frames.kept, reading.display, flags)


def read_images(path: Path, clip: Clip, settings: FrameSettings) -> DecodedFrames:
    """Read the frames of a clip whose frames are files of their own.

    Args:
        path: A folder of images, or one image.
        clip: The clip.
        settings: How frames are read.
    """
    frames, reading = FrameTrack(clip, settings.cache_bytes), ImageReading(path, clip)
    try:
        for frame, time in reading.frames():
            frames.add(frame, time)
    except ClipError as error:
        return DecodedFrames(error)
    times = frames.times()
    unusable = _unusable(path, clip, times, None)
    return DecodedFrames(times if unusable is None else unusable, frames.kept, reading.display)


class _AudioPass:
    """The audio of one pass."""

    def __init__(self, container: InputContainer, path: Path, clip: Clip) -> None:
        self.stream: av.AudioStream | None = None
        self._path, self._clip = path, clip
        self._track = AudioTrack(clip, path.name)
        self._clock = SampleClock()
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

    def locate(self, frame: av.AudioFrame, time: Fraction) -> None:
        self.add(self._clock.locate(frame, time))

    def add(self, located: LocatedFrame) -> None:
        if self._error is None:
            try:
                self._track.add(located)
            except ClipError as error:
                self._error = error
            except (ValueError, av.error.FFmpegError) as error:  # FFmpeg's resampler
                self._error = undecodable(self._path, error, "audio: ")

    def result_of(self, packets: PacketPass, cut: ClipError | None) -> DecodedAudio:
        if self.stream is None:
            return self.result(None, {})
        return self.result(packets.errors.get(self.stream.index) or cut, packets.flags(self.stream))

    def result(self, error: ClipError | None, flags: Flags) -> DecodedAudio:
        if self._error is not None:
            return DecodedAudio(self._error)
        if self.stream is None:
            return DecodedAudio(ClipError("no_audio", f"{self._path.name}: no audio stream", stage="open"))
        if error is not None:
            return DecodedAudio(error)
        try:
            audio = self._track.finish(self._declared if self._trims else None)
        except ClipError as failed:
            return DecodedAudio(failed)
        error = _ends_early(f"{self._path.name}: audio ends at", float(self._track.end), self._declared, self._clip)
        if error is not None:
            return DecodedAudio(error)
        holes = {"holes": len(audio.holes), "hole_seconds": float(np.diff(audio.holes).sum())}
        return DecodedAudio(audio, _nonzero({**flags, **holes}))


class _FramePass:
    """The frames of one pass over a whole file."""

    def __init__(self, container: InputContainer, path: Path, clip: Clip, settings: FrameSettings) -> None:
        self.stream: av.VideoStream | None = None
        self._path, self._clip = path, clip
        self._frames = FrameTrack(clip, settings.cache_bytes)
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

    def result(self, packets: PacketPass, cut: ClipError | None) -> DecodedFrames:
        if self.stream is None:
            return NO_FRAMES if self._error is None else DecodedFrames(self._error)
        times = self._frames.times()
        error = packets.errors.get(self.stream.index) or cut
        error = error or _unusable(self._path, self._clip, times, self._declared)
        flags = _nonzero(packets.flags(self.stream))
        display = self._display or Display(self._clip.crop)
        return DecodedFrames(times if error is None else error, self._frames.kept, display, flags)


def _unusable(path: Path, clip: Clip, times: npt.NDArray[np.float64], declared: Fraction | None) -> ClipError | None:
    """Why the frames of a clip cannot be used; None if they can."""
    if not len(times):
        where = "" if clip.end is None else f" between {clip.start or 0:g} and {clip.end:g} s"
        return ClipError("no_video", f"{path.name}: holds no frame{where}", stage="decode")
    return _ends_early(f"{path.name}: frames end at", float(times[-1, 1]) + (clip.start or 0.0), declared, clip)


def _ends_early(what: str, end: float, declared: Fraction | None, clip: Clip) -> ClipError | None:
    """The error of a track that ends before the clip's end, or before what the file declares of it."""
    if clip.end is not None:
        return truncation(what, end, clip.end, "that the clip needs")
    return None if declared is None else truncation(what, end, float(declared))


def _nonzero(flags: Mapping[str, float]) -> Flags:
    return {name: value for name, value in sorted(flags.items()) if value}
