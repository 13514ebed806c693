"""The first number in one line: features of single files, without a store, with the numbers of a run."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import merflow as api
from configs.errors import ConfigError, RunError
from storage import open_store
from storage.errors import ClipError, StoreError
from tests.media import tone, write_clip

pytestmark = pytest.mark.without_prefect

CONFIG = """
extractors:
  - {name: gemaps}
  - {name: quality}
  - {name: hubert, recipe: merflow, weights: {random: {seed: 0, size: tiny}}}
  - {name: mae, weights: {random: {seed: 0, size: tiny}}}
faces: {detector: center}
"""


@pytest.fixture
def clips(tmp_path):
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "a.mp4")
    write_clip(tmp_path / "clips" / "b.wav", video=False, audio=tone(1.2, hertz=330.0))
    (tmp_path / "c.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path / "clips"


def test_the_numbers_are_those_of_a_run(merflow, clips, tmp_path):
    merflow("run", "-c", tmp_path / "c.yaml", "--corpus", "folder", clips, "-s", tmp_path / "s", expect=1)
    with open_store(tmp_path / "s") as store:
        names = ["gemaps", "quality", "hubert", "mae"]
        found = api.extract(clips / "a.mp4", names, config=tmp_path / "c.yaml")
        assert list(found) == names
        for name in names:
            stored = store.get("a", name)
            for part in ("values", "times", "valid"):
                assert getattr(found[name], part).tobytes() == getattr(stored, part).tobytes(), name
            assert found[name].columns == stored.columns == store.specs[name].columns


def test_a_segment_and_one_feature_by_its_name_alone(clips):
    whole = api.extract(clips / "b.wav", "gemaps")["gemaps"]
    part = api.extract(str(clips / "b.wav"), "gemaps", start=0.5, end=1.0)["gemaps"]
    assert part.times[-1, 1] <= 0.5 < whole.times[-1, 1]
    with pytest.raises(ClipError, match=r"a\.mp4: gemaps: .* no audio between 90 and 91 s"):
        api.extract(clips / "a.mp4", "gemaps", start=90, end=91)
    with pytest.raises(ConfigError, match=r"end 1\.0 is not after start 2.0"):
        api.extract(clips / "a.mp4", "gemaps", start=2.0, end=1.0)
    with pytest.raises(RunError, match=r"unknown extractor 'gemasp'.* Did you mean 'gemaps'\?"):
        api.extract(clips / "a.mp4", "gemasp")


def test_tables_of_pandas(clips):
    features = api.extract(clips / "b.wav", "gemaps")["gemaps"]
    frame = features.to_frame()
    assert list(frame.columns) == list(features.columns)
    assert frame.index.names == ["start", "end"]
    assert frame.index[1] == (pd.Timedelta("10ms"), pd.Timedelta("30ms"))
    np.testing.assert_array_equal(frame.to_numpy(), features.values)


def test_in_the_manner_of_opensmile(clips, tmp_path):
    extractor = api.extractor("gemaps", level="functionals")
    one = extractor.process_file(clips / "b.wav")
    assert one.index.names == ["file", "start", "end"]
    assert one.index[0][0] == str(clips / "b.wav")
    both = extractor.process_folder(clips)
    assert [file for file, *_ in both.index] == [str(clips / "a.mp4"), str(clips / "b.wav")]
    pd.testing.assert_frame_equal(both.iloc[1:], one)
    samples = (tone(1.2, rate=16_000, hertz=330.0)[0] * 32767).astype(np.int16)
    write_clip(tmp_path / "s.wav", video=False, audio=samples[None] / np.float32(32768), rate=16_000)
    signal = extractor.process_signal(samples, 16_000)
    assert signal.index.names == ["start", "end"]
    np.testing.assert_array_equal(signal.to_numpy(), extractor.process_file(tmp_path / "s.wav").to_numpy())
    with pytest.raises(ConfigError, match=r"signal: expected \(N,\) or \(channels, N\) numbers, got \(\) <U1"):
        extractor.process_signal("x", 16_000)


def test_a_folder_with_a_broken_file_says_so(clips):
    (clips / "broken.wav").write_bytes(b"RIFF")
    extractor = api.extractor("gemaps")
    with pytest.raises(ClipError, match=r"broken\.wav"):
        extractor.process_folder(clips)
    left = extractor.process_folder(clips, errors="omit")
    assert set(left.index.get_level_values("file")) == {str(clips / "a.mp4"), str(clips / "b.wav")}
    assert list(extractor.failures) == ["broken.wav"]
    with pytest.raises(RunError, match="no media files"):
        extractor.process_folder(clips / "nowhere")


def test_a_store_gives_a_table_of_an_utterance_feature(merflow, clips, tmp_path):
    (tmp_path / "u.yaml").write_text("extractors: [{name: gemaps, level: functionals}, {name: gemaps, feature: rows}]")
    merflow("run", "-c", tmp_path / "u.yaml", "--corpus", "folder", clips, "-s", tmp_path / "s")
    with open_store(tmp_path / "s") as store:
        frame = store.to_frame("gemaps")
        assert (frame.index.name, list(frame.index)) == ("clip", ["a", "b"])
        np.testing.assert_array_equal(frame.loc["b"], store.get("b", "gemaps").values[0])
        assert list(frame.columns) == list(store.specs["gemaps"].columns)
        with pytest.raises(StoreError, match=r"rows has many rows per clip; .* store.get\(CLIP, 'rows'\).to_frame"):
            store.to_frame("rows")
        with pytest.raises(StoreError, match="no feature 'x'; features: gemaps, rows"):
            store.to_frame("x")
        with pytest.raises(StoreError, match="no clip of split 'test'"):
            store.to_frame("gemaps", split="test")


def test_the_command_writes_one_file_per_feature(merflow, clips, tmp_path):
    expected = api.extract(clips / "a.mp4", ["gemaps", "quality"], config=tmp_path / "c.yaml")
    for suffix in (".csv", ".parquet", ".npz"):
        out = tmp_path / "out" / f"clip{suffix}"
        line = ("extract", clips / "a.mp4", "gemaps", "quality", "-c", tmp_path / "c.yaml", "--out", out)
        said = merflow(*line).stdout
        assert f"wrote {tmp_path / 'out' / f'clip.gemaps{suffix}'}" in said
        for name, features in expected.items():
            path = tmp_path / "out" / f"clip.{name}{suffix}"
            if suffix == ".npz":
                arrays = np.load(path)
                assert arrays["values"].tobytes() == features.values.tobytes()
                assert tuple(arrays["columns"]) == features.columns
                continue
            frame = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
            assert list(frame.columns) == ["start", "end", *features.columns]
            np.testing.assert_array_equal(frame.iloc[:, 2:].to_numpy(np.float32), features.values)
        assert "exists already; choose another --out" in merflow(*line, expect=2).stderr
    assert "*.csv, *.parquet, *.npz" in merflow("extract", clips / "a.mp4", "gemaps", "--out", "x.txt", expect=2).stderr
    assert "no such file" in merflow("extract", clips / "gone.mp4", "gemaps", expect=2).stderr
    said = merflow("extract", clips / "a.mp4", "mae", "-c", tmp_path / "c.yaml").stdout
    assert "synthetic (random weights, not meaningful): mae" in said


def test_the_command_starts_no_server_and_brings_no_network(clips):
    code = (
        "import sys; sys.argv = ['merflow', 'extract', sys.argv[1], 'gemaps']\n"
        "from contextlib import suppress\nfrom flows.cli import main\n"
        "with suppress(SystemExit): main()\n"
        "print(sorted({'torch', 'prefect', 'dask', 'distributed'} & sys.modules.keys()))"
    )
    line = [sys.executable, "-c", code, str(clips / "a.mp4")]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert "gemaps: 96 x 18" in said
    assert said.splitlines()[-1] == "[]"
