"""Generators of media outside the common case: files without lengths or times, with holes, damage, odd orientation."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 44_100


def noise(seconds: float, rate: int = RATE, channels: int = 1, quiet_first: bool = False) -> np.ndarray:
    """(channels, N) float32: tones under noise; `quiet_first` begins with silence, which misleads bit rate guesses."""
    t = np.arange(round(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * (200 + 40 * t) * t) + 0.1 * np.random.default_rng(0).uniform(-1, 1, t.size)
    if quiet_first:
        wave[: t.size // 2] = 0
    return np.tile(wave.astype(np.float32), (channels, 1))


def encode(
    path: Path,
    *,
    audio: np.ndarray | None = None,
    codec: str = "aac",
    rate: int = RATE,
    audio_options: dict[str, str] | None = None,
    frames: list[np.ndarray] | None = None,
    video_codec: str = "libx264",
    video_options: dict[str, str] | None = None,
    change_video: Callable[[Any], None] = lambda _: None,
    fps: int = 25,
    form: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a file with real encoders, in any container that FFmpeg writes.

    Args:
        path: File to write.
        audio: (channels, N) float32; None for none.
        codec: Audio encoder.
        rate: Samples per second.
        audio_options: Options of the audio encoder.
        frames: (H, W, 3) uint8 frames; None for none.
        video_codec: Video encoder.
        video_options: Options of the video encoder.
        change_video: Called with the video stream before anything is encoded.
        fps: Frames per second.
        form: Container, where the suffix does not say it.
        options: Options of the container.
    """
    with av.open(str(path), "w", format=form, options=options or {}) as out:
        video = sound = None
        if frames is not None:
            video = out.add_stream(video_codec, rate=fps, options=video_options or {})
            video.width, video.height = frames[0].shape[1], frames[0].shape[0]
            video.pix_fmt = "yuv420p"
            change_video(video)
        if audio is not None:
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[audio.shape[0]]
            sound = out.add_stream(codec, rate=rate, layout=layout, options=audio_options or {})
        if video is not None:
            for i, pixels in enumerate(frames or []):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, fps)
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        if sound is not None and audio is not None:
            whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio), format="fltp", layout=layout)
            whole.sample_rate, whole.pts, whole.time_base = rate, 0, Fraction(1, rate)
            fit = av.AudioResampler(format=sound.codec_context.format, layout=layout, rate=rate)
            for part in fit.resample(whole):
                out.mux(sound.encode(part))
            out.mux(sound.encode(None))
    return path


def ramp(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Frames that get brighter: each differs from every other."""
    return [np.full((height, width, 3), 20 + 200 * i // max(count, 1), np.uint8) for i in range(count)]


def quadrants(width: int = 64, height: int = 48) -> np.ndarray:
    """A frame with red, green, blue and white quarters, from left to right and down."""
    frame = np.zeros((height, width, 3), np.uint8)
    for y, x, colour in ((0, 0, (200, 40, 40)), (0, 1, (40, 200, 40)), (1, 0, (40, 40, 200)), (1, 1, (220, 220, 220))):
        rows, columns = slice(y * height // 2, (y + 1) * height // 2), slice(x * width // 2, (x + 1) * width // 2)
        frame[rows, columns] = colour
    return frame


def remux(
    source: Path,
    path: Path,
    *,
    keep: Callable[[Any, int], bool] = lambda _packet, _number: True,
    shift: float = 0.0,
    retime: Callable[[Any, int], int | None] = lambda packet, _number: packet.pts,
) -> Path:
    """Copy a file's packets into another container.

    Args:
        source: The file.
        path: The new file.
        keep: Whether a packet is copied, by the packet and its number in its stream.
        shift: Seconds to add to all times.
        retime: New presentation time of a packet.
    """
    with av.open(str(source)) as container, av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as out:
        copies = {s.index: out.add_stream_from_template(s) for s in container.streams}
        numbers = dict.fromkeys(copies, 0)
        for packet in container.demux():
            index = packet.stream.index
            if not packet.size:
                continue
            number, numbers[index] = numbers[index], numbers[index] + 1
            if keep(packet, number):
                packet.pts = retime(packet, number)
                ticks = round(shift / packet.time_base)
                packet.dts = min(packet.pts if packet.dts is None else packet.dts, packet.pts) + ticks
                packet.pts += ticks
                packet.stream = copies[index]
                out.mux(packet)
    return path


def with_matrix(source: Path, path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """An MP4 file with another display matrix: a, b, c, d of ISO/IEC 14496-12.

    Args:
        source: A file without one.
        path: The new file.
        matrix: Its four numbers that turn and mirror.
    """
    a, b, c, d = (value << 16 for value in matrix)
    data = bytearray(source.read_bytes())
    at = data.find(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def damage(source: Path, path: Path, kind: str) -> Path:
    """A file in which one packet in the middle of its audio or video stream is destroyed.

    Args:
        source: The file.
        path: The new file.
        kind: `audio` or `video`.
    """
    with av.open(str(source)) as container:
        packets = [p for p in container.demux(getattr(container.streams, kind)[0]) if p.size]
    packet = packets[len(packets) // 2]
    data = bytearray(source.read_bytes())
    data[packet.pos : packet.pos + min(packet.size, 12)] = b"\xff" * min(packet.size, 12)
    path.write_bytes(data)
    return path


def samples_of(path: Path, frames: Iterable[Any] | None = None) -> np.ndarray:
    """(N,) int16 samples of all that FFmpeg decodes of a file's first audio stream, as `-ac 1 -ar 16000` gives them.

    Args:
        path: The file.
        frames: Its decoded frames, if they are not those of the whole file.
    """
    resampler, parts = av.AudioResampler(format="s16p", layout="mono", rate=16_000), []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0) if frames is None else frames:
            frame.pts = None
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return np.concatenate([*parts, *(part.to_ndarray()[0] for part in resampler.resample(None))])


def trimmed(path: Path, start: float, end: float) -> np.ndarray:
    """(N,) int16 samples that FFmpeg's own `atrim=start:end`, before resampling, gives of a file.

    Args:
        path: The file.
        start: Seconds from the file's start.
        end: Seconds from the file's start.
    """
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        zero = Fraction(container.start_time or 0, 1_000_000)
        graph = av.filter.Graph()
        nodes = [
            graph.add_abuffer(template=stream, time_base=Fraction(1, stream.rate)),
            graph.add("atrim", f"start={start}:end={end}"),
            graph.add("abuffersink"),
        ]
        for one, other in pairwise(nodes):
            one.link_to(other)
        graph.configure()
        kept: list[Any] = []
        position: int | None = None
        for frame in container.decode(stream):
            ticks = frame.pts + round(-zero / frame.time_base)
            at = ticks * frame.time_base * stream.rate
            position = round(at) if position is None or abs(at - position) > frame.time_base * stream.rate else position
            frame.pts, frame.time_base = position, Fraction(1, stream.rate)
            position += frame.samples
            graph.push(frame)
            kept += _pulled(graph)
        graph.push(None)
        return samples_of(path, [*kept, *_pulled(graph)])


def _pulled(graph: Any) -> list[Any]:
    found = []
    while True:
        try:
            found.append(graph.pull())
        except (BlockingIOError, EOFError):
            return found
