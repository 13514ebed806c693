"""Exports stream: how much memory the ones that write clip by clip need, counted by tracemalloc."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from storage.exporters import export, parquet
from storage.records import Features
from storage.store.store import FeatureStore
from tests.exports import make_store, peak_of
from tests.storage import toy

ROWS, WIDTH = 4096, 256


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    """Nine clips of 4 MiB, each with its own shard."""
    clips = [replace(toy.clips()[0], id=f"c{i}", split=("train", "val", "test")[i % 3]) for i in range(9)]
    times = np.stack([np.arange(ROWS), np.arange(1, ROWS + 1)], axis=1) / 25
    valid = np.arange(ROWS) % 7 != 0
    values = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    values[~valid] = np.nan
    spec = replace(toy.AUDIO, columns=tuple(f"c{i}" for i in range(WIDTH)))
    same = {(clip.id, spec.name): Features(values, times, valid) for clip in clips}
    return make_store(
        tmp_path_factory.mktemp("large") / "s", clips, [spec], shards=[[i] for i in range(9)], replaced=same
    )


def test_an_array_of_a_pickle_is_in_memory_once(store, tmp_path):
    options = {"dimension": "sentiment", "audio_feature": "gemaps", "vision_feature": "gemaps"}
    export("mmsa", store, tmp_path / "first", options)
    peak = peak_of(lambda: export("mmsa", store, tmp_path / "second", options))
    split = 3 * ROWS * WIDTH * 4
    assert peak < split + 3 * ROWS * WIDTH * 4 + (1 << 20)  # the array, and a clip as read, filled and padded


@pytest.mark.parametrize("name", ["csd", "emobox", "parquet", "webdataset"])
def test_a_clip_is_in_memory_about_twice_however_many_there_are(store, tmp_path, monkeypatch, name):
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 1)  # one clip to a row group, where several small ones share one
    export(name, store, tmp_path / "first", {})  # imports, and what the store keeps of its files
    peak = peak_of(lambda: export(name, store, tmp_path / "second", {}))
    clip = ROWS * (WIDTH * 4 + 2 * 8 + 1)  # values, times and mask
    assert peak < 2 * clip + (1 << 20)  # buffers of fixed size, such as NumPy's for reading, are in the last MiB
