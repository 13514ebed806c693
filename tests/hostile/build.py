"""Builds some four hundred hostile media files: real files mutated, and files that never were media."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np

from tests.media import tone, write_clip
from tests.traps import PLAYLISTS

CONTAINERS = {
    ".mp4": ("libx264", "aac"), ".mov": ("libx264", "aac"), ".mkv": ("libx264", "aac"), ".avi": ("mpeg4", "libmp3lame"),
    ".ts": ("libx264", "aac"), ".flv": ("libx264", "aac"), ".webm": ("libvpx", "libopus"),
    ".mpg": ("mpeg2video", "mp2"),
    ".wav": (None, "pcm_s16le"), ".flac": (None, "flac"), ".mp3": (None, "libmp3lame"), ".ogg": (None, "libopus"),
}  # fmt: skip
SEEDS = 2
Mutation = Callable[[bytearray, np.random.Generator], bytes]


def build(folder: Path, url: str, fifo: Path) -> list[str]:
    """Write all of them below a folder; `fifo` and what `url` names count who opens them.

    Args:
        folder: An empty folder.
        url: Address of a server that counts.
        fifo: A named pipe outside of the folder.

    Returns:
        Paths of everything that has a media file's name, relative to the folder.
    """
    sources = [_source(folder, suffix) for suffix in CONTAINERS]
    for source in sources:
        whole = source.read_bytes()
        for name, mutate in MUTATIONS.items():
            for seed in range(SEEDS):
                data = mutate(bytearray(whole), np.random.default_rng([seed, len(whole)]))
                (folder / f"{source.stem}_{name}_{seed}{source.suffix}").write_bytes(data)
    for suffix in CONTAINERS:
        for seed in range(SEEDS):
            noise = np.random.default_rng(seed).bytes(20_000)
            (folder / f"random_{suffix[1:]}_{seed}{suffix}").write_bytes(noise)
        (folder / f"empty_{suffix[1:]}{suffix}").write_bytes(b"")
        (folder / f"zeros_{suffix[1:]}{suffix}").write_bytes(bytes(10_000))
        lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
        (folder / f"lfs_{suffix[1:]}{suffix}").write_text(lfs, encoding="ascii")
    for name, text in PLAYLISTS.items():
        (folder / f"list_{name}.mp4").write_text(text.format(url=url, fifo=fifo), encoding="utf-8")
    _wrong_sounds(folder)
    _huge_frames(folder)
    _no_files(folder)
    return sorted(
        p
        for root, inner, names in os.walk(folder)
        for p in (os.path.relpath(f"{root}/{n}", folder) for n in (*names, *inner))
    )


def _source(folder: Path, suffix: str) -> Path:
    """A good file of half a second in a container."""
    path = folder / f"good_{suffix[1:]}{suffix}"
    video, audio = CONTAINERS[suffix]
    if suffix in {".mp4", ".mov", ".mkv", ".wav", ".flac"}:
        return write_clip(path, seconds=0.5, video=video is not None)
    with av.open(str(path), "w") as out:
        pictures = None if video is None else out.add_stream(video, rate=25)
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 160, 120, "yuv420p"
        samples = out.add_stream(audio, rate=48_000)
        samples.layout = "mono"
        if pictures is not None:
            for number in range(13):
                frame = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 9 * number, np.uint8), format="rgb24")
                out.mux(pictures.encode(frame.reformat(format="yuv420p")))
            out.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray(tone(0.5, 48_000), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        size = samples.codec_context.frame_size or 0
        resampler = av.AudioResampler(samples.codec_context.format, "mono", 48_000, frame_size=size or None)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(samples.encode(piece))
        out.mux(samples.encode(None))
    return path


def _flip(data: bytearray, chosen: np.ndarray, rng: np.random.Generator) -> bytes:
    for at in chosen:
        data[at] ^= int(rng.integers(1, 256))
    return bytes(data)


def _flip_head(data: bytearray, rng: np.random.Generator) -> bytes:
    return _flip(data, rng.integers(0, min(512, len(data)), 12), rng)


def _flip_body(data: bytearray, rng: np.random.Generator) -> bytes:
    return _flip(data, rng.integers(0, len(data), len(data) // 200 + 4), rng)


def _flip_tail(data: bytearray, rng: np.random.Generator) -> bytes:
    return _flip(data, rng.integers(max(0, len(data) - 2000), len(data), 24), rng)


def _cut(share: float) -> Mutation:
    return lambda data, rng: bytes(data[: max(1, int(len(data) * share) - int(rng.integers(0, 9)))])


def _insert(data: bytearray, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, len(data)))
    return bytes(data[:at]) + rng.bytes(1000) + bytes(data[at:])


def _remove(data: bytearray, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, len(data)))
    return bytes(data[:at] + data[at + len(data) // 10 :])


def _twice(data: bytearray, _rng: np.random.Generator) -> bytes:
    return bytes(data + data)


def _absurd_sizes(value: int) -> Mutation:
    """Sizes of boxes, chunks and elements replaced, wherever four bytes look like one."""

    def mutate(data: bytearray, rng: np.random.Generator) -> bytes:
        names = (
            b"moov",
            b"trak",
            b"mdat",
            b"stsz",
            b"stts",
            b"stco",
            b"mvhd",
            b"LIST",
            b"data",
            b"fmt ",
            b"OggS",
            b"fLaC",
        )
        spots = [at for name in names for at in _all(data, name)] or [int(rng.integers(8, len(data) - 8))]
        at = spots[int(rng.integers(0, len(spots)))]
        is_chunk = bytes(data[:4]) == b"RIFF"
        place = at + 4 if is_chunk else max(0, at - 4)
        data[place : place + 4] = struct.pack("<I" if is_chunk else ">I", value)
        return bytes(data)

    return mutate


def _all(data: bytearray, name: bytes) -> Iterator[int]:
    at = data.find(name)
    while at >= 0:
        yield at
        at = data.find(name, at + 1)


MUTATIONS: dict[str, Mutation] = {
    "head": _flip_head, "body": _flip_body, "tail": _flip_tail, "cut10": _cut(0.1), "cut50": _cut(0.5),
    "cut95": _cut(0.95), "insert": _insert, "remove": _remove, "twice": _twice, "size_max": _absurd_sizes(0xFFFFFFFF),
    "size_0": _absurd_sizes(0), "size_1": _absurd_sizes(1), "size_big": _absurd_sizes(0x7FFFFFF0),
}  # fmt: skip


def _wav(rate: int, channels: int, frames: int, claimed: int | None = None) -> bytes:
    data = np.random.default_rng(0).integers(-999, 999, frames * channels, np.int16).tobytes()
    size = len(data) if claimed is None else claimed
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * channels * 2) & 0xFFFFFFFF, (channels * 2) & 0xFFFF, 16)
    return (
        b"RIFF"
        + struct.pack("<I", (36 + size) & 0xFFFFFFFF)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", size)
        + data
    )


def _wrong_sounds(folder: Path) -> None:
    for name, data in {
        "hertz_1": _wav(1, 1, 60),
        "hertz_768k": _wav(768_000, 1, 768_000),
        "hertz_0": _wav(0, 1, 800),
        "hertz_max": _wav(0x7FFFFFFF, 1, 800),
        "channels_100": _wav(16_000, 100, 16_000),
        "channels_0": _wav(16_000, 0, 16_000),
        "channels_max": _wav(16_000, 0xFFFF, 4),
        "claims_4g": _wav(16_000, 1, 16_000, 0xFFFFFFF0),
        "claims_none": _wav(16_000, 1, 16_000, 0),
        "one_sample": _wav(16_000, 1, 1),
    }.items():
        (folder / f"sound_{name}.wav").write_bytes(data)


def _huge_frames(folder: Path) -> None:
    """A frame of 16000 x 16000, about the largest that FFmpeg decodes, and headers that say more."""
    with av.open(str(folder / "frame_huge.mov"), "w") as out:
        stream = out.add_stream("png", rate=1)
        stream.width = stream.height = 16_000
        stream.pix_fmt = "gray"
        frame = av.VideoFrame(16_000, 16_000, "gray")
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    small = (folder / "good_avi.avi").read_bytes()
    at = small.find(b"strf") + 12
    for number, (width, height) in enumerate([(20_000, 20_000), (65_500, 65_500), (0, 0), (1, 2_000_000_000)]):
        data = bytearray(small)
        data[at : at + 8] = struct.pack("<II", width, height)
        (folder / f"frame_says_{number}.avi").write_bytes(data)


def _no_files(folder: Path) -> None:
    os.mkfifo(folder / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "socket.mp4"))
    (folder / "folder.mp4").mkdir()
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    (folder / "nowhere.mp4").symlink_to(folder / "not_there.mp4")
    (folder / "deep").mkdir()
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "secret.mp4").write_bytes(b"x")
    (folder / "secret.mp4").chmod(0)
