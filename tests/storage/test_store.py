"""The store: whole or nothing, never overwritten, never mixed, and checked."""

from __future__ import annotations

import os
from dataclasses import replace

import h5py
import numpy as np
import pytest

from storage import open_store
from storage.atomic import publish, sweep, write_text
from storage.errors import StoreError
from storage.manifest import write_manifest
from storage.records import Clip, Failure, Features, FeatureSpec
from storage.shard_file import Entry
from storage.store import FeatureStore

SPEC = FeatureSpec("gemaps", "gemaps", "audio", "frame", ("a", "b"), hop=0.01)


def features(n: int, seed: int = 0) -> Features:
    values = np.random.default_rng(seed).standard_normal((n, 2)).astype(np.float32)
    valid = np.ones(n, np.bool_)
    if n > 1:
        values[1], valid[1] = np.nan, False
    times = np.stack([np.arange(n) * 0.1, np.arange(n) * 0.1 + 0.1], axis=1)
    return Features(values, times, valid)


@pytest.fixture
def store(tmp_path):
    made = FeatureStore.create(tmp_path / "store")
    clips = [Clip(i, fingerprint=f"f{i}") for i in "abc"]
    write_manifest(made.path / "manifest.parquet", clips, root=tmp_path, corpus="test")
    entries = [
        Entry("a", "fa", features(5)),
        Entry("b", "fb", Failure("b", "gemaps", "no_audio", "b.mp4: no audio stream")),
        Entry("c", "fc", features(1, seed=1)),
    ]
    made.put("run-0", SPEC, entries, {"run": "run"})
    return made


def equal(one: Features, other: Features) -> bool:
    pairs = [(getattr(one, n), getattr(other, n)) for n in ("values", "times", "valid")]
    return all(x.tobytes() == y.tobytes() and x.dtype == y.dtype for x, y in pairs)


def test_round_trip_is_byte_equal(store):
    again = open_store(store.path)
    assert equal(again.get("a", "gemaps"), features(5))
    assert equal(again.get("c", "gemaps"), features(1, seed=1))
    assert again.clip_ids("gemaps") == ["a", "c"]
    assert again.specs == {"gemaps": SPEC}
    assert [f.reason for f in again.failures] == ["no_audio"]
    assert again.outcome_of("b", "gemaps") == ("failed", "fb", "no_audio")
    assert again.outcome_of("x", "gemaps") is None


def test_reading_what_is_not_there_says_why(store):
    with pytest.raises(StoreError, match=r"clip b, feature gemaps: no_audio: b\.mp4: no audio stream"):
        store.get("b", "gemaps")
    with pytest.raises(StoreError, match="no feature 'hubert'; features: gemaps"):
        store.get("a", "hubert")
    with pytest.raises(StoreError, match="not a feature store"):
        open_store(store.path / "runs")


def test_never_overwrites(store):
    before = {p: p.read_bytes() for p in store.path.rglob("*.h5")}
    with pytest.raises(StoreError, match="never overwritten"):
        store.put("run-0", SPEC, [Entry("a", "fa", features(5, seed=9))], {})
    assert {p: p.read_bytes() for p in store.path.rglob("*.h5")} == before


def test_refuses_other_numbers_under_the_same_name(store):
    other = replace(SPEC, recipe={"rate_hz": 8000})
    with pytest.raises(StoreError, match=r"already stored with another recipe \(recipe.rate_hz: null against 8000\)"):
        store.put("run-1", other, [Entry("a", "fa", features(5))], {})


def test_a_later_success_replaces_a_failure_and_never_the_other_way(store):
    store.put("run-1", SPEC, [Entry("b", "fb2", features(3))], {})
    failed = Failure("a", "gemaps", "undecodable", "")
    store.put("run-2", SPEC, [Entry("a", "fa", failed)], {})
    for seen in (store, open_store(store.path)):
        assert seen.outcome_of("b", "gemaps") == ("stored", "fb2", "")
        assert seen.outcome_of("a", "gemaps") == ("stored", "fa", "")
        assert seen.failures == []


def test_wrong_width_is_refused_and_leaves_nothing(store):
    before = sorted(store.path.rglob("*"))
    wide = FeatureSpec("gemaps", "gemaps", "audio", "frame", ("a", "b"), hop=0.01)
    bad = Features(np.ones((1, 3), np.float32), np.array([[0.0, 1.0]]), np.ones(1, np.bool_))
    with pytest.raises(StoreError, match="clip a, feature gemaps: expected 2 columns, got 3"):
        store.put("run-9", wide, [Entry("a", "fa", bad)], {})
    assert sorted(store.path.rglob("*")) == before


def test_readable_with_h5py_alone(store):
    (path,) = store.path.rglob("*.h5")
    with h5py.File(path) as file:
        rows = slice(*file["offsets"][0:2])
        assert file["values"][rows].tobytes() == features(5).values.tobytes()
        assert file["clip_ids"].asstr()[...].tolist() == ["a", "c"]


@pytest.mark.parametrize(
    ("dataset", "value", "message"),
    [("values", 7.0, "checksum"), ("times", 0.001, "checksum"), ("values", np.inf, "NaN or infinity")],
)
def test_verify_finds_a_changed_number(store, dataset, value, message):
    assert list(store.verify()) == []
    (path,) = store.path.rglob("*.h5")
    with h5py.File(path, "r+") as file:
        file[dataset][0, 0] = value
    problems = list(open_store(store.path).verify())
    assert len(problems) == 1
    assert "clip a, feature gemaps" in problems[0]
    assert message in problems[0]


def test_verify_finds_a_damaged_file_and_an_unknown_clip(store):
    store.put("run-1", SPEC, [Entry("z", "fz", features(2))], {})
    assert [p.split(": ")[1] for p in store.verify()] == ["clip z is not in the manifest"]
    (path,) = store.path.rglob("run-0.h5")
    path.write_bytes(path.read_bytes()[:200])
    assert "not a readable HDF5 file" in next(iter(store.verify()))


def test_create_refuses_a_folder_that_holds_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError, match="not empty and not a feature store"):
        FeatureStore.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_many_shards_do_not_exhaust_file_handles(tmp_path):
    store = FeatureStore.create(tmp_path / "store")
    for i in range(80):
        store.put(f"run-{i:03d}", SPEC, [Entry(f"c{i}", "f", features(1, seed=i))], {})
    for i in range(80):
        assert equal(store.get(f"c{i}", "gemaps"), features(1, seed=i))
    assert len(store._handles) <= 64


def test_publish_leaves_nothing_when_the_block_fails(tmp_path):
    (tmp_path / "a.txt").write_text("old", encoding="utf-8")

    def fail():
        with publish(tmp_path / "a.txt") as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "old"}


def test_publish_a_whole_folder(tmp_path):
    with publish(tmp_path / "tree") as temporary:
        (temporary / "sub").mkdir(parents=True)
        (temporary / "sub" / "x").write_text("1", encoding="utf-8")
        assert not (tmp_path / "tree").exists()
    assert (tmp_path / "tree" / "sub" / "x").read_text(encoding="utf-8") == "1"


def test_sweep_removes_only_what_dead_processes_left(tmp_path):
    host = os.uname().nodename
    dead, alive, elsewhere = (
        tmp_path / f".tmp-{host}-999999999-00000000",
        tmp_path / f".tmp-{host}-{os.getpid()}-00000000",
        tmp_path / ".tmp-other-host-999999999-00000000",
    )
    for path in (dead, alive, elsewhere):
        path.write_text("x", encoding="utf-8")
    assert sweep(tmp_path) == [dead]
    assert not dead.exists()
    assert alive.exists()
    assert elsewhere.exists()


def test_text_files_keep_their_line_ends(tmp_path):
    write_text(tmp_path / "x", "a\r\nb")
    assert (tmp_path / "x").read_bytes() == b"a\r\nb"
