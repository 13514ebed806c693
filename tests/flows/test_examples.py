"""The examples run as they are, on generated data."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from storage.clip import Clip
from storage.exporters import export
from storage.records import Features
from tests.exports import ACTION_UNITS, GEMAPS, features, make_store
from tests.media import tone, write_clip

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.without_prefect


def example(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_probe_learns_what_the_clips_differ_in(merflow, tmp_path, capsys):
    """High and low voices: the store's masks, splits and labels reach the trainer."""
    rows = ["id,audio,emotion,split"]
    for number in range(24):
        is_high = number % 2
        write_clip(tmp_path / f"{number}.wav", video=False, audio=tone(0.4, hertz=(120.0, 420.0)[is_high] + 3 * number))
        rows.append(f"c{number},{number}.wav,{('sad', 'happy')[is_high]},{'test' if number >= 16 else 'train'}")
    rows.append("odd,0.wav,unheard,test")
    (tmp_path / "t.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "c.yaml").write_text("extractors: [{name: gemaps}]", encoding="utf-8")
    merflow("run", "-c", tmp_path / "c.yaml", "--corpus", "table", tmp_path / "t.csv", "-s", tmp_path / "s")
    accuracy = example("train_probe").main([str(tmp_path / "s")])
    said = capsys.readouterr().out
    assert accuracy == 1.0
    assert "1 of 9 clips have none of the labels: left out" in said
    assert "2 labels, 16 clips to train, 8 to test" in said


def test_the_way_to_emotion_llama_loads_every_clip(tmp_path, capsys):
    store = make_store(tmp_path / "store")
    export("merr", store, tmp_path / "merr", {"mix_splits": "true"})
    clips, width = example("emotion_llama").main([str(tmp_path / "merr")])
    assert (clips, width) == (4, 1024)
    said = capsys.readouterr().out
    assert "4 clips load, vectors of 1024 columns, 4 with action units" in said
    assert f"ann_path: {tmp_path / 'merr' / 'MERR_coarse_grained.txt'}" in said
    next((tmp_path / "merr" / "HL-UTT").iterdir()).unlink()
    with pytest.raises(FileNotFoundError):
        example("emotion_llama").main([str(tmp_path / "merr")])


def test_the_way_to_mmsa_learns_from_the_pickle(tmp_path, capsys):
    """The label is the mean of a column: means over padding too would not find it."""
    clips = [Clip(f"c{i}", split=("train", "valid", "test")[i % 3], text="x", dimensions={"valence": i % 7 - 3.0})
             for i in range(42)]  # fmt: skip
    specs = [GEMAPS, ACTION_UNITS]
    replaced = {}
    for i, clip in enumerate(clips):
        for spec in specs:
            rows = features(spec, clip.id, 10 + 9 * (i % 5))
            values = np.full_like(rows.values, clip.dimensions["valence"])
            values[~rows.valid] = np.nan
            replaced[clip.id, spec.name] = Features(values, rows.times, rows.valid)
    store = make_store(tmp_path / "store", clips=clips, specs=specs, replaced=replaced)
    export("mmsa", store, tmp_path / "mmsa", {"dimension": "valence"})
    assert example("mmsa").main([str(tmp_path / "mmsa")]) < 0.5
    said = capsys.readouterr().out
    assert "audio and vision; clips: train 14, valid 14, test 14" in said
    assert f"'featurePath': '{tmp_path / 'mmsa' / 'unaligned.pkl'}'" in said
