"""What is wrong with a store is found and told from work that is missing."""

from __future__ import annotations

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest

from storage import open_store
from storage.errors import StoreError
from storage.records import Failure, FeatureSpec
from storage.store.gaps import notes
from storage.store.shard_writer import Entry, write_shard_file
from storage.store.verify import problems
from tests.storage.small_store import SPEC, features, small_store


@pytest.fixture
def store(tmp_path):
    return small_store(tmp_path)


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
    failed = Failure("y", "gemaps", "no_audio", "")
    store.put("run-1", SPEC, [Entry("z", features(2)), Entry("y", failed)], {})
    expected = ["clip z is not in the manifest", "clip y is not in the manifest"]
    assert [p.split(": ")[1] for p in store.verify()] == expected
    (path,) = store.path.rglob("run-0.h5")
    path.write_bytes(path.read_bytes()[:200])
    assert "not a readable HDF5 file" in next(iter(store.verify()))
    assert len(list(problems(store.path))) == 3


def test_verify_finds_a_clip_stored_twice_with_other_values(store):
    store.put("run-1", SPEC, [Entry("a", features(5))], {})
    assert list(store.verify()) == []
    store.put("run-2", SPEC, [Entry("a", features(5, seed=9))], {})
    assert list(store.verify()) == ["run-2.h5: clip a, feature gemaps: run-0.h5 holds other values for it"]


def test_a_clip_that_occurs_twice_in_one_file_is_refused(store):
    twice = [Entry("a", features(5)), Entry("a", Failure("a", "gemaps", "no_audio", ""))]
    with pytest.raises(StoreError, match="clip a, feature gemaps: occurs twice in this file"):
        store.put("run-1", SPEC, twice, {})


def test_verify_finds_a_file_in_the_wrong_place_and_a_second_recipe(store):
    (path,) = store.path.rglob("run-0.h5")
    wrong = path.parent.parent / "0123" / "run-0.h5"
    wrong.parent.mkdir()
    path.rename(wrong)
    assert list(problems(store.path)) == [
        f"run-0.h5: expected in features/gemaps/{SPEC.digest}, found in {wrong.parent}"
    ]
    wrong.rename(path)
    other = replace(SPEC, code=2)
    write_shard_file(path.parent.parent / other.digest / "run-9.h5", other, [Entry("c", features(1, 1))], {})
    (found,) = problems(store.path)
    assert {SPEC.digest, other.digest} <= set(re.split("[ ,]", found))
    assert "run-0.h5 holds other values" in found or "run-9.h5 holds other values" in found


def test_verify_finds_a_damaged_manifest(store):
    (store.path / "manifest.parquet").write_bytes(b"PAR1")
    assert ["damaged, or not a manifest" in problem for problem in store.verify()] == [True]


def test_notes_tell_missing_work_from_damage(store):
    assert list(notes(store)) == ["gemaps: 2 of 3 clips stored, 1 failed"]
    faces = FeatureSpec("faces", "faces", "video", "frame", ("x", "y"))
    skipped = Failure("c", "faces", "no_video", "", state="skipped")
    store.put("run-f", faces, [Entry("a", features(3)), Entry("c", skipped)], {})
    assert list(notes(store)) == [
        "faces: 1 of 3 clips stored, 1 skipped, 1 missing",
        "gemaps: 2 of 3 clips stored, 1 failed",
        "modalities are stored for different clips: video 1, audio 2; 1 of 3 clips have all",
    ]
    assert list(store.verify()) == []
