"""A clip's audio: one stream as 16 kHz mono samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt

from extractors.core.media.resampler import AUDIO_RATE, Resampler
from extractors.core.media.samples import Samples
from storage.clip import CENTRE, Clip
from storage.errors import ClipError

SHORTEST_HOLE = Fraction(1, 100)  # seconds; steps of a container's clock are shorter
LONGEST_HOLE = Fraction(1, 2)
MOST_DRIFT = Fraction(1, 10)  # seconds by which samples and timestamps may differ in the end


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Decoded audio.

    Attributes:
        samples: (N,) float32, mono, about -1..1.
        rate: Samples per second.
        start: Seconds from the clip's start to the first sample.
        holes: (K, 2) seconds from the clip's start of what the file lacks: silence stands there.
    """

    samples: npt.NDArray[np.float32]
    rate: int
    start: float
    holes: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))

    @property
    def end(self) -> float:
        """Seconds from the clip's start to the end of the last sample."""
        return self.start + self.samples.size / self.rate


class LocatedFrame(NamedTuple):
    """A decoded frame and where it lies in its file.

    Attributes:
        frame: The frame.
        time: Seconds from the file's start at which it starts, by the container's clock.
        position: Samples from the file's start, by FFmpeg's rule.
        step: Samples between the end of the frame before and this one.
    """

    frame: av.AudioFrame
    time: Fraction
    position: int
    step: int


class SampleClock:
    """Places the frames of one stream on its sample clock, in order from the file's start."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._rate = 0

    def locate(self, frame: av.AudioFrame, time: Fraction) -> LocatedFrame:
        """Where a frame lies, by FFmpeg's rule.

        A time that is rounded to steps longer than a sample leaves a choice: then the frame follows the one before.

        Args:
            frame: The frame.
            time: Seconds from the file's start.
        """
        rate, tick = frame.sample_rate, frame.time_base or Fraction(0)
        if rate != self._rate:
            self._next, self._rate = None, rate
        position, before = _rounded(time * rate), self._next
        if before is not None and tick.numerator * rate > tick.denominator:
            low, high = floor((time - tick / 2) * rate), ceil((time + tick / 2) * rate)
            if 2 * low - high <= before <= 2 * high - low:
                position = min(max(before, low), high)
        self._next = position + frame.samples
        return LocatedFrame(frame, time, position, 0 if before is None else position - before)


class AudioTrack:
    """Collects one audio stream as 16 kHz mono.

    The samples of a whole file are those that `ffmpeg -ac 1 -ar 16000 -c:a pcm_s16le` writes and that every reference
    script reads: FFmpeg's standard down-mix and resampler, rounded to 16 bits. (In floating point the same down-mix is
    louder by up to 1.41 and exceeds 1.) Those of a segment are what `-af atrim=start=S:end=E` before it gives. Where
    packets are missing, silence of their length stands in.

    Args:
        clip: Which segment and which channel are wanted.
        name: The file's name, for messages.
    """

    def __init__(self, clip: Clip, name: str) -> None:
        self._clip, self._name = clip, name
        self._start = Fraction(clip.start or 0.0)
        self._end = None if clip.end is None else Fraction(clip.end)
        self._source = _Source()
        self._kept = Samples()
        self._holes: list[tuple[Fraction, Fraction]] = []  # seconds of audio before each, and its length
        self._held: LocatedFrame | None = None
        self._first: Fraction | None = None
        self._samples: Counter[int] = Counter()  # kept so far, by their rate
        self._silence = self.end = Fraction(0)

    @property
    def is_complete(self) -> bool:
        """Whether the end of the clip's segment was reached."""
        return self._end is not None and self.end >= self._end

    def add(self, located: LocatedFrame) -> None:
        """Take in one decoded frame; of a segment, those before it may be left out.

        The last one is held back until the next one comes or the stream ends: a part of it may be padding.

        Args:
            located: The frame, in order.

        Raises:
            ClipError: `no_channel` or `audio_gap`.
        """
        if self._held is not None:
            self._take(self._held.frame, self._held)
        self._held = located
        if self._end is not None:
            self.end = located.time + Fraction(located.frame.samples, located.frame.sample_rate)

    @property
    def _length(self) -> Fraction:
        """Seconds of the samples kept so far, without silence."""
        return sum((Fraction(count, rate) for rate, count in self._samples.items()), Fraction(0))

    def _take(self, frame: av.AudioFrame, located: LocatedFrame) -> None:
        """Keep what of a frame lies inside the clip."""
        rate, position = frame.sample_rate, located.position
        self.end = Fraction(position + frame.samples, rate)
        first = 0 if self._clip.start is None else max(0, _rounded(self._start * rate) - position)
        last = frame.samples if self._end is None else min(frame.samples, _rounded(self._end * rate) - position)
        if first >= last:
            return
        if self._first is None:
            self._first = Fraction(position + first, rate)
        elif located.step >= rate * SHORTEST_HOLE:
            self._note_hole(Fraction(position + first, rate))
        self._samples[rate] += last - first
        if self._source.has_changed(frame):
            self._source.rebuild(frame, self._clip.audio_channel)
        self._keep(self._source.resample(_cut(frame, first, last)))

    def _note_hole(self, begin: Fraction) -> None:
        """Look whether samples are missing before the next ones, by the container's clock."""
        expected = (self._first or Fraction(0)) + self._length + self._silence
        hole = begin - expected
        if hole < SHORTEST_HOLE:
            return
        if hole > LONGEST_HOLE:
            message = f"{self._name}: {float(hole):.2f} s of audio are missing at {float(expected):.2f} s"
            raise ClipError("audio_gap", message, stage="decode")
        self._holes.append((self._length, hole))
        self._silence += hole

    def finish(self, stored_end: Fraction | None = None) -> Audio:
        """The audio, with silence for what is missing.

        Args:
            stored_end: Seconds from the file's start after which the last frame is padding; None if nothing says so.

        Raises:
            ClipError: `no_audio`, `no_channel` or `audio_gap`.
        """
        if self._held is not None:
            frame, time = self._held.frame, self._held.time
            kept = frame.samples if stored_end is None else _rounded((stored_end - time) * frame.sample_rate)
            self._take(_cut(frame, 0, kept) if 0 < kept < frame.samples else frame, self._held)
        if self._first is None:
            where = "" if self._end is None else f" between {float(self._start):g} and {float(self._end):g} s"
            raise ClipError("no_audio", f"{self._name}: its audio stream holds no audio{where}", stage="decode")
        self._keep(self._source.flush())
        drift = self.end_of_audio - (self._first + self._length + self._silence)
        if abs(drift) > MOST_DRIFT:
            message = f"{self._name}: audio and its timestamps differ by {float(drift):.2f} s in the end"
            raise ClipError("audio_gap", message, stage="decode")
        samples, holes = self._with_silence(self._kept.take())
        start = self._first - self._start
        return Audio(samples, AUDIO_RATE, float(start), holes + float(start))

    @property
    def end_of_audio(self) -> Fraction:
        """Seconds from the file's start to the end of what was kept."""
        return self.end if self._end is None else min(self.end, self._end)

    def _with_silence(
        self, samples: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Samples with zeros where holes are, and the holes in seconds from the first sample."""
        parts, holes, done, added = [], [], 0, 0
        for before, length in self._holes:
            at, zeros = _rounded(before * AUDIO_RATE), _rounded(length * AUDIO_RATE)
            parts += [samples[done:at], np.zeros(zeros, np.float32)]
            holes.append(((at + added) / AUDIO_RATE, (at + added + zeros) / AUDIO_RATE))
            done, added = at, added + zeros
        whole = np.concatenate([*parts, samples[done:]]) if parts else samples
        return np.ascontiguousarray(whole), np.array(holes, np.float64).reshape(-1, 2)

    def _keep(self, frames: list[av.AudioFrame]) -> None:
        channel = self._source.channel or 0
        for frame in frames:
            planes = frame.to_ndarray()
            if channel >= planes.shape[0]:
                message = f"{self._name}: channel {channel} asked for, {planes.shape[0]} channels found"
                raise ClipError("no_channel", message, stage="decode")
            self._kept.add(planes[channel])


class _Source:
    """The decoded stream's present form, and the resampler for it."""

    def __init__(self) -> None:
        self._form: tuple[str, str, int] | None = None
        self.channel: int | None = None
        self._resampler: Resampler | None = None

    def has_changed(self, frame: av.AudioFrame) -> bool:
        """Whether the stream's rate, channels or sample format are others than before."""
        return self._form != _form(frame)

    def rebuild(self, frame: av.AudioFrame, channel: int | None) -> None:
        """Begin with a new resampler; what the one before still holds (a millisecond) is lost, as in FFmpeg.

        Args:
            frame: The first frame of the new form.
            channel: The channel that is wanted; None for the down-mix.
        """
        self._form = _form(frame)
        self.channel = _centre(frame) if channel == CENTRE else channel
        self._resampler = Resampler(frame, down_mix=self.channel is None)

    def resample(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        """The frame at 16 kHz, as far as the resampler gives it already."""
        return [] if self._resampler is None else self._resampler.resample(frame)

    def flush(self) -> list[av.AudioFrame]:
        """What the resampler still holds."""
        return [] if self._resampler is None else self._resampler.resample(None)


def _centre(frame: av.AudioFrame) -> int | None:
    """The centre channel of surround audio; None for the down-mix."""
    names = [channel.name for channel in frame.layout.channels]
    return names.index("FC") if len(names) > 2 and "FC" in names else None


def _form(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _cut(frame: av.AudioFrame, first: int, last: int) -> av.AudioFrame:
    """Some samples of a frame."""
    if (first, last) == (0, frame.samples):
        return frame
    samples: npt.NDArray[Any] = frame.to_ndarray()
    width = 1 if frame.format.is_planar else len(frame.layout.channels)
    kept = np.ascontiguousarray(samples[:, first * width : last * width])
    part = av.AudioFrame.from_ndarray(kept, frame.format.name, frame.layout.name)
    part.sample_rate, part.time_base = frame.sample_rate, frame.time_base
    return part


def _rounded(value: Fraction) -> int:
    """The nearest whole number, halves away from zero as FFmpeg rounds."""
    return int(value + Fraction(1, 2)) if value >= 0 else -int(-value + Fraction(1, 2))
