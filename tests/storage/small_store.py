"""A store of one feature of three clips, one of which failed, for the tests of the store itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from storage.clip import Clip
from storage.manifest import write_manifest
from storage.records import Failure, Features, FeatureSpec
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore

SPEC = FeatureSpec("gemaps", "gemaps", "audio", "frame", ("a", "b"), hop=0.01)


def features(n: int, seed: int = 0) -> Features:
    """Rows of 0.1 s; the second one is not valid."""
    values = np.random.default_rng(seed).standard_normal((n, 2)).astype(np.float32)
    valid = np.ones(n, np.bool_)
    if n > 1:
        values[1], valid[1] = np.nan, False
    times = np.stack([np.arange(n) * 0.1, np.arange(n) * 0.1 + 0.1], axis=1)
    return Features(values, times, valid)


def small_store(folder: Path) -> FeatureStore:
    """Clips a, b and c; b has no audio."""
    made = FeatureStore.create(folder / "store")
    clips = [Clip(i, fingerprint=f"f{i}") for i in "abc"]
    write_manifest(made.path / "manifest.parquet", clips, root=folder, corpus="test")
    entries = [
        Entry("a", features(5)),
        Entry("b", Failure("b", "gemaps", "no_audio", "b.mp4: no audio stream")),
        Entry("c", features(1, seed=1)),
    ]
    made.put("run-0", SPEC, entries, {"run": "run"})
    return made


def equal(one: Features, other: Features) -> bool:
    """Whether two clips' rows are equal to the byte."""
    pairs = [(getattr(one, n), getattr(other, n)) for n in ("values", "times", "valid")]
    return all(x.tobytes() == y.tobytes() and x.dtype == y.dtype for x, y in pairs)
