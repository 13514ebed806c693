"""The index: what it costs in memory, and which entry of a clip counts."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from storage.records import Failure, FeatureSpec
from storage.store.index import Index
from storage.store.shard_reader import ShardContents

CLIPS, FEATURES, IN_A_SHARD = 20_000, 8, 50


def shard(feature: str, name: str, rows: dict, failures: tuple = ()) -> ShardContents:
    spec = FeatureSpec(feature, feature, "audio", "frame", ("x",))
    return ShardContents(Path(f"/store/{feature}/{name}.h5"), spec, {}, rows, failures)


def filled() -> Index:
    index = Index()
    for number in range(FEATURES):
        for first in range(0, CLIPS, IN_A_SHARD):
            clips = range(first, first + IN_A_SHARD)
            rows = {f"clip_{i}": (300 * k, 300 * (k + 1), f"{i:016x}") for k, i in enumerate(clips)}
            index.add(shard(f"feature{number}", f"{first:06d}", rows))
    return index


def test_an_entry_costs_less_than_a_hundred_bytes():
    tracemalloc.start()
    index = filled()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size / (CLIPS * FEATURES) < 100
    path, start, stop, fingerprint = index.location("feature7", "clip_19999")
    assert (path.name, start, stop, fingerprint) == ("019950.h5", 300 * 49, 300 * 50, f"{19_999:016x}")


def test_the_first_stored_values_count_and_win_over_failures():
    index = Index()
    failure = Failure("c", "f", "no_audio", "none", "decode"), "old"
    index.add(shard("f", "1", {}, (failure,)))
    assert index.outcome("f", "c").state == "failed"
    index.add(shard("f", "2", {"c": (0, 5, "new")}))
    index.add(shard("f", "3", {"c": (0, 9, "newer")}))
    assert index.outcome("f", "c").fingerprint == "new"
    index.add(shard("f", "4", {}, (failure,)))
    assert index.outcome("f", "c").state == "stored"
