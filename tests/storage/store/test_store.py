"""The store: whole or nothing, never overwritten, never mixed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import psutil
import pytest

from storage import open_store
from storage.atomic import publish, sweep, write_text
from storage.errors import StoreError
from storage.records import Failure, Features, FeatureSpec
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from tests.storage.small_store import SPEC, equal, features, small_store


@pytest.fixture
def store(tmp_path):
    return small_store(tmp_path)


def test_round_trip_is_byte_equal(store):
    again = open_store(store.path)
    assert equal(again.get("a", "gemaps"), features(5))
    assert equal(again.get("c", "gemaps"), features(1, seed=1))
    assert again.clip_ids("gemaps") == ["a", "c"]
    assert again.specs == {"gemaps": SPEC}
    assert [f.reason for f in again.failures] == ["no_audio"]
    assert again.outcome_of("b", "gemaps") == ("failed", "no_audio", 1)
    assert again.outcome_of("x", "gemaps") is None


def test_never_overwrites(store):
    before = {p: p.read_bytes() for p in store.path.rglob("*.h5")}
    with pytest.raises(StoreError, match="never overwritten"):
        store.put("run-0", SPEC, [Entry("a", features(5, seed=9))], {})
    assert {p: p.read_bytes() for p in store.path.rglob("*.h5")} == before


def test_refuses_other_numbers_under_the_same_name(store):
    other = replace(SPEC, recipe={"rate_hz": 8000})
    with pytest.raises(StoreError, match=r"\(option rate_hz: null in the store, now 8000\).*merflow drop"):
        store.put("run-1", other, [Entry("a", features(5))], {})


def test_a_later_success_replaces_a_failure_and_never_the_other_way(store):
    store.put("run-1", SPEC, [Entry("b", features(3))], {})
    failed = Failure("a", "gemaps", "undecodable", "")
    store.put("run-2", SPEC, [Entry("a", failed)], {})
    for seen in (store, open_store(store.path)):
        assert seen.outcome_of("b", "gemaps") == ("stored", "", 1)
        assert seen.outcome_of("a", "gemaps") == ("stored", "", 1)
        assert seen.failures == []


def test_wrong_width_is_refused_and_leaves_nothing(store):
    before = sorted(store.path.rglob("*"))
    wide = FeatureSpec("gemaps", "gemaps", "audio", "frame", ("a", "b"), hop=0.01)
    bad = Features(np.ones((1, 3), np.float32), np.array([[0.0, 1.0]]), np.ones(1, np.bool_))
    with pytest.raises(StoreError, match="clip a, feature gemaps: expected 2 columns, got 3"):
        store.put("run-9", wide, [Entry("a", bad)], {})
    assert sorted(store.path.rglob("*")) == before


def test_a_clip_without_rows_is_stored_and_read(store):
    empty = Features(np.empty((0, 2), np.float32), np.empty((0, 2)), np.empty(0, np.bool_))
    store.put("run-1", replace(SPEC, name="none"), [Entry("a", empty)], {})
    assert equal(open_store(store.path).get("a", "none"), empty)
    assert list(store.verify()) == []


# float16 on disk


def test_float16_is_half_the_size_reads_as_float32_and_records_its_error(tmp_path):
    store = FeatureStore.create(tmp_path / "store")
    half = replace(SPEC, dtype="float16")
    path = store.put("run-0", half, [Entry("a", features(500)), Entry("b", features(3, seed=2))], {})
    got, given = open_store(store.path).get("a", "gemaps"), features(500)
    assert got.values.dtype == np.float32
    assert (np.isnan(got.values).all(axis=1) == ~given.valid).all()
    errors = [
        np.nanmax(np.abs(store.get(c, "gemaps").values - f.values))
        for c, f in (("a", given), ("b", features(3, seed=2)))
    ]
    with h5py.File(path) as file:
        assert file["values"].dtype == np.float16
        assert file.attrs["largest_error"] == pytest.approx(max(errors), rel=1e-6)
    assert 0 < max(errors) <= 2**-11 * np.nanmax(np.abs(given.values))
    assert list(store.verify()) == []
    assert half.digest != SPEC.digest


def test_what_float16_cannot_hold_is_refused(tmp_path):
    store = FeatureStore.create(tmp_path / "store")
    large = Features(np.array([[1, 7e4]], np.float32), np.array([[0.0, 1.0]]), np.ones(1, np.bool_))
    with pytest.raises(StoreError, match="clip a, feature gemaps: 70000 is too large for float16; use float32"):
        store.put("run-0", replace(SPEC, dtype="float16"), [Entry("a", large)], {})
    assert list(store.path.rglob("*.h5")) == []


def test_create_refuses_a_folder_that_holds_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError, match="not empty and not a feature store"):
        FeatureStore.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


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
    ended = subprocess.Popen([sys.executable, "-c", ""])  # nobody waits for it: until then its number is taken
    deadline = time.monotonic() + 60
    while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    dead, zombie, alive, elsewhere = (
        tmp_path / f".tmp-{host}-999999999-00000000",
        tmp_path / f".tmp-{host}-{ended.pid}-00000000",
        tmp_path / f".tmp-{host}-{os.getpid()}-00000000",
        tmp_path / ".tmp-other-host-999999999-00000000",
    )
    for path in (dead, zombie, alive, elsewhere):
        path.write_text("x", encoding="utf-8")
    assert sorted(sweep(tmp_path)) == sorted([dead, zombie])
    ended.wait()
    assert not dead.exists()
    assert not zombie.exists()
    assert alive.exists()
    assert elsewhere.exists()


def test_text_files_keep_their_line_ends(tmp_path):
    write_text(tmp_path / "x", "a\r\nb")
    assert (tmp_path / "x").read_bytes() == b"a\r\nb"
