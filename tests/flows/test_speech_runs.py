"""Voice activity through a run: rows of speech, and segments of speech as the clock of an export."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from storage.store.store import open_store
from storage.vocabulary.speech import speech_intervals
from tests.extractors.audio_clips import RATE, dialogue
from tests.media import write_clip

pytestmark = pytest.mark.without_prefect


def test_segments_of_speech_are_the_clock_of_an_export(merflow, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "talk.wav", audio=dialogue()[None], rate=RATE, video=False)
    write_clip(folder / "hush.wav", audio=np.zeros((1, 2 * RATE), np.float32), rate=RATE, video=False)
    config = tmp_path / "c.yaml"
    names = "[{name: gemaps}, {name: audio_quality}, {name: voice_activity}]"
    config.write_text(f"extractors: {names}\nvoice_activity: {{rows: segments}}\n", encoding="utf-8")
    merflow("run", "-c", config, "--corpus", "folder", folder, "-s", tmp_path / "s")
    store = open_store(tmp_path / "s")
    segments = store.get("talk", "voice_activity")
    assert len(segments.times) == 2
    assert store.get("hush", "voice_activity").values.shape == (0, 2)
    table = store.to_frame("audio_quality")
    assert table.loc["talk", "speech_segments"] == 2
    assert table.loc["hush", "speech_share"] == 0
    merflow("verify", tmp_path / "s")

    options = ["--opt", "like=voice_activity", "--opt", "features=gemaps", "--opt", "method=mean"]
    said = merflow("export", "hdf5", tmp_path / "s", tmp_path / "x.h5", *options).stdout
    assert "hush" in said  # a clip without speech has no rows, and is told
    rows = store.get("talk", "gemaps")
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["clips/talk/times"], segments.times)
        for value, (start, end) in zip(file["clips/talk/gemaps"], segments.times, strict=True):
            inside = (rows.times[:, 0] < end) & (rows.times[:, 1] > start)
            loudness = store.specs["gemaps"].columns.index("Loudness_sma3")  # pitch lies 20 ms later than its rows
            assert value[loudness] == pytest.approx(rows.values[inside, loudness].mean(dtype=np.float64), rel=1e-5)

    lines = merflow(
        "export", "parquet", tmp_path / "s", tmp_path / "p", "--opt", "features=gemaps", "--opt", "trim=voice_activity",
        "--opt", "missing=omit",
    ).stdout  # fmt: skip
    assert "1 clip has no speech: hush" in lines
    assert len(speech_intervals(segments)) == 2
