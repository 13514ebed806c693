"""The export to one HDF5 file on one clock, with the truth about masks and random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from storage.errors import RunError
from storage.exporters import export
from storage.exporters._openface import BLOCKS
from storage.manifest import write_manifest
from storage.records import Clip, Failure, Features, FeatureSpec
from storage.shard_file import Entry
from storage.store import FeatureStore
from storage.timeline import align, regular_grid

GEMAPS = FeatureSpec(
    "gemaps", "gemaps", "audio", "frame", tuple(f"g{i}" for i in range(18)), hop=0.01, source="openSMILE 3.0"
)
FACES = FeatureSpec("action_units", "action_units", "video", "frame", ("extra", *BLOCKS), source="py-feat 2.1")
CLIPS = [
    Clip("clip_2", split="train", text="dua", label="sad", label_raw="kesedihan", labels={"audio": "netral"}),
    Clip("clip_1", split="train", speaker="07"),
    Clip("clip_3", split="val", language="id"),
]
FRAMES = {"clip_2": 10, "clip_1": 25, "clip_3": 40}
SYNTHETIC = {"allow_synthetic": "true"}


def rows(spec: FeatureSpec, n: int, length: float, window: float, seed: int) -> Features:
    values = np.random.default_rng(seed).uniform(0.1, 1, (n, len(spec.columns))).astype(np.float32)
    valid = np.arange(n) % 5 != 3
    values[~valid] = np.nan
    start = np.arange(n) * length
    return Features(values, np.stack([start, start + window], axis=1), valid)


def faces(clip: str) -> Features:
    return rows(FACES, FRAMES[clip], 0.04, 0.04, FRAMES[clip])


def sound(clip: str) -> Features:
    return rows(GEMAPS, FRAMES[clip] * 4 - 1, 0.01, 0.02, FRAMES[clip])


def make_store(path: Path, clips=CLIPS, without=(), face_spec=FACES) -> FeatureStore:
    store = FeatureStore.create(path)
    write_manifest(path / "manifest.parquet", clips, root=path, corpus="test")

    def entry(clip: Clip, spec: FeatureSpec, features: Features) -> Entry:
        lacks = (clip.id, spec.name) in without
        failure = Failure(clip.id, spec.name, "no_audio", "x")
        return Entry(clip.id, "f", failure if lacks else features)

    store.put("r-0", face_spec, [entry(c, face_spec, faces(c.id)) for c in clips], {})
    store.put("r-1", GEMAPS, [entry(c, GEMAPS, sound(c.id)) for c in clips], {})
    store.write_run("r", {"run": "r", "versions": {"av": "16"}, "config": {}})
    return store


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store")


def test_refusals_write_nothing(store, tmp_path):
    out = tmp_path / "out"
    for name, options, message in [
        ("hdf5", {"rat": "1"}, "format hdf5: unknown option 'rat'; valid ones: allow_synthetic, features, rate"),
        ("hdf5", {"features": "gemaps,nope"}, "no feature 'nope'; features: action_units, gemaps"),
        ("hdf5", {"rate": "fast"}, "option rate: expected a positive number"),
        ("hdf5", {"rate": "0"}, "option rate: expected a positive number"),
    ]:
        with pytest.raises(RunError, match=message) as error:
            export(name, store, out, options)
        assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_synthetic_needs_a_flag_and_is_marked(tmp_path):
    store = make_store(tmp_path / "store", face_spec=replace(FACES, synthetic=True, weights={"random": 0}))
    with pytest.raises(RunError, match=r"action_units: made with random weights.*--opt allow_synthetic=true"):
        export("hdf5", store, tmp_path / "out", {})
    export("hdf5", store, tmp_path / "out", SYNTHETIC)
    with h5py.File(tmp_path / "out") as file:
        assert file["columns/action_units"].attrs["synthetic"]
        record = json.loads(file.attrs["provenance"])
    export("hdf5", store, tmp_path / "real", {"features": "gemaps"})
    assert record["synthetic"] == ["action_units"]
    assert record["options"] == SYNTHETIC
    assert record["features"]["action_units"]["weights"] == {"random": 0}


# One aligned HDF5 file


def test_hdf5(tmp_path):
    store = make_store(tmp_path / "store", without={("clip_1", "gemaps")})
    lines = export("hdf5", store, tmp_path / "a.h5", {"rate": "10"})
    assert lines == ["3 clips, 2 features at 10 Hz", "gemaps: 1 clips have none: clip_1"]
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file["clips"]) == ["clip_2", "clip_1", "clip_3"]
        for clip_id, features in (("clip_2", faces("clip_2")), ("clip_3", faces("clip_3"))):
            clip = file["clips"][clip_id]
            end = max(float(features.times.max()), float(sound(clip_id).times.max()))
            grid = regular_grid(end, 10)
            values, valid = align(features, grid)
            assert clip["times"][...].tobytes() == grid.tobytes()
            assert clip["action_units"][...].tobytes() == values.tobytes()
            assert clip["mask/action_units"][...].tolist() == valid.tolist()
            assert clip["action_units"].dtype == np.float32
            assert clip["mask/gemaps"].dtype == np.bool_
            assert clip["gemaps"].shape == (len(grid), 18)
            assert (np.isnan(clip["action_units"][...]).all(axis=1) == ~valid).all()
        assert set(file["clips/clip_1"]) == {"times", "mask", "action_units"}
        assert file["missing/gemaps"].asstr()[...].tolist() == ["clip_1"]
        assert file["missing/action_units"].shape == (0,)
        assert file["columns/action_units"].asstr()[...].tolist() == list(FACES.columns)
        assert file.attrs["rate"] == 10
        assert "NaN" in file.attrs["fill"]
        attributes = dict(file["clips/clip_2"].attrs)
    expected = {
        "text": "dua",
        "split": "train",
        "label": "sad",
        "label_raw": "kesedihan",
        "labels": '{"audio": "netral"}',
    }
    assert attributes == expected


def test_hdf5_clip_called_like_a_group_and_clip_without_anything(tmp_path):
    clips = [Clip("columns"), Clip("none"), Clip("..")]
    store = FeatureStore.create(tmp_path / "store")
    write_manifest(store.path / "manifest.parquet", clips, root=tmp_path, corpus="c")
    store.put("r-0", GEMAPS, [Entry(i, "f", rows(GEMAPS, 9, 0.01, 0.02, 0)) for i in ("columns", "..")], {})
    export("hdf5", store, tmp_path / "a.h5", {})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["clips"]["columns"]["gemaps"].shape == (3, 18)
        assert file["clips"]["none"]["times"].shape == (0, 2)
        assert set(file["clips"]) == {"columns", "none", ".."}
