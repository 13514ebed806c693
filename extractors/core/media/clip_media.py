"""One clip, decoded once; all its times are seconds from its start.

Every distinct file of a clip is opened once; audio and frames come out of the same pass over its packets.
Time 0 is where the container's presentation starts (or `clip.start` after it). A track that starts later keeps
its own offset, so features of all tracks align in seconds. Timestamps are the container's, never a nominal
frame rate's.

Decoded frames are kept in the decoder's own format (1.5 bytes a pixel) up to a memory bound. A longer clip
keeps none and is decoded again by each reader that asks; `Media.video_passes` counts.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import numpy.typing as npt

from extractors.core.media.audio import Audio, AudioTrack
from extractors.core.media.demuxing import (
    check_container,
    check_times,
    clip_length,
    declared_end,
    frame_stream,
    open_media,
    walk,
)
from extractors.core.media.frames import Frame, FrameTrack
from storage.clip import Clip
from storage.errors import ClipError
from storage.records import Failure, Features

FRAME_CACHE_BYTES = 1 << 30
ResultT = TypeVar("ResultT")


class Media:
    """The media of one clip: construct, `decode()` once, then read.

    Args:
        clip: The clip.
        root: Folder that the clip's relative paths start from.
        audio: Whether some extractor needs audio.
        video: Whether some extractor needs frames.
        frame_cache_bytes: Most bytes of decoded frames to keep.

    Attributes:
        files_opened: How often a file was opened.
        video_passes: How often the frames were decoded.
        prepared_bytes: Bytes of units that were prepared for networks and are still held.
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
        self.prepared_bytes = 0
        self.video_passes = 0
        self._root = root
        self._budget = frame_cache_bytes
        self._audio_path = root / clip.audio if audio and clip.audio else None
        self._video_path = root / clip.video if video and clip.video else None
        self._audio: Audio | ClipError = ClipError("no_audio", "the manifest names no audio", stage="open")
        self._times: npt.NDArray[np.float64] | ClipError = ClipError(
            "no_video", "the manifest names no video", stage="open"
        )
        self._decoded: list[av.VideoFrame] | None = None
        self._results: dict[object, object] = {}
        self._features: dict[str, Features | Failure] = {}
        self._lock = threading.RLock()

    def decode(self) -> None:
        """Open each distinct file once and decode what is wanted.

        Errors are stored and raised when that track is read.
        """
        for path in dict.fromkeys(p for p in (self._video_path, self._audio_path) if p is not None):
            try:
                self._decode_file(path)
            except ClipError as error:
                if path == self._audio_path:
                    self._audio = error
                if path == self._video_path:
                    self._times = error

    def audio(self) -> Audio:
        """The clip's audio at 16 kHz, mono.

        Raises:
            ClipError: `no_audio`, or why the file could not be read.
        """
        if isinstance(self._audio, ClipError):
            raise self._audio
        return self._audio

    @property
    def video_path(self) -> Path | None:
        """The file that the frames come from; None if the clip has none or they are not wanted."""
        return self._video_path

    def frame_times(self) -> npt.NDArray[np.float64]:
        """(T, 2) seconds from the clip's start in which each frame is shown.

        Raises:
            ClipError: `no_video`, or why the file could not be read.
        """
        if isinstance(self._times, ClipError):
            raise self._times
        return self._times

    def frames(self) -> Iterator[Frame]:
        """The clip's frames in order of presentation.

        Raises:
            ClipError: `no_video`, or why the file could not be read.
        """
        times = self.frame_times()
        decoded = self._decode_again() if self._decoded is None else self._decoded
        for index, (frame, (start, end)) in enumerate(zip(decoded, times, strict=True)):
            yield Frame(index, float(start), float(end), frame, self.clip.crop)

    def once(self, key: object, make: Callable[[], ResultT]) -> ResultT:
        """Compute something of this clip that several extractors need, such as a network's outputs, only once.

        An error is not kept: it is raised afresh for each extractor.

        Args:
            key: What it is.
            make: Computes it.
        """
        with self._lock:
            if key not in self._results:
                self._results[key] = make()
            result: ResultT = self._results[key]  # type: ignore[assignment]
            return result

    def set_feature(self, name: str, outcome: Features | Failure) -> None:
        """Keep a feature of this clip for extractors that need it.

        Args:
            name: Name of the feature.
            outcome: What was extracted, now or in an earlier run.
        """
        self._features[name] = outcome

    def has_feature(self, name: str) -> bool:
        """Whether the outcome of a feature is known."""
        return name in self._features

    def feature(self, name: str) -> Features:
        """A feature of this clip that was extracted before.

        Raises:
            ClipError: If the clip failed for that feature: the same reason.
            KeyError: If it was not set: the extractor does not name it in `needs`.
        """
        outcome = self._features[name]
        if isinstance(outcome, Failure):
            raise ClipError(outcome.reason, f"{name}: {outcome.message}", stage=outcome.stage)
        return outcome

    @property
    def kept_bytes(self) -> int:
        """Bytes of decoded frames, and of units prepared for networks, held in memory."""
        return self.prepared_bytes + sum(plane.buffer_size for frame in self._decoded or () for plane in frame.planes)

    def close(self) -> None:
        """Free the decoded data."""
        self._decoded = None
        self._results.clear()
        self._features.clear()
        self._audio = self._times = ClipError("undecodable", "the clip's media was already closed")

    def _decode_file(self, path: Path) -> None:
        with open_media(path) as container:
            self.files_opened += 1
            audio = AudioTrack(container, self.clip) if path == self._audio_path else None
            stream = frame_stream(container) if path == self._video_path else None
            frames = FrameTrack(self._budget)
            for frame, time in walk(container, self.clip, stream, audio.stream if audio else None):
                if isinstance(frame, av.VideoFrame):
                    frames.add(frame, time)
                elif audio is not None:
                    audio.add(frame, time)
            if audio is not None:
                self._audio = audio.finish_or_error()
            if stream is not None:
                self.video_passes += 1
                end = declared_end(container, stream, self.clip)
                declared = end if math.isinf(end) else min(end, clip_length(self.clip))
                self._times = check_times(frames.times(self.clip), declared, path)
                self._decoded = frames.kept
            elif path == self._video_path:
                self._times = ClipError("no_video", f"{path.name}: no video stream", stage="open")
            decoded = [s for s in (stream, audio.stream if audio else None) if s is not None]
            check_container(container, decoded, max(frames.end, audio.end if audio else 0.0), self.clip)

    def _decode_again(self) -> Iterator[av.VideoFrame]:
        if self._video_path is None:
            return
        self.video_passes += 1
        with open_media(self._video_path) as container:
            self.files_opened += 1
            for frame, _ in walk(container, self.clip, frame_stream(container), None):
                if isinstance(frame, av.VideoFrame):
                    yield frame
