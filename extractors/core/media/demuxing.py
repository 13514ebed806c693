"""Containers and packets: the only code that talks to FFmpeg (through PyAV).

`clip_media.py` builds on it; extractors never need it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from storage.clip import Clip
from storage.errors import ClipError

_LFS_HEAD = b"version https://git-lfs"
# Demuxers that accept any bytes at all (a text file named .mp4 would "decode" as a terminal recording).
_NOT_MEDIA = {"tty", "data", "bin", "adf", "idf", "xbin"}


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
    """Open a media file; every FFmpeg error inside the block becomes a ClipError.

    Raises:
        ClipError: Why the file cannot be opened or decoded.
    """
    check_readable(path)
    try:
        with av.open(str(path)) as container:
            if container.format.name in _NOT_MEDIA:
                raise ClipError("undecodable", f"{path.name}: not a media file", stage="open")
            yield container
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClipError("undecodable", f"{path.name}: {reason}", stage="decode") from error


def probe(path: Path) -> float | None:
    """Seconds of media that a file's header declares; None if it cannot be opened or does not say."""
    try:
        with open_media(path) as container:
            if container.duration is not None:
                return container.duration / 1e6
            ends = [s.duration * s.time_base for s in container.streams if s.duration and s.time_base]
            return float(max(ends)) if ends else None
    except ClipError:
        return None


def frame_stream(container: InputContainer) -> av.VideoStream | None:
    """The first video stream that is not cover art."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    return None


def clip_zero(container: InputContainer, clip: Clip) -> float:
    """Seconds on the container's own clock at which the clip starts.

    Args:
        container: The media.
        clip: The clip, which may start later than its media.
    """
    return (container.start_time or 0) / 1e6 + (clip.start or 0.0)


def clip_length(clip: Clip) -> float:
    """Seconds of the clip's segment; infinite if it goes to the end of the media."""
    return math.inf if clip.end is None else clip.end - (clip.start or 0.0)


def declared_end(container: InputContainer, stream: av.VideoStream | av.AudioStream, clip: Clip) -> float:
    """Seconds from the clip's start to where the container says that the stream ends; infinite if it does not say.

    Args:
        container: The media.
        stream: One of its streams.
        clip: The clip.
    """
    if not stream.duration or stream.time_base is None:
        return math.inf
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base) - clip_zero(container, clip)


def truncation(what: str, end: float, declared: float) -> ClipError | None:
    """The error of media that ends well before its declared end; None if it does not.

    Args:
        what: Which track of which file, and the verb, for the message.
        end: Seconds at which it ends.
        declared: Seconds that the container declares.
    """
    if math.isinf(declared) or declared - end <= max(0.1, 0.05 * declared):
        return None
    return ClipError("truncated", f"{what} {end:.2f} s of {declared:.2f} s declared", stage="decode")


def walk(
    container: InputContainer,
    clip: Clip,
    video: av.VideoStream | None,
    audio: av.AudioStream | None,
) -> Iterator[tuple[av.VideoFrame | av.AudioFrame, float]]:
    """Decode streams in one pass.

    Args:
        container: The media.
        clip: Which segment is wanted.
        video: The video stream, if it is wanted.
        audio: The audio stream, if it is wanted.

    Yields:
        Each frame that starts inside the clip's segment (audio frames: that overlap it), with its time in
        seconds from the clip's start; audio frames may start slightly before 0.
    """
    streams = [s for s in (video, audio) if s is not None]
    if not streams:
        return
    zero = clip_zero(container, clip)
    if clip.start:
        container.seek(int(zero * 1e6), backward=True)
    length = clip_length(clip)
    for frame in container.decode(*streams):
        if isinstance(frame, (av.VideoFrame, av.AudioFrame)) and frame.time is not None:
            time = frame.time - zero
            span = frame.samples / frame.sample_rate if isinstance(frame, av.AudioFrame) else 1e-6
            if time + span > 0 and time < length:
                yield frame, time


def check_container(
    container: InputContainer, decoded: list[av.VideoStream | av.AudioStream], end: float, clip: Clip
) -> None:
    """Compare what was decoded with the one length that containers such as Matroska declare for all tracks.

    Args:
        container: The media.
        decoded: The streams that were decoded.
        end: Seconds from the clip's start at which they end.
        clip: The clip.

    Raises:
        ClipError: `truncated`.
    """
    tracks = len(container.streams.video) + len(container.streams.audio)
    if container.duration is None or clip.end is not None or len(decoded) != tracks or any(s.duration for s in decoded):
        return
    declared = container.duration / 1e6 - (clip.start or 0.0)
    early = truncation(f"{Path(container.name).name}: media ends at", end, declared)
    if early is not None:
        raise early


def check_times(times: npt.NDArray[np.float64], declared: float, path: Path) -> npt.NDArray[np.float64] | ClipError:
    """The times of a stream's frames, or why they cannot be used.

    Args:
        times: (T, 2) seconds.
        declared: Seconds that the container declares.
        path: For messages.
    """
    if not len(times):
        return ClipError("no_video", f"{path.name}: the video stream holds no frame", stage="decode")
    if (times[:, 1] <= times[:, 0]).any():
        at = int(np.argmax(times[:, 1] <= times[:, 0]))
        return ClipError("undecodable", f"{path.name}: time does not advance at frame {at}", stage="decode")
    return truncation(f"{path.name}: frames end at", float(times[-1, 1]), declared) or times
