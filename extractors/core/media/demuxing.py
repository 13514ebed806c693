"""Containers and packets: opening a file, choosing its streams, and one pass over its packets.

`clip_media.py` builds on it; extractors never need it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import av
from av.container import InputContainer

from extractors.core.media.formats import has_presentation_times, media_demuxers, states_tracks, states_whole
from storage.clip import Clip
from storage.errors import ClipError

Stream = av.AudioStream | av.VideoStream
StreamT = TypeVar("StreamT", av.AudioStream, av.VideoStream)
Frame = av.AudioFrame | av.VideoFrame
Packet: TypeAlias = "av.Packet[Any]"
_LFS_HEAD = b"version https://git-lfs"
_MICROSECOND = Fraction(1, 1_000_000)
_LARGEST_STEP_BACK = Fraction(1, 2)  # seconds; beyond it a stream's timestamps start anew


def check_readable(path: Path) -> None:
    """Refuse, with a reason of its own, what FFmpeg would only call invalid data.

    Raises:
        ClipError: `missing_file`, `empty_file` or `lfs_pointer`.
    """
    if not path.is_file():
        raise ClipError("missing_file", f"{path}: no such file", stage="open")
    if path.stat().st_size == 0:
        raise ClipError("empty_file", f"{path.name}: zero bytes", stage="open")
    with path.open("rb") as file:
        if file.read(len(_LFS_HEAD)) == _LFS_HEAD:
            raise ClipError("lfs_pointer", f"{path.name}: a git-LFS pointer, not media", stage="open")


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a media file, and nothing else that may be named in it; every error of FFmpeg becomes a ClipError.

    Raises:
        ClipError: Why the file cannot be opened or decoded.
    """
    check_readable(path)
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(media_demuxers())}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            yield container
    except (ClipError, MemoryError):
        raise
    except Exception as error:  # PyAV raises many kinds: whatever it is, this file cannot be read
        raise undecodable(path, error) from error


def undecodable(path: Path, error: Exception, what: str = "") -> ClipError:
    """The error of a file or stream that FFmpeg cannot open or decode.

    Args:
        path: The file.
        error: What PyAV raised.
        what: Which part of the file.
    """
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if reason.startswith("Error number"):  # FFmpeg's own words are in its log only
        reason = "FFmpeg cannot decode it"
    if isinstance(error, av.error.ArgumentError) and not what:
        reason = "not a media file"  # its demuxer is not one of those that may open files
    return ClipError("undecodable", f"{path.name}: {what}{reason}", stage="decode")


def probe(path: Path) -> float | None:
    """Seconds of media that a file declares, or that FFmpeg estimates; None if it cannot be opened or does not say."""
    try:
        with open_media(path) as container:
            if container.duration is not None:
                return container.duration / 1e6
            ends = [s.duration * s.time_base for s in _tracks(container) if s.duration and s.time_base]
            return float(max(ends)) if ends else None
    except ClipError:
        return None


def choose_audio(container: InputContainer, clip: Clip) -> av.AudioStream | None:
    """The clip's audio stream: FFmpeg's choice (the default one, then the one with most channels), or the asked one.

    Args:
        container: The media.
        clip: The clip.

    Raises:
        ClipError: `no_track`.
    """
    streams = [s for s in container.streams.audio if s.codec_context is not None]
    return _chosen(container, streams, clip.audio_track, "audio", [s.channels for s in streams])


def choose_video(container: InputContainer, clip: Clip) -> av.VideoStream | None:
    """The clip's video stream, never cover art: FFmpeg's choice (the default one, then the largest), or the asked one.

    Args:
        container: The media.
        clip: The clip.

    Raises:
        ClipError: `no_track`.
    """
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if s.codec_context is not None and not s.disposition & cover]
    sizes = [s.width * s.height for s in streams]
    stream = _chosen(container, streams, clip.video_track, "video", sizes)
    if stream is not None:
        stream.thread_type = "AUTO"
    return stream


def _chosen(
    container: InputContainer, streams: Sequence[StreamT], asked: int | None, kind: str, sizes: Sequence[int]
) -> StreamT | None:
    if asked is not None:
        if asked >= len(streams):
            found = f"{kind} track {asked} asked for (from 0), {len(streams)} found"
            raise ClipError("no_track", f"{Path(container.name).name}: {found}", stage="open")
        return streams[asked]
    default = av.stream.Disposition.default
    ranks = [(bool(s.disposition & default), size, -i) for i, (s, size) in enumerate(zip(streams, sizes, strict=True))]
    return streams[-max(ranks)[2]] if ranks else None


def read_only(container: InputContainer, stream: Stream) -> None:
    """Have FFmpeg skip all other streams, as far as the container allows.

    Args:
        container: The media.
        stream: The stream that is wanted.
    """
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all


def file_zero(container: InputContainer) -> Fraction:
    """Seconds on the container's own clock at which its presentation starts.

    FFmpeg rounds it to a microsecond, which is part of a sample; the stream that starts there says it exactly.
    """
    declared = Fraction(container.start_time or 0, 1_000_000)
    starts = [s.start_time * s.time_base for s in _tracks(container) if s.start_time is not None and s.time_base]
    near = [start for start in starts if abs(start - declared) <= _MICROSECOND]
    return min(near, key=lambda start: abs(start - declared), default=declared)


def declared_end(container: InputContainer, stream: Stream, path: Path) -> Fraction | None:
    """Seconds from the file's start to where the file says that a stream ends; None if it does not say.

    Args:
        container: The media.
        stream: One of its streams.
        path: The file.
    """
    if not stream.duration or stream.time_base is None or not states_tracks(container, path):
        return None
    return ((stream.start_time or 0) + stream.duration) * stream.time_base - file_zero(container)


def truncation(what: str, end: float, expected: float, by: str = "declared") -> ClipError | None:
    """The error of media that ends well before its expected end; None if it does not.

    Args:
        what: Which track of which file, and the verb, for the message.
        end: Seconds at which it ends.
        expected: Seconds at which it should end.
        by: What says so, for the message.
    """
    if expected - end <= max(0.1, 0.05 * expected):
        return None
    return ClipError("truncated", f"{what} {end:.2f} s of {expected:.2f} s {by}", stage="decode")


def _tracks(container: InputContainer) -> list[Stream]:
    return [*container.streams.audio, *container.streams.video]


class _Clock:
    """Times of one stream's frames on the file's clock.

    A frame's own time counts. Where it has none, or the container stores none, pictures get the decoding times of the
    packets in order, and sound follows the frame before; at last the stream's frame rate counts.
    """

    def __init__(self, stream: Stream, *, has_presentation_times: bool) -> None:
        self._trusts_pts = has_presentation_times or isinstance(stream, av.AudioStream)
        self._rate = (stream.guessed_rate or stream.average_rate) if isinstance(stream, av.VideoStream) else None
        self._next = (stream.start_time or 0) * (stream.time_base or Fraction(0))
        self._decoding: list[int] = []  # a heap of the decoding times of packets whose frames did not come yet
        self._has_begun = False
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
            time = self._next if self._has_begun or frame.dts is None else frame.dts * base
        if isinstance(frame, av.AudioFrame):
            length = Fraction(frame.samples, frame.sample_rate)
        else:
            length = (frame.duration or 0) * base or (1 / self._rate if self._rate else Fraction(1, 25))
        self._next, self._has_begun = time + length, True
        return time


class PacketPass:
    """One pass over the packets of a file: frames of the wanted streams, each stream judged alone.

    Args:
        container: The media.
        streams: The streams to decode.
        path: The file, for messages.

    Attributes:
        zero: Seconds on the container's clock at which the file's presentation starts.
        end: Seconds from there to the end of the last packet of any stream, seen so far.
        errors: Why a stream cannot be decoded, by its index.
        dropped: Frames per stream that were left out, for their time is that of the frame before, or earlier.
        damaged: Frames per stream that FFmpeg says are damaged.
    """

    def __init__(self, container: InputContainer, streams: Sequence[Stream], path: Path) -> None:
        self._container, self._path = container, path
        self._streams = {stream.index: stream for stream in streams}
        has_times = has_presentation_times(container)
        self._clocks = {s.index: _Clock(s, has_presentation_times=has_times) for s in streams}
        self._last: dict[int, Fraction] = {}
        self.zero = file_zero(container)
        self.end = Fraction(0)
        self.errors: dict[int, ClipError] = {}
        self.dropped = dict.fromkeys(self._streams, 0)
        self.damaged = dict.fromkeys(self._streams, 0)

    def made_up(self, stream: Stream) -> int:
        """Frames of a stream so far whose container gives them no time."""
        return self._clocks[stream.index].made_up

    def flags(self, stream: Stream) -> dict[str, float]:
        """What is unusual about a stream's frames so far: how many of them, by what it is."""
        index = stream.index
        counts: dict[str, float] = {"times_made_up": self._clocks[index].made_up}
        return counts | {"times_not_advancing": self.dropped[index], "damaged": self.damaged[index]}

    def seek(self, seconds: Fraction) -> None:
        """Go to a keyframe at or before a time; where it lands is known from the frames that come.

        Args:
            seconds: From the file's start.
        """
        self._container.seek(int((self.zero + seconds) / _MICROSECOND), backward=True)

    def frames(self) -> Iterator[tuple[Frame, Fraction]]:
        """Frames with their times in seconds from the file's start; the times of a video stream increase."""
        for packet in self._packets():
            index = packet.stream.index
            if index not in self._streams or index in self.errors:
                continue
            self._clocks[index].feed(packet)
            try:
                decoded = packet.decode()
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001  # PyAV raises many kinds: whatever it is, this stream ends here
                kind = "sound" if isinstance(self._streams[index], av.AudioStream) else "pictures"
                self.errors[index] = undecodable(self._path, error, f"{kind}: ")
                continue
            for frame in decoded:
                self.damaged[index] += bool(frame.is_corrupt)
                time = self._clocks[index].time(frame) - self.zero
                if isinstance(self._streams[index], av.AudioStream) or self._advances(index, time):
                    yield frame, time

    def _advances(self, index: int, time: Fraction) -> bool:
        """Whether a frame comes after the one before it; one that does not is left out and counted."""
        last = self._last.get(index)
        if last is not None and time <= last:
            self.dropped[index] += 1
            if last - time > _LARGEST_STEP_BACK and index not in self.errors:
                message = f"{self._path.name}: time goes back from {float(last):.2f} s to {float(time):.2f} s"
                self.errors[index] = ClipError("undecodable", message, stage="decode")
            return False
        self._last[index] = time
        return True

    def _packets(self) -> Iterator[Packet]:
        kinds = {s.index for s in _tracks(self._container)}
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001
                for index in self._streams:
                    self.errors.setdefault(index, undecodable(self._path, error))
                return
            if packet.stream.index in kinds and packet.pts is not None and packet.time_base is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base - self.zero
                self.end = max(self.end, end)
            yield packet


def whole_file_truncation(container: InputContainer, end: Fraction, path: Path) -> ClipError | None:
    """The error of a file whose packets end well before the one length that it states for all its streams.

    Args:
        container: The media.
        end: Seconds from the file's start to the end of its last packet.
        path: The file.
    """
    if not container.duration or not states_whole(container):
        return None
    # The length counts from the clock's 0 where FFmpeg writes it, and from the first packet where others do.
    declared = container.duration / 1e6 - max(0.0, float(file_zero(container)))
    return truncation(f"{path.name}: its packets end at", float(end), declared)
