"""Speech against silero-vad's own function, on a voice and on silence."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
import torch

from extractors.core.extractor import build_extractor
from storage.records import Failure
from storage.vocabulary.speech import speech_intervals
from tests.extractors.audio_clips import RATE, audio_only, dialogue


def extracted(media, **options):
    extractor = build_extractor("voice_activity", "voice_activity", options)
    extractor.load("cpu")
    [found] = extractor.outcomes([media])
    return extractor, found


def theirs(samples, **options):
    """Speech segments in samples, and the probability of each window, by silero-vad itself."""
    import torch
    from silero_vad import get_speech_timestamps, load_silero_vad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network = load_silero_vad()
    segments = get_speech_timestamps(torch.from_numpy(samples.copy()), network, **options)
    return np.array([(one["start"], one["end"]) for one in segments]).reshape(-1, 2)


@pytest.fixture(scope="module")
def spoken():
    return dialogue()


@pytest.mark.parametrize(
    ("ours", "their_names"),
    [
        ({}, {}),
        ({"threshold": 0.3, "min_silence": 0.3}, {"threshold": 0.3, "min_silence_duration_ms": 300}),
        ({"min_speech": 0.5, "padding": 0.1}, {"min_speech_duration_ms": 500, "speech_pad_ms": 100}),
    ],
)
def test_segments_are_silero_vads(spoken, tmp_path, ours, their_names):
    media = audio_only(tmp_path / "a.wav", spoken)
    expected = theirs(media.audio().samples, **their_names) / RATE
    _, segments = extracted(media, rows="segments", **ours)
    np.testing.assert_array_equal(segments.times, expected)
    assert len(expected) > 1
    _, windows = extracted(media, **ours)
    assert len(windows.values) == -(-len(spoken) // 512)
    np.testing.assert_allclose(np.diff(windows.times[:-1], axis=1), 0.032)
    assert windows.times[-1, 1] == len(spoken) / RATE
    assert windows.valid.all()
    middles = windows.times.mean(axis=1)
    inside = ((middles[:, None] >= expected[:, 0]) & (middles[:, None] < expected[:, 1])).any(axis=1)
    np.testing.assert_array_equal(windows.values[:, 1], inside)
    for row, (start, end) in zip(segments.values, expected, strict=True):
        chosen = (middles >= start) & (middles < end)
        assert row[0] == pytest.approx(windows.values[chosen, 0].mean(), abs=1e-6)
    found = speech_intervals(windows)
    assert np.abs(found - expected).max() <= 0.016 + 1e-9  # half a window
    np.testing.assert_array_equal(speech_intervals(segments), expected)


def test_silence_has_windows_and_no_segment(tmp_path):
    media = audio_only(tmp_path / "silence.wav", np.zeros(RATE, np.float32))
    _, windows = extracted(media)
    assert windows.values[:, 1].sum() == 0
    assert windows.values[:, 0].max() < 0.1
    _, segments = extracted(media, rows="segments")
    assert segments.values.shape == (0, 2)
    assert speech_intervals(segments).shape == speech_intervals(windows).shape == (0, 2)


def test_one_sample_is_a_row(tmp_path):
    _, windows = extracted(audio_only(tmp_path / "one.wav", np.zeros(1, np.float32)), min_speech=0)
    np.testing.assert_array_equal(windows.times, [[0, 1 / RATE]])


def test_a_clip_does_not_depend_on_the_clip_before(spoken, tmp_path):
    extractor = build_extractor("voice_activity", "voice_activity", {})
    extractor.load("cpu")
    one, other = audio_only(tmp_path / "a.wav", spoken), audio_only(tmp_path / "b.wav", spoken[::-1].copy())
    [first] = extractor.extract([one])
    extractor.extract([other])
    [again] = extractor.extract([one])
    np.testing.assert_array_equal(first.values, again.values)
    assert not isinstance(first, Failure)


def test_threads_of_the_process_stay_as_they_are(monkeypatch):
    """Importing silero-vad sets them to one; and torchaudio is not needed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "silero_vad"]:
        monkeypatch.delitem(sys.modules, name)  # it is imported anew
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        build_extractor("voice_activity", "v", {}).load("cpu")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert "silero_vad" in sys.modules
    assert "torchaudio" not in sys.modules
