"""One clip, decoded once; all its times are seconds from its start.

A clip that is a whole file opens it once; audio and frames come out of the same pass over its packets. A segment's
audio and frames are read by a pass each: samples are exact only if decoding begins at the file's start, frames are
sought.
Time 0 is where the container's presentation starts (or `clip.start` after it). A track that starts later keeps
its own offset, so features of all tracks align in seconds. Timestamps are the container's, never a nominal
frame rate's.

Decoded frames are kept in the decoder's own format (1.5 bytes a pixel) up to a memory bound. A longer clip
keeps none and is decoded again by each reader that asks; `Media.video_passes` counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import av
import numpy as np
import numpy.typing as npt

from configs.paths import is_remote
from extractors.core.media.audio import Audio
from extractors.core.media.frames import Frame
from extractors.core.media.passages import Passages
from extractors.core.media.reading import (
    NO_AUDIO,
    NO_FRAMES,
    DecodedAudio,
    DecodedFrames,
    Flags,
    FrameSettings,
    read_audio,
    read_frames,
    read_images,
    read_whole,
)
from extractors.core.media.video import open_reading
from storage.clip import Clip
from storage.errors import ClipError
from storage.media_files import has_changed, is_images, leaves_root
from storage.records import Failure, Features
from storage.remote import UnreachableError, local_copy

FRAME_CACHE_BYTES = 768 << 20
ResultT = TypeVar("ResultT")


class Media:
    """The media of one clip: construct, `decode()` once, then read.

    Args:
        clip: The clip.
        root: Folder that the clip's relative paths start from.
        audio: Whether some extractor needs audio.
        video: Whether some extractor needs frames.
        frame_cache_bytes: Most bytes of decoded frames to keep.
        deinterlace: Whether interlaced frames are made whole.
        passages: Ways through files that segments of one file share; its own where not given.

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
        deinterlace: bool = False,
        passages: Passages | None = None,
    ) -> None:
        self.clip = clip
        self.files_opened = 0
        self.prepared_bytes = 0
        self.video_passes = 0
        self._root = root
        self._passages, self._is_alone = passages or Passages(), passages is None
        self._settings = FrameSettings(frame_cache_bytes, deinterlace)
        self._audio_path = root / clip.audio if audio and clip.audio else None
        self._video_path = root / clip.video if video and clip.video else None
        self._audio_result, self._frames_result = NO_AUDIO, NO_FRAMES
        self._results: dict[object, object] = {}
        self._features: dict[str, Features | Failure] = {}
        self._lock = threading.RLock()

    def decode(self) -> None:
        """Open each distinct file once and decode what is wanted.

        Errors are stored and raised when that track is read.
        """
        for path in dict.fromkeys(p for p in (self._video_path, self._audio_path) if p is not None):
            audio, frames = path == self._audio_path, path == self._video_path
            refusal = self._refusal(path, "audio" if audio else "video")
            if refusal is not None:
                self._audio_result = DecodedAudio(refusal) if audio else self._audio_result
                self._frames_result = DecodedFrames(refusal) if frames else self._frames_result
                continue
            here = local_copy(path)
            self.video_passes += frames
            clip = self.clip
            if audio and not frames and clip.audio_is_cut:
                clip = replace(clip, start=None, end=None)
            is_segment = clip.start is not None or clip.end is not None
            self.files_opened += (audio + frames) if is_segment else 1
            if not audio and is_images(here):
                read = NO_AUDIO, read_images(here, clip, self._settings)
            elif is_segment:
                read = (
                    read_audio(here, clip, self._passages) if audio else NO_AUDIO,
                    read_frames(here, clip, self._settings, self._passages) if frames else NO_FRAMES,
                )
            else:
                read = read_whole(here, clip, audio=audio, frames=frames, settings=self._settings)
            self._audio_result = read[0] if audio else self._audio_result
            self._frames_result = read[1] if frames else self._frames_result
        if self._is_alone:
            self._passages.close()

    def _refusal(self, path: Path, kind: str) -> ClipError | None:
        """Why a file is not to be opened for this clip; None if it may be."""
        if leaves_root(self.clip.media[kind]):
            return ClipError("outside_root", f"{path}: outside of the media folder {self._root}", stage="open")
        record = self.clip.files.get(kind)
        try:
            has_other_bytes = record is not None and has_changed(path, record)
            local_copy(path)
        except UnreachableError:
            raise
        except OSError as error:
            if not is_remote(path):
                return None  # told by what opens it
            why = error.strerror or "no such object"
            return ClipError("missing_file", f"{path}: cannot be fetched: {why}", stage="open")
        if has_other_bytes:
            message = f"{path.name}: holds other bytes than when it was ingested"
            return ClipError("media_changed", message, stage="open")
        return None

    def audio(self) -> Audio:
        """The clip's audio at 16 kHz, mono.

        Raises:
            ClipError: `no_audio`, or why the file could not be read.
        """
        if isinstance(self._audio_result.audio, ClipError):
            raise self._audio_result.audio
        return self._audio_result.audio

    def flags(self, modality: Literal["audio", "video", "text"]) -> Flags:
        """What is unusual about the clip's audio or frames, such as `{"holes": 2, "hole_seconds": 0.08}`.

        Args:
            modality: Which of them; a text has none.
        """
        return {"audio": self._audio_result.flags, "video": self._frames_result.flags}.get(modality, {})

    @property
    def video_path(self) -> Path | None:
        """The file of this machine that the frames come from; None if the clip has none or they are not wanted."""
        return None if self._video_path is None else local_copy(self._video_path)

    def frame_times(self) -> npt.NDArray[np.float64]:
        """(T, 2) seconds from the clip's start in which each frame is shown.

        Raises:
            ClipError: `no_video`, or why the file could not be read.
        """
        if isinstance(self._frames_result.times, ClipError):
            raise self._frames_result.times
        return self._frames_result.times

    def frames(self) -> Iterator[Frame]:
        """The clip's frames in order of presentation.

        Raises:
            ClipError: `no_video`, or why the file could not be read.
        """
        times = self.frame_times()
        decoded = self._decode_again() if self._frames_result.kept is None else self._frames_result.kept
        for index, (frame, (start, end)) in enumerate(zip(decoded, times, strict=True)):
            yield Frame(index, float(start), float(end), frame, self._frames_result.display)

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
        """Bytes of decoded frames and audio, and of units prepared for networks, held in memory."""
        frames, audio = self._frames_result.kept or (), self._audio_result.audio
        samples = 0 if isinstance(audio, ClipError) else audio.samples.nbytes
        return samples + self.prepared_bytes + sum(plane.buffer_size for frame in frames for plane in frame.planes)

    def close(self) -> None:
        """Free the decoded data."""
        closed = ClipError("undecodable", "the clip's media was already closed")
        self._audio_result, self._frames_result = DecodedAudio(closed), DecodedFrames(closed)
        self._results.clear()
        self._features.clear()

    def _decode_again(self) -> Iterator[av.VideoFrame]:
        if self._video_path is None:
            return
        self.video_passes += 1
        reading = open_reading(local_copy(self._video_path), self.clip, deinterlace=self._settings.deinterlace)
        try:
            for frame, _ in reading.frames():
                yield frame
        finally:
            reading.close()
        self.files_opened += reading.files_opened
