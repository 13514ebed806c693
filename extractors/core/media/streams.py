"""Which streams of a file a clip is made of, when the file's presentation starts, and where it says that they end."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
from av.container import InputContainer

from extractors.core.media.formats import states_tracks, states_whole
from extractors.core.media.opening import open_media
from storage.clip import Clip
from storage.errors import ClipError

Stream = av.AudioStream | av.VideoStream
StreamT = TypeVar("StreamT", av.AudioStream, av.VideoStream)
MICROSECOND = Fraction(1, 1_000_000)


def probe(path: Path) -> float | None:
    """Seconds of media: as stored in the file, else to the end of its last packet; None if it cannot be read.

    Args:
        path: The file.
    """
    try:
        with open_media(path) as container:
            zero = file_zero(container)
            if container.duration and states_whole(container):
                return container.duration / 1e6 - max(0.0, float(zero))
            if container.duration and states_tracks(container, path):
                return container.duration / 1e6
            ends = [
                (packet.pts + (packet.duration or 0)) * packet.time_base
                for packet in container.demux(*tracks(container))
                if packet.pts is not None and packet.time_base is not None
            ]
            return float(max(ends) - zero) if ends else None
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


def tracks(container: InputContainer) -> list[Stream]:
    """All audio and video streams of a file."""
    return [*container.streams.audio, *container.streams.video]


def file_zero(container: InputContainer) -> Fraction:
    """Seconds on the container's own clock at which its presentation starts.

    FFmpeg rounds it to a microsecond, which is part of a sample; the stream that starts there says it exactly.
    """
    declared = Fraction(container.start_time or 0, 1_000_000)
    starts = [s.start_time * s.time_base for s in tracks(container) if s.start_time is not None and s.time_base]
    near = [start for start in starts if abs(start - declared) <= MICROSECOND]
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
