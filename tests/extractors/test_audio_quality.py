"""Audio flags: each against a value known beforehand, and loudness against FFmpeg's own program of the standard."""

from __future__ import annotations

import numpy as np
import pytest

from extractors.core.extractor import build_extractor
from storage.records import Failure, Features
from tests.extractors.audio_clips import RATE, audio_only, dialogue, voice


def outcome(path, samples):
    activity = build_extractor("voice_activity", "voice_activity", {})
    activity.load("cpu")
    quality = build_extractor("audio_quality", "audio_quality", {})
    quality.inputs["voice_activity"] = activity.spec
    media = audio_only(path, samples)
    media.set_feature("voice_activity", activity.extract([media])[0])
    [found] = quality.extract([media])
    return quality.spec.columns, found


def flags(path, samples):
    columns, found = outcome(path, samples)
    assert isinstance(found, Features)
    assert found.valid.all()
    return dict(zip(columns, found.values[0].tolist(), strict=True))


def sine(seconds, height, hertz=997.0):
    return (height * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def test_a_sine_has_the_levels_of_a_sine(tmp_path):
    found = flags(tmp_path / "a.wav", sine(2.0, 0.5))
    assert found["peak"] == pytest.approx(20 * np.log10(0.5), abs=0.01)
    assert found["level"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert (found["silence_share"], found["clipped_share"], found["duration"]) == (0, 0, 2)
    assert (found["speech_share"], found["speech_segments"], found["snr"], found["longest_pause"]) == (0, 0, 0, 2)


def test_loudness_is_that_of_the_standard(tmp_path):
    """EBU Tech 3341, case 1, on one channel: a sine of 1 kHz at -23 dBFS has -23 LUFS in two, 3.01 less in one."""
    found = flags(tmp_path / "a.wav", sine(20.0, 10 ** (-23 / 20), 1000.0))
    assert found["loudness"] == pytest.approx(-23 - 3.01, abs=0.1)
    louder = flags(tmp_path / "b.wav", sine(20.0, 10 ** (-13 / 20), 1000.0))
    assert louder["loudness"] - found["loudness"] == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("samples", [np.zeros(2 * RATE, np.float32), np.zeros(RATE // 10, np.float32)])
def test_digital_silence_is_at_the_floor(tmp_path, samples):
    found = flags(tmp_path / "a.wav", samples)
    assert (found["peak"], found["level"], found["loudness"]) == (-96, -96, -70)
    assert (found["silence_share"], found["snr"], found["speech_share"]) == (1, 0, 0)


def test_half_silence_is_half_silent(tmp_path):
    found = flags(tmp_path / "a.wav", np.concatenate([sine(1.0, 0.3), np.zeros(3 * RATE, np.float32)]))
    assert found["silence_share"] == pytest.approx(0.75)


def test_cut_tops_count_and_a_loud_clean_voice_does_not(tmp_path):
    loud = voice(2.0) * 1.9  # the highest sample at 95 % of full scale
    assert flags(tmp_path / "a.wav", loud)["clipped_share"] == 0
    cut = np.clip(voice(2.0) * 8, -1, 1)
    assert flags(tmp_path / "b.wav", cut)["clipped_share"] == pytest.approx((np.abs(cut) >= 0.98).mean(), abs=1e-3)
    assert flags(tmp_path / "b.wav", cut)["clipped_share"] > 0.02


@pytest.mark.parametrize("snr", [20.0, 35.0])
def test_noise_of_a_known_level_is_found(tmp_path, snr):
    clean = dialogue()
    power = np.square(clean[RATE : 3 * RATE]).mean()
    noise = np.random.default_rng(1).standard_normal(len(clean)) * np.sqrt(power / 10 ** (snr / 10))
    found = flags(tmp_path / "a.wav", (clean + noise).astype(np.float32))
    assert found["snr"] == pytest.approx(snr, abs=3)
    assert found["speech_segments"] == 2
    assert 0.3 < found["speech_share"] < 0.65
    assert found["longest_pause"] >= 0.9


def test_a_clip_under_one_frame_is_too_short(tmp_path):
    _, found = outcome(tmp_path / "a.wav", np.zeros(100, np.float32))
    assert isinstance(found, Failure)
    assert found.reason == "too_short"
    assert "320 (20 ms)" in found.message
