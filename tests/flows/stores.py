"""Comparing stores in tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from storage import open_store
from storage.store.files import list_files
from storage.store.layout import SHARD_FILES
from storage.store.shard_reader import read_contents


def assert_equal(one: Path, other: Path) -> int:
    """Both stores hold the same specs, clips and bytes; gives how many clip features were compared."""
    a, b = open_store(one), open_store(other)
    assert a.specs == b.specs
    compared = 0
    for feature in a.specs:
        assert a.clip_ids(feature) == b.clip_ids(feature)
        for clip_id in a.clip_ids(feature):
            x, y = a.get(clip_id, feature), b.get(clip_id, feature)
            for name in ("values", "times", "valid"):
                assert getattr(x, name).tobytes() == getattr(y, name).tobytes(), (feature, clip_id, name)
            compared += 1
    assert [(f.clip_id, f.feature, f.reason) for f in a.failures] == [
        (f.clip_id, f.feature, f.reason) for f in b.failures
    ]
    return compared


def times_computed(store: Path) -> Counter[tuple[str, str]]:
    """In how many shard files each (feature, clip) is stored."""
    found: Counter[tuple[str, str]] = Counter()
    for path in list_files(store, SHARD_FILES):
        index = read_contents(path)
        found.update((index.spec.name, clip_id) for clip_id in index.rows)
    return found


def visible_files(folder: Path) -> list[str]:
    """Everything in a folder that a person or a program would see, and everything that would trouble them."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
