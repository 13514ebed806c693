"""The index: what it costs in memory, which result of a clip counts, and that it can be lost at any time."""

from __future__ import annotations

import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.records import Failure, FeatureSpec
from storage.store.index import Index
from storage.store.index_files import load_index
from storage.store.removals import Removal
from storage.store.shard_reader import FailedRow, Row, ShardContents
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from tests.storage.small_store import SPEC, features

CLIPS, FEATURES, IN_A_SHARD = 10_000, 8, 50


def shard(feature: str, name: str, rows: dict, failures: tuple = ()) -> ShardContents:
    spec = FeatureSpec(feature, feature, "audio", "frame", ("x",))
    return ShardContents(Path(f"/store/features/{feature}/d/{name}.h5"), spec, {}, rows, failures)


def filled() -> Index:
    index = Index()
    for number in range(FEATURES):
        for first in range(0, CLIPS, IN_A_SHARD):
            clips = range(first, first + IN_A_SHARD)
            rows = {f"clip_{i}": Row(300 * k, 300 * (k + 1), (i + 1, 7)) for k, i in enumerate(clips)}
            index.add(shard(f"feature{number}", f"{first:06d}", rows))
    return index


def test_an_entry_costs_less_than_a_hundred_bytes():
    filled()  # what it imports is none of the index's
    tracemalloc.start()
    index = filled()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size / (CLIPS * FEATURES) < 100
    path, start, stop, _ = index.location("feature7", "clip_9999")
    assert (path.name, start, stop) == ("009950.h5", 300 * 49, 300 * 50)
    assert index.features["feature7"].inputs[9_999].tolist() == [10_000, 7]


def failed(generation: int = 0, attempt: int = 1) -> FailedRow:
    return FailedRow(Failure("c", "f", "no_audio", f"{generation}.{attempt}", attempt=attempt), (), generation)


def test_of_one_generation_values_count_before_failures_and_the_first_file_before_later_ones():
    index = Index()
    index.add(shard("f", "1", {}, (failed(),)))
    assert index.outcome("f", "c").state == "failed"
    index.add(shard("f", "3", {"c": Row(0, 9)}))
    index.add(shard("f", "2", {"c": Row(0, 5)}))
    index.add(shard("f", "4", {"c": Row(0, 7)}))
    assert index.location("f", "c").stop == 5
    index.add(shard("f", "5", {}, (failed(attempt=9),)))
    assert index.outcome("f", "c").state == "stored"


def test_a_higher_generation_counts_also_a_failure_over_values():
    index = Index()
    index.add(shard("f", "2", {"c": Row(0, 5, (), 1)}))
    index.add(shard("f", "1", {"c": Row(0, 7, (), 0)}))
    assert index.location("f", "c").stop == 5
    index.add(shard("f", "3", {}, (failed(2, 1),)))
    assert index.failure("f", "c").message == "2.1"
    index.add(shard("f", "4", {}, (failed(2, 2),)))
    assert index.failure("f", "c").message == "2.2"
    assert [f.message for f in index.all_failures()] == ["2.2"]


def test_removals_take_lower_generations_only():
    index = Index()
    index.add(shard("f", "1", {"c": Row(0, 5, (), 1), "d": Row(5, 7, (), 2)}))
    index.remove([Removal("forget", 2, clips=["c", "d", "unknown"])])
    assert [index.location("f", i) is None for i in "cd"] == [True, False]
    index.remove([Removal("drop", 3, features=["f"])])
    assert index.location("f", "d") is None
    assert index.specs_of("f") == []
    index.remove([])
    assert index.location("f", "d") is not None


def test_a_retried_failure_is_missing_and_its_attempts_are_remembered():
    index = Index()
    index.add(shard("f", "1", {"c": Row(0, 5)}))
    index.add(shard("f", "2", {}, (failed(1, 3),)))
    index.remove([Removal("retry", 2, failures={"f": ["c"]})])
    assert index.outcome("f", "c") is None  # not the older values either: the failure counted more
    assert index.is_retried("f", "c")
    assert list(index.all_failures()) == []


# What the disk says is the truth


RESULTS = st.lists(
    st.tuples(
        st.sampled_from("abcde"),  # clip
        st.booleans(),  # stored
        st.integers(0, 3),  # generation
        st.integers(1, 3),  # attempt
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda result: result[0],
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(["f", "g"]), RESULTS),
        st.tuples(st.just("forget"), st.integers(1, 4), st.sampled_from("abcde")),
        st.tuples(st.just("retry"), st.integers(1, 4), st.sampled_from("abcde")),
        st.tuples(st.just("fold"), st.none(), st.none()),
    ),
    max_size=8,
)


def everything(index: Index, store: Path) -> dict:
    index.remove(FeatureStore(store)._removals.values())
    found = {}
    for name in ("f", "g"):
        for clip_id in "abcde":
            where = index.file_of(name, clip_id, with_retried=True)
            flags = index.flags_of(name, clip_id)
            location = index.location(name, clip_id)
            rows = None if location is None else (location.start, location.stop, location.arrays)
            found[name, clip_id] = (
                where, rows, index.outcome(name, clip_id), index.failure(name, clip_id),
                index.is_retried(name, clip_id), flags, index.versions_of(name),
            )  # fmt: skip
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_an_index_that_was_folded_at_any_time_says_what_one_rebuilt_from_nothing_says(tmp_path, steps):
    folder = tmp_path / "store"
    shutil.rmtree(folder, ignore_errors=True)
    store = FeatureStore.create(folder)
    for number, (kind, what, results) in enumerate(steps):
        if kind == "put":
            entries = [
                Entry(
                    clip_id,
                    features(2) if is_stored else Failure(clip_id, what, "no_audio", "x", attempt=attempt),
                    {"audio": 7},
                    {"holes": number} if is_stored else {},
                    generation,
                )
                for clip_id, is_stored, generation, attempt in results
            ]
            store.put(f"run-{number}", replace(SPEC, name=what), entries, {"libraries": {"torch": str(number)}})
        elif kind == "fold":
            store.save_index()
        elif kind == "forget":
            store.remove(Removal("forget", what, clips=[results]))
        else:
            store.remove(Removal("retry", what, failures={"f": [results], "g": [results]}))
    known = everything(store.index, folder)
    assert everything(load_index(folder), folder) == known
    shutil.rmtree(folder / "index", ignore_errors=True)
    assert everything(load_index(folder), folder) == known


def two_shards(folder: Path) -> FeatureStore:
    store = FeatureStore.create(folder)
    store.put("run-0", SPEC, [Entry("a", features(3))], {})
    store.put("run-1", SPEC, [Entry("b", features(4))], {})
    return store


@pytest.mark.parametrize("damage", ["cut", "other format", "junk log", "no log"])
def test_a_damaged_index_costs_time_only(tmp_path, damage):
    store = two_shards(tmp_path / "s")
    base, logs = store.path / "index" / "base.hdf5", sorted((store.path / "index" / "log").iterdir())
    assert len(logs) == 2
    if damage in {"cut", "other format"}:
        store.save_index()
        assert not list((store.path / "index" / "log").iterdir())
        data = base.read_bytes()
        base.write_bytes(data[: len(data) // 2] if damage == "cut" else data.replace(b"format", b"former"))
    for log in logs if "log" in damage else []:
        log.write_text('{"files": [{"path": 7}]}') if damage == "junk log" else log.unlink()
    opened = FeatureStore(store.path)
    assert [opened.length(i, "gemaps") for i in "ab"] == [3, 4]


def test_a_shard_file_that_is_gone_takes_its_clips_along_and_brings_back_what_it_hid(tmp_path):
    store = two_shards(tmp_path / "s")
    store.put("run-2", SPEC, [Entry("a", features(9), generation=1)], {})
    store.save_index()
    next(store.path.glob("features/gemaps/*/run-2.h5")).unlink()
    assert FeatureStore(store.path).length("a", "gemaps") == 3
    next(store.path.glob("features/gemaps/*/run-1.h5")).unlink()
    assert not FeatureStore(store.path).has("b", "gemaps")


def test_one_unreadable_shard_file_is_left_out_and_named(tmp_path):
    store = two_shards(tmp_path / "s")
    shutil.rmtree(store.path / "index")
    path = next(store.path.glob("features/gemaps/*/run-1.h5"))
    path.write_bytes(b"junk")
    opened = FeatureStore(store.path)
    assert opened.has("a", "gemaps")
    assert not opened.has("b", "gemaps")
    assert [(p.name, "not a readable HDF5 file" in why) for p, why in opened.index.unreadable.items()] == [
        ("run-1.h5", True)
    ]
