"""A clip's audio: one stream as 16 kHz mono samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from extractors.core.media.demuxing import clip_length, declared_end, truncation
from storage.clip import Clip
from storage.errors import ClipError

AUDIO_RATE = 16_000


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Decoded audio.

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


class AudioTrack:
    """Collects one audio stream as 16 kHz mono.

    The samples are those that `ffmpeg -ac 1 -ar 16000 -c:a pcm_s16le` writes and that every reference script reads:
    FFmpeg's standard down-mix and resampler, rounded to 16 bits. (In floating point the same down-mix is louder by
    up to 1.41 and exceeds 1.)

    Args:
        container: Where the stream is.
        clip: Which segment and which channel are wanted.
    """

    def __init__(self, container: InputContainer, clip: Clip) -> None:
        self.stream = container.streams.audio[0] if container.streams.audio else None
        self._name = Path(container.name).name
        self._clip = clip
        self._chunks: list[npt.NDArray[np.float32]] = []
        self._resampler: av.AudioResampler | None = None
        self._first = 0.0
        self.end = 0.0
        declared = math.inf if self.stream is None else declared_end(container, self.stream, clip)
        self._declared = min(declared, clip_length(clip))

    def add(self, frame: av.AudioFrame, time: float) -> None:
        """Resample one decoded frame.

        Args:
            frame: The frame.
            time: Seconds from the clip's start at which it starts.
        """
        if self._resampler is None:
            layout = "mono" if self._clip.audio_channel is None else frame.layout.name
            self._resampler = av.AudioResampler(format="s16p", layout=layout, rate=AUDIO_RATE)
            self._first = time
        self.end = time + frame.samples / frame.sample_rate
        self._keep(self._resampler.resample(frame))

    def finish(self) -> tuple[npt.NDArray[np.float32], float]:
        """Samples and the time of the first one, cut to the segment and to what the container declares.

        Encoders pad their last packet; samples past the declared end are that padding.

        Raises:
            ClipError: `no_audio`, `audio_gap` or `truncated`.
        """
        if self._resampler is None:
            raise ClipError("no_audio", f"{self._name}: no audio stream", stage="open")
        self._keep(self._resampler.resample(None))
        samples = np.concatenate(self._chunks)
        covered = self.end - self._first
        if abs(covered - samples.size / AUDIO_RATE) > 0.1:
            message = f"{self._name}: {samples.size / AUDIO_RATE:.2f} s of samples for {covered:.2f} s of timestamps"
            raise ClipError("audio_gap", message, stage="decode")
        early = truncation(f"{self._name}: audio ends at", self.end, self._declared)
        if early is not None:
            raise early
        skip = max(0, math.ceil(-self._first * AUDIO_RATE - 1e-6))
        start = self._first + skip / AUDIO_RATE
        room = self._declared - start
        stop = samples.size if math.isinf(room) else skip + max(0, round(room * AUDIO_RATE))
        return np.ascontiguousarray(samples[skip:stop]), start

    def _keep(self, frames: list[av.AudioFrame]) -> None:
        channel = self._clip.audio_channel or 0
        for frame in frames:
            planes = frame.to_ndarray()
            if channel >= planes.shape[0]:
                message = f"{self._name}: channel {channel} asked for, {planes.shape[0]} channels found"
                raise ClipError("no_channel", message, stage="decode")
            self._chunks.append(planes[channel].astype(np.float32) / 32_768)

    def finish_or_error(self) -> Audio | ClipError:
        """The audio, or why there is none, to be raised when it is asked for."""
        try:
            samples, start = self.finish()
        except ClipError as error:
            return error
        return Audio(samples, AUDIO_RATE, start)
