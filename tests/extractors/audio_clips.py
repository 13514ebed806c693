"""Audio for tests of speech: a voice made of glottal pulses through three formants, and silence."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from extractors.core.media.clip_media import Media
from storage.clip import Clip

RATE = 16_000
_FORMANTS = ((700, 80), (1200, 90), (2600, 120))


def voice(seconds: float, pitch: float = 200.0) -> np.ndarray:
    """(N,) samples that silero-vad takes for speech, at half of full scale."""
    times = np.arange(int(seconds * RATE)) / RATE
    pitches = pitch * (1 + 0.1 * np.sin(2 * np.pi * 2.3 * times))
    pulses = np.diff(np.floor(np.cumsum(pitches) / RATE), prepend=0)
    samples = lfilter([1], [1, -0.95], pulses) + 0.002 * np.random.default_rng(0).standard_normal(len(times))
    for frequency, bandwidth in _FORMANTS:
        radius = np.exp(-np.pi * bandwidth / RATE)
        samples = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2], samples)
    samples *= 0.55 + 0.45 * np.sin(2 * np.pi * 4 * times)
    return (samples / np.abs(samples).max() / 2).astype(np.float32)


def dialogue() -> np.ndarray:
    """A second of silence, two of voice, a second of silence, 1.25 of voice."""
    rest = np.zeros(RATE, np.float32)
    return np.concatenate([rest, voice(2.0), rest, voice(1.25)])


def audio_only(path: Path, samples: np.ndarray, **clip) -> Media:
    """A decoded clip of a WAV file.

    Args:
        path: Where to write the file.
        samples: (N,) float32, -1..1.
        clip: Further fields of the clip.
    """
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).round().clip(-32768, 32767).astype("<i2").tobytes())
    media = Media(Clip("clip", audio=path.name, **clip), path.parent, video=False)
    media.decode()
    return media
