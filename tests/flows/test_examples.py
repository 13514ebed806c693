"""The examples run as they are, on generated data."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

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
