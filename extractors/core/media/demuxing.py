"""One pass over the packets of a file: decoded frames of the wanted streams, with their true times.

`reading.py` builds on it; extractors never need it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, TypeAlias

import av
from av.container import InputContainer

from extractors.core.media.formats import has_presentation_times
from extractors.core.media.opening import undecodable
from extractors.core.media.streams import MICROSECOND, Stream, file_zero, tracks
from storage.errors import ClipError

Frame = av.AudioFrame | av.VideoFrame
Packet: TypeAlias = "av.Packet[Any]"
_HDR_CURVES = {16, 18}  # SMPTE ST 2084 (PQ) and ARIB STD-B67 (HLG), ITU-T H.273 table 3
_USUAL_SECONDS = Fraction(1, 25)
_LARGEST_STEP_BACK = Fraction(1, 2)  # seconds; beyond it a stream's timestamps start anew


class _Clock:
    """Times of one stream's frames on the file's clock.

    A frame's own time counts. Where it has none, or the container stores none, frames get the decoding times of the
    packets in order, and audio follows the frame before; at last the stream's frame rate counts.
    """

    def __init__(self, stream: Stream, *, has_presentation_times: bool) -> None:
        self._trusts_pts = has_presentation_times or isinstance(stream, av.AudioStream)
        self._rate = (stream.guessed_rate or stream.average_rate) if isinstance(stream, av.VideoStream) else None
        self._start = (stream.start_time or 0) * (stream.time_base or Fraction(0))
        self._last: tuple[Fraction, Frame] | None = None
        self._decoding: list[int] = []  # a heap of the decoding times of packets whose frames did not come yet
        self.made_up = 0

    def feed(self, packet: Packet) -> None:
        """Take in a packet before its frames come."""
        if self._rate is not None and packet.dts is not None:
            heappush(self._decoding, packet.dts)

    def time(self, frame: Frame) -> Fraction:
        base = frame.time_base or Fraction(0)
        decoding = heappop(self._decoding) if self._decoding else None
        if frame.pts is not None and self._trusts_pts:
            time = frame.pts * base
        elif decoding is not None:
            self.made_up += self._trusts_pts
            time = decoding * base
        else:
            self.made_up += 1
            time = self._next if self._last is not None or frame.dts is None else frame.dts * base
        self._last = time, frame
        return time

    @property
    def _next(self) -> Fraction:
        """When the frame after the last one starts."""
        if self._last is None:
            return self._start
        time, frame = self._last
        if isinstance(frame, av.AudioFrame):
            return time + Fraction(frame.samples, frame.sample_rate)
        length = (frame.duration or 0) * (frame.time_base or Fraction(0))
        return time + (length or (1 / self._rate if self._rate else _USUAL_SECONDS))


class PacketPass:
    """One pass over the packets of a file: frames of the wanted streams, each stream judged alone.

    Args:
        container: The media.
        streams: The streams to decode.
        path: The file, for messages.

    Attributes:
        zero: Seconds on the container's clock at which the file's presentation starts.
        errors: Why a stream cannot be decoded, by its index.
    """

    def __init__(self, container: InputContainer, streams: Sequence[Stream], path: Path) -> None:
        self._container, self._path = container, path
        self._streams = {stream.index: stream for stream in streams}
        has_times = has_presentation_times(container)
        self._clocks = {s.index: _Clock(s, has_presentation_times=has_times) for s in streams}
        self._last: dict[int, Fraction] = {}
        self.zero = file_zero(container)
        self._ends: dict[tuple[int, Fraction], int] = {}  # of the last packet, by stream and time base
        self.errors: dict[int, ClipError] = {}
        self._counts: dict[int, Counter[str]] = {index: Counter() for index in self._streams}

    @property
    def end(self) -> Fraction:
        """Seconds from the file's start to the end of the last packet of any stream, seen so far."""
        return max((end * base for (_, base), end in self._ends.items()), default=self.zero) - self.zero

    def flags(self, stream: Stream) -> dict[str, float]:
        """What is unusual about a stream's frames so far: how many of them, by what it is."""
        made_up = self._clocks[stream.index].made_up
        return {"times_made_up": made_up, **self._counts[stream.index]}

    def forget_flags(self) -> None:
        """Begin to count anew what is unusual about frames; not how many have times that were made up."""
        for counts in self._counts.values():
            counts.clear()

    def seek(self, seconds: Fraction) -> None:
        """Go to a keyframe at or before a time; where it lands is known from the frames that come.

        Args:
            seconds: From the file's start.
        """
        self._container.seek(int((self.zero + seconds) / MICROSECOND), backward=True)

    def frames(self) -> Iterator[tuple[Frame, Fraction]]:
        """Frames with their times in seconds from the file's start; the times of a video stream increase."""
        for packet in self._packets():
            index = packet.stream.index
            if index not in self._streams or index in self.errors:
                continue
            self._clocks[index].feed(packet)
            try:
                decoded = packet.decode()
            except Exception as error:  # noqa: BLE001  # PyAV raises many kinds: whatever it is, this stream ends here
                kind = "audio" if isinstance(self._streams[index], av.AudioStream) else "frames"
                self.errors[index] = undecodable(self._path, error, f"{kind}: ")
                continue
            for frame in decoded:
                self.count(index, frame)
                time = self._clocks[index].time(frame) - self.zero
                if isinstance(self._streams[index], av.AudioStream) or self._advances(index, time):
                    yield frame, time

    def count(self, index: int, frame: Frame) -> None:
        """Count what is unusual about a frame.

        Args:
            index: Of its stream.
            frame: The frame.
        """
        counts = self._counts[index]
        counts["damaged"] += bool(frame.is_corrupt)
        if isinstance(frame, av.VideoFrame):
            counts["interlaced"] += bool(frame.interlaced_frame)
            counts["hdr"] += frame.color_trc in _HDR_CURVES

    def _advances(self, index: int, time: Fraction) -> bool:
        """Whether a frame comes after the one before it; one that does not is left out and counted."""
        last = self._last.get(index)
        if last is not None and time <= last:
            self._counts[index]["times_not_advancing"] += 1
            if last - time > _LARGEST_STEP_BACK and index not in self.errors:
                message = f"{self._path.name}: time goes back from {float(last):.2f} s to {float(time):.2f} s"
                self.errors[index] = ClipError("undecodable", message, stage="decode")
            return False
        self._last[index] = time
        return True

    def _packets(self) -> Iterator[Packet]:
        kinds = {s.index for s in tracks(self._container)}
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001
                for index in self._streams:
                    self.errors.setdefault(index, undecodable(self._path, error))
                return
            if packet.stream.index in kinds and packet.pts is not None and packet.time_base is not None:
                key, end = (packet.stream.index, packet.time_base), packet.pts + (packet.duration or 0)
                self._ends[key] = max(end, self._ends.get(key, end))
            yield packet
