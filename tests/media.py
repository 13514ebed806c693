"""Synthetic clips for tests: a tone, a moving square, and every way a track can be odd."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 44_100


def tone(seconds: float, rate: int = RATE, hertz: float = 220.0, channels: int = 1) -> np.ndarray:
    """(channels, N) float32: a tone with a slow swell, so that its features vary."""
    t = np.arange(round(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * hertz * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 1.5 * t))
    return np.tile(wave.astype(np.float32), (channels, 1))


def square(index: int, width: int = 160, height: int = 120) -> np.ndarray:
    """(height, width, 3) uint8 frame: a bright square that moves 3 pixels a frame over a gradient."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 2] = np.linspace(40, 200, width, dtype=np.uint8)
    left = (3 * index) % (width - 30)
    frame[40:70, left : left + 30] = (240, 200, 60)
    return frame


def write_clip(
    path: Path,
    *,
    seconds: float = 1.0,
    fps: int = 25,
    video: bool = True,
    audio: np.ndarray | str | None = "tone",
    rate: int = RATE,
    frames: list[np.ndarray] | None = None,
    times: list[float] | None = None,
    audio_start: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a media file with real encoders (H.264 and AAC for .mp4, PCM for .wav).

    Args:
        path: File to write; the suffix picks the container.
        seconds: Length of what is made up.
        fps: Frames per second.
        video: Whether there is a video stream.
        audio: (channels, N) float32 samples, `tone` to make some, or None for no audio stream.
        rate: Samples per second of `audio`.
        frames: Frames to use instead of the moving square.
        times: Presentation time of each frame, for variable frame rates.
        audio_start: Seconds at which the audio stream starts.
        options: Options of the container, such as `{"movflags": "faststart"}`.
    """
    if isinstance(audio, str):
        audio = tone(seconds, rate)
    with av.open(str(path), "w", options=options or {}) as out:
        frame_stream = audio_stream = None
        if video:
            frames = frames or [square(i) for i in range(round(seconds * fps))]
            frame_stream = out.add_stream("libx264", rate=fps)
            frame_stream.width, frame_stream.height = frames[0].shape[1], frames[0].shape[0]
            frame_stream.pix_fmt = "yuv420p"
            frame_stream.codec_context.time_base = Fraction(1, 12_800)
        if audio is not None:
            codec = {".wav": "pcm_s16le", ".flac": "flac"}.get(path.suffix, "aac")
            layout = {1: "mono", 2: "stereo", 6: "5.1"}[audio.shape[0]]
            audio_stream = out.add_stream(codec, rate=rate, layout=layout)
        if frame_stream is not None:
            for i, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.time_base = Fraction(1, 12_800)
                frame.pts = round((times[i] if times else i / fps) * 12_800)
                out.mux(frame_stream.encode(frame))
            out.mux(frame_stream.encode(None))
        if audio_stream is not None:
            audio = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio), format="fltp", layout=layout)
            audio.sample_rate = rate
            audio.pts = round(audio_start * rate)
            audio.time_base = Fraction(1, rate)
            for packet_frame in av.AudioResampler(
                format=audio_stream.codec_context.format, layout=layout, rate=rate
            ).resample(audio):
                out.mux(audio_stream.encode(packet_frame))
            out.mux(audio_stream.encode(None))
    return path
