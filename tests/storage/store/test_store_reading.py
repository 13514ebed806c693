"""Reading: from any place, process and thread, with few libraries, and never rubbish."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import pytest

from storage import open_store
from storage.clip import Clip
from storage.errors import StoreError
from storage.manifest import write_manifest
from storage.records import Features
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from tests.storage.small_store import SPEC, equal, features, small_store


@pytest.fixture
def store(tmp_path):
    return small_store(tmp_path)


def test_reading_what_is_not_there_says_why(store):
    with pytest.raises(StoreError, match=r"clip b, feature gemaps: no_audio: b\.mp4: no audio stream"):
        store.get("b", "gemaps")
    with pytest.raises(StoreError, match="no feature 'hubert'; features: gemaps"):
        store.get("a", "hubert")
    with pytest.raises(StoreError, match="not a feature store"):
        open_store(store.path / "runs")


def test_the_number_of_rows_is_known_without_reading_them(store, monkeypatch):
    monkeypatch.setattr(store, "_files", None)
    assert [store.length(clip, "gemaps") for clip in "ac"] == [5, 1]
    with pytest.raises(StoreError, match="clip b, feature gemaps: no_audio"):
        store.length("b", "gemaps")


def test_readable_with_h5py_alone(store):
    (path,) = store.path.rglob("*.h5")
    with h5py.File(path) as file:
        rows = slice(*file["offsets"][0:2])
        assert file["values"][rows].tobytes() == features(5).values.tobytes()
        assert file["clip_ids"].asstr()[...].tolist() == ["a", "c"]


def test_iterate_gives_the_clips_of_a_split_with_what_they_have(store):
    clips = [
        Clip(i, split=split, fingerprint=f"f{i}") for i, split in zip("cba", ("train", "val", "train"), strict=True)
    ]
    write_manifest(store.path / "manifest.parquet", clips, root=store.path, corpus="test")
    assert [(clip.id, list(found)) for clip, found in store.iterate()] == [
        ("c", ["gemaps"]),
        ("b", []),
        ("a", ["gemaps"]),
    ]
    ((one, found), (other, _)) = store.iterate(["gemaps"], split="train")
    assert (one.id, other.id) == ("c", "a")
    assert equal(found["gemaps"], features(1, seed=1))
    with pytest.raises(StoreError, match="no clip of split 'dev'; splits: train, val"):
        list(store.iterate(split="dev"))
    with pytest.raises(StoreError, match="no feature 'hubert'"):
        list(store.iterate(["hubert"]))


def test_a_store_reads_from_another_place_and_changes_nothing_there(store, tmp_path):
    moved = tmp_path / "elsewhere" / "copy"
    shutil.copytree(store.path, moved)
    shutil.rmtree(store.path)
    files = sorted(moved.rglob("*"))
    for path in files:
        path.chmod(0o555 if path.is_dir() else 0o444)
    moved.chmod(0o555)
    before = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in files]
    again = open_store(moved)
    assert equal(again.get("a", "gemaps"), features(5))
    assert [clip.id for clip, _ in again.iterate()] == ["a", "b", "c"]
    assert list(again.verify()) == []
    assert [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(moved.rglob("*"))] == before
    for path in [moved, *files]:
        path.chmod(0o755)


READ = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None  # importing it raises
from storage import open_store
store = open_store({path!r})
print(store.get("a", "gemaps").values.shape, {more})
print([name for name in ("torch", "pandas", "transformers", "scipy", "pydantic", "psutil") if sys.modules.get(name)])
"""


@pytest.mark.parametrize(
    ("blocked", "more", "printed"),
    [
        (["torch", "pandas", "transformers", "psutil", "pydantic"], "len(list(store.iterate(split=None)))", "(5, 2) 3"),
        (
            ["torch", "pandas", "transformers", "psutil", "pydantic", "pyarrow"],
            "store.failures[0].reason",
            "(5, 2) no_audio",
        ),
    ],
)
def test_reading_needs_h5py_and_numpy_and_pyarrow_only_for_the_manifest(store, blocked, more, printed):
    code = READ.format(blocked=blocked, path=str(store.path), more=more)
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert (done.stdout, done.stderr) == (f"{printed}\n[]\n", "")


def test_a_store_pickles_as_its_path(store):
    store.get("a", "gemaps")
    again = pickle.loads(pickle.dumps(store))
    assert not again._files._readers
    assert equal(again.get("a", "gemaps"), features(5))


def large(seed: int) -> Features:
    """More than a file object reads ahead."""
    return features(5_000, seed)


@pytest.fixture
def large_store(tmp_path):
    made = FeatureStore.create(tmp_path / "large")
    made.put("run-0", SPEC, [Entry("a", large(1)), Entry("c", large(2))], {})
    return made


def wrong_readings(store, clip_id, expected):
    return sum(not equal(store.get(clip_id, "gemaps"), expected) for _ in range(400))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_reads_beside_its_parent(large_store):
    """Both have the file open before they read on: a shared place in it would give each the other's rows."""
    large_store.get("a", "gemaps")
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        wrong = 255
        try:
            wrong = min(wrong_readings(large_store, "a", large(1)), 254)
        finally:
            os.write(write_end, bytes([wrong]))
            os._exit(0)
    assert wrong_readings(large_store, "c", large(2)) == 0
    assert os.read(read_end, 1) == b"\x00"
    os.waitpid(child, 0)
    os.close(read_end)
    os.close(write_end)


def test_threads_share_a_store(large_store):
    large_store.get("a", "gemaps")
    with ThreadPoolExecutor(2) as pool:
        wrong = list(pool.map(wrong_readings, [large_store] * 2, "ac", [large(1), large(2)]))
    assert wrong == [0, 0]


def test_a_file_cut_short_after_it_was_opened_is_an_error_and_no_rubbish(tmp_path):
    store = FeatureStore.create(tmp_path / "store")
    path = store.put("run-0", SPEC, [Entry("a", features(20_000))], {})
    os.truncate(path, 100_000)
    with pytest.raises(StoreError, match="ends before row 20000"):
        store.get("a", "gemaps")


def test_compressed_values_are_refused_with_a_reason(store):
    (path,) = store.path.rglob("*.h5")
    with h5py.File(path, "r+") as file:
        values = file["values"][...]
        del file["values"]
        file.create_dataset("values", data=values, compression="gzip")
    shutil.rmtree(store.path / "index")
    (why,) = open_store(store.path).index.unreadable.values()
    assert "values: expected contiguous, uncompressed, little-endian numbers" in why


def test_many_shards_do_not_exhaust_file_handles(tmp_path):
    store = FeatureStore.create(tmp_path / "store")
    for i in range(80):
        store.put(f"run-{i:03d}", SPEC, [Entry(f"c{i}", features(1, seed=i))], {})
    for i in range(80):
        assert equal(store.get(f"c{i}", "gemaps"), features(1, seed=i))
    assert len(store._files._readers) <= 64
