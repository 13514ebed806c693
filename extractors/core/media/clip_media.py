"""One clip, decoded once, on one clock.

Every distinct file of a clip is opened once; audio and pictures come out of the same pass over its packets.
Time 0 is where the container's presentation starts (or `clip.start` after it). A track that starts later keeps
its own offset, so features of all tracks align in seconds. Timestamps are the container's, never a nominal
frame rate's.

Decoded pictures are kept in the decoder's own format (1.5 bytes a pixel) up to a memory bound. A longer clip
keeps none and is decoded again by each reader that asks; `Media.video_passes` counts.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import numpy.typing as npt

from extractors.core.media.audio import AUDIO_RATE, AudioTrack
from extractors.core.media.demuxing import check_container, checked_stamps, clip_length, declared_end, open_media, picture_stream, walk
from storage.errors import ClipError
from storage.clip import Clip
from storage.records import Failure, Features

FRAME_CACHE_BYTES = 1 << 30
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Decoded sound.

    Attributes:
        samples: (N,) float32, mono, about -1..1.
        rate: Samples per second.
        start: Seconds from the clip's start to the first sample.
    """

    samples: npt.NDArray[np.float32]
    rate: int
    start: float

    @property
    def end(self) -> float:
        """Seconds from the clip's start to the end of the last sample."""
        return self.start + self.samples.size / self.rate


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture, shown during [start, end) seconds from the clip's start; pixels are made on demand."""

    index: int
    start: float
    end: float
    picture: av.VideoFrame
    crop: tuple[float, float, float, float] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright, cropped picture, without making its pixels."""
        width, height = self.picture.width, self.picture.height
        if round(self.picture.rotation / 90) % 2:
            width, height = height, width
        left, top, right, bottom = self.crop or (0.0, 0.0, 1.0, 1.0)
        return round(right * width) - round(left * width), round(bottom * height) - round(top * height)

    def rgb(self, short_side: int | None = None) -> npt.NDArray[np.uint8]:
        """The upright picture as (height, width, 3) uint8 RGB.

        Args:
            short_side: Scale down (area average) so that the picture's short side is at most this.
        """
        width, height = self.picture.width, self.picture.height
        scale = 1.0 if short_side is None else min(1.0, short_side / min(width, height))
        pixels = self.picture.to_ndarray(
            format="rgb24", interpolation="AREA", width=round(width * scale), height=round(height * scale)
        )
        upright = np.rot90(pixels, round(self.picture.rotation / 90) % 4)
        if self.crop is not None:
            left, top, right, bottom = self.crop
            h, w = upright.shape[:2]
            upright = upright[round(top * h) : round(bottom * h), round(left * w) : round(right * w)]
        return np.ascontiguousarray(upright)


class Media:
    """The media of one clip: construct, `decode()` once, then read.

    Args:
        clip: The clip.
        root: Folder that the clip's relative paths start from.
        audio: Whether some extractor needs sound.
        video: Whether some extractor needs pictures.
        frame_cache_bytes: Most bytes of decoded pictures to keep.

    Attributes:
        files_opened: How often a file was opened.
        video_passes: How often the pictures were decoded.
    """

    def __init__(
        self,
        clip: Clip,
        root: Path,
        *,
        audio: bool = True,
        video: bool = True,
        frame_cache_bytes: int = FRAME_CACHE_BYTES,
    ) -> None:
        self.clip = clip
        self.files_opened = 0
        self.video_passes = 0
        self._root = root
        self._budget = frame_cache_bytes
        self._audio_path = root / clip.audio if audio and clip.audio else None
        self._video_path = root / clip.video if video and clip.video else None
        self._audio: Audio | ClipError = ClipError("no_audio", "the manifest names no audio", stage="open")
        self._stamps: npt.NDArray[np.float64] | ClipError = ClipError(
            "no_video", "the manifest names no video", stage="open"
        )
        self._pictures: list[av.VideoFrame] | None = None
        self._results: dict[object, object] = {}
        self._given: dict[str, Features | Failure] = {}
        self._lock = threading.RLock()

    def decode(self) -> None:
        """Open each distinct file once and decode what is wanted; trouble is kept for whoever asks later."""
        for path in dict.fromkeys(p for p in (self._video_path, self._audio_path) if p is not None):
            try:
                self._decode_file(path)
            except ClipError as error:
                if path == self._audio_path:
                    self._audio = error
                if path == self._video_path:
                    self._stamps = error

    def audio(self) -> Audio:
        """The clip's sound at 16 kHz, mono.

        Raises:
            ClipError: `no_audio`, or why the file could not be read.
        """
        if isinstance(self._audio, ClipError):
            raise self._audio
        return self._audio

    @property
    def video_path(self) -> Path | None:
        """The file that the pictures come from; None if the clip has none or they are not wanted."""
        return self._video_path

    def frame_times(self) -> npt.NDArray[np.float64]:
        """(T, 2) seconds from the clip's start in which each picture is shown.

        Raises:
            ClipError: `no_video`, or why the file could not be read.
        """
        if isinstance(self._stamps, ClipError):
            raise self._stamps
        return self._stamps

    def frames(self) -> Iterator[Frame]:
        """The clip's pictures in order of presentation.

        Raises:
            ClipError: `no_video`, or why the file could not be read.
        """
        stamps = self.frame_times()
        pictures = self._decode_again() if self._pictures is None else self._pictures
        for index, (picture, (start, end)) in enumerate(zip(pictures, stamps, strict=True)):
            yield Frame(index, float(start), float(end), picture, self.clip.crop)

    def once(self, key: object, make: Callable[[], ResultT]) -> ResultT:
        """Compute something of this clip that several extractors need, such as its faces, only once.

        An error is not kept: each asker gets it raised afresh.
        """
        with self._lock:
            if key not in self._results:
                self._results[key] = make()
            result: ResultT = self._results[key]  # type: ignore[assignment]
            return result

    def give(self, feature: str, outcome: Features | Failure) -> None:
        """Keep a feature of this clip for extractors that need it."""
        self._given[feature] = outcome

    def given(self, feature: str) -> Features:
        """A feature of this clip that was extracted before.

        Raises:
            ClipError: If the clip failed for that feature: the same reason.
            KeyError: If nobody gave it: the extractor does not name it in `needs`.
        """
        outcome = self._given[feature]
        if isinstance(outcome, Failure):
            raise ClipError(outcome.reason, f"{feature}: {outcome.message}", stage=outcome.stage)
        return outcome

    @property
    def kept_bytes(self) -> int:
        """Bytes of decoded pictures held in memory."""
        return sum(plane.buffer_size for picture in self._pictures or () for plane in picture.planes)

    def close(self) -> None:
        """Let go of the decoded data."""
        self._pictures = None
        self._results.clear()
        self._given.clear()
        self._audio = self._stamps = ClipError("undecodable", "the clip's media was already closed")

    def _decode_file(self, path: Path) -> None:
        with open_media(path) as container:
            self.files_opened += 1
            sound = AudioTrack(container, self.clip) if path == self._audio_path else None
            stream = picture_stream(container) if path == self._video_path else None
            pictures = _Pictures(self._budget)
            for frame, time in walk(container, self.clip, stream, sound.stream if sound else None):
                if isinstance(frame, av.VideoFrame):
                    pictures.add(frame, time)
                elif sound is not None:
                    sound.add(frame, time)
            if sound is not None:
                self._audio = _settled(sound)
            if stream is not None:
                self.video_passes += 1
                known = declared_end(container, stream, self.clip)
                declared = known if math.isinf(known) else min(known, clip_length(self.clip))
                self._stamps = checked_stamps(pictures.stamps(self.clip), declared, path)
                self._pictures = pictures.kept
            elif path == self._video_path:
                self._stamps = ClipError("no_video", f"{path.name}: no video stream", stage="open")
            decoded = [s for s in (stream, sound.stream if sound else None) if s is not None]
            check_container(container, decoded, max(pictures.end, sound.end if sound else 0.0), self.clip)

    def _decode_again(self) -> Iterator[av.VideoFrame]:
        if self._video_path is None:
            return
        self.video_passes += 1
        with open_media(self._video_path) as container:
            self.files_opened += 1
            for frame, _ in walk(container, self.clip, picture_stream(container), None):
                if isinstance(frame, av.VideoFrame):
                    yield frame


class _Pictures:
    """Pictures of one pass: always their times, and themselves while they fit in the memory bound."""

    def __init__(self, budget: int) -> None:
        self.kept: list[av.VideoFrame] | None = []
        self._room = budget
        self._starts: list[float] = []
        self._last = 0.0
        self.end = 0.0

    def add(self, frame: av.VideoFrame, time: float) -> None:
        self._starts.append(time)
        self.end = time
        self._last = float((frame.duration or 0) * (frame.time_base or 0))
        self._room -= sum(p.buffer_size for p in frame.planes)
        if self._room < 0:
            self.kept = None
        if self.kept is not None:
            self.kept.append(frame)

    def stamps(self, clip: Clip) -> npt.NDArray[np.float64]:
        starts = np.array(self._starts, dtype=np.float64)
        usual = float(np.median(np.diff(starts))) if starts.size > 1 else 0.04
        ends = np.append(starts[1:], starts[-1:] + (self._last or usual))
        ends = np.minimum(ends, clip_length(clip))
        return np.stack([starts, ends], axis=1).reshape(-1, 2)


def _settled(sound: AudioTrack) -> Audio | ClipError:
    try:
        samples, start = sound.finish()
    except ClipError as error:
        return error
    return Audio(samples, AUDIO_RATE, start)
