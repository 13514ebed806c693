"""Exports: what training code opens, whole or not at all, with the truth about masks and random weights."""

from __future__ import annotations

import json
import os
import pickle
import pickletools
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from extractors.core.openface_columns import OPENFACE_COLUMNS
from storage.errors import RunError
from storage.exporters import export, exporter_module, exporter_names
from storage.exporters._openface import BLOCKS
from storage.legacy_pickle import load
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


def test_formats_are_found_by_name():
    assert {"hdf5", "indomer"} <= set(exporter_names())
    assert all(exporter_module(n).__doc__ and exporter_module(n).OPTIONS for n in exporter_names())


def test_refusals_write_nothing(store, tmp_path):
    out = tmp_path / "out"
    for name, options, message in [
        ("hdf6", {}, "unknown format 'hdf6'; formats: hdf5, indomer"),
        ("hdf5", {"rat": "1"}, "format hdf5: unknown option 'rat'; valid ones: allow_synthetic, features, rate"),
        ("hdf5", {"features": "gemaps,nope"}, "no feature 'nope'; features: action_units, gemaps"),
        ("hdf5", {"rate": "fast"}, "option rate: expected a positive number"),
        ("hdf5", {"rate": "0"}, "option rate: expected a positive number"),
        ("hdf5", {"allow_synthetic": "yes"}, "option allow_synthetic: expected false or true, got 'yes'"),
        ("indomer", {"length": "x"}, "option length: expected all or per_split, got 'x'"),
        ("indomer", {"preset": "x"}, "option preset: expected indomer-673-h1a or indomer-673-h1b"),
        ("indomer", {"video_feature": "x"}, "no feature 'x'.*video_feature=NAME"),
        ("indomer", {"video_feature": "gemaps"}, "gemaps lacks 669 of OpenFace's 669 columns: gaze_0_x, .*664 more"),
    ]:
        with pytest.raises(RunError, match=message) as error:
            export(name, store, out, options)
        assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("name", ["hdf5", "indomer"])
def test_never_overwrites(store, tmp_path, name):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        export(name, store, tmp_path / "out", {})
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("name", ["hdf5", "indomer"])
def test_synthetic_needs_a_flag_and_is_marked(tmp_path, name):
    store = make_store(tmp_path / "store", face_spec=replace(FACES, synthetic=True, weights={"random": 0}))
    with pytest.raises(RunError, match=r"action_units: made with random weights.*--opt allow_synthetic=true"):
        export(name, store, tmp_path / "out", {})
    export(name, store, tmp_path / "out", SYNTHETIC)
    if name == "hdf5":
        with h5py.File(tmp_path / "out") as file:
            assert file["columns/action_units"].attrs["synthetic"]
            record = json.loads(file.attrs["provenance"])
        export(name, store, tmp_path / "real", {"features": "gemaps"})
    else:
        record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert record["synthetic"] == ["action_units"]
    assert record["options"] == SYNTHETIC
    assert record["store"] == "store"
    assert record["features"]["action_units"]["weights"] == {"random": 0}
    assert record["features"]["gemaps"]["digest"] == GEMAPS.digest
    assert record["runs"][0]["versions"] == {"av": "16"}


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


# IndoMER's PKLs


def readme_loop(folder: Path, video_folder: str, split: str, wanted: str) -> np.ndarray:
    """IndoMER's README, word for word but for the paths."""
    with (folder / video_folder / f"{split}_video_features.pkl").open("rb") as file:
        video_data = pickle.load(file)
    return next((row for row in video_data if row["video_name"] == wanted), None)["video_feature"]


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated")
@pytest.mark.parametrize("video_folder", ["video_feature", "videos_feature"])
def test_indomer_reads_as_its_readme_says(store, tmp_path, video_folder):
    out = tmp_path / "out"
    lines = export("indomer", store, out, {})
    assert "train_video_features.pkl: 2 clips, 40 rows x 673 columns" in lines
    for split, clip_id in (("train", "clip_1"), ("train", "clip_2"), ("val", "clip_3")):
        value = readme_loop(out, video_folder, split, f"{clip_id}.mp4")
        assert (value.shape, value.dtype) == ((40, 673), np.float32)
        assert np.isfinite(value).all()
        source, n = faces(clip_id), FRAMES[clip_id]
        assert not value[n:].any()
        assert value[:n, 0].tolist() == [0] * n
        np.testing.assert_array_equal(value[:n, 1], source.times[:, 0].astype(np.float32))
        assert value[:n, 2].tolist() == value[:n, 3].tolist() == source.valid.astype(float).tolist()
        assert value[:n, 4:].tobytes() == np.nan_to_num(source.values[:, 1:], nan=0).tobytes()
    assert (out / "video_feature/columns.json").samefile(out / "videos_feature/columns.json")


def test_indomer_audio_order_lengths_and_columns(store, tmp_path):
    out = tmp_path / "out"
    export("indomer", store, out, {})
    items = load(out / "audio_feature/train_audio_features.pkl")
    assert [list(i) for i in items] == [["audio_name", "audio_feature"]] * 2
    assert [i["audio_name"] for i in items] == ["clip_2.wav", "clip_1.wav"]
    assert {i["audio_feature"].shape for i in items} == {(159, 18)}
    lengths = json.loads((out / "audio_feature/train_audio_features.lengths.json").read_text())
    assert lengths == {"clip_2.wav": 39, "clip_1.wav": 99}
    assert items[1]["audio_feature"][97].any()
    assert not items[1]["audio_feature"][99:].any()
    layout = json.loads((out / "videos_feature/columns.json").read_text())
    assert layout["layout"] == "indomer-673-h1a"
    names = [c["name"] for c in layout["columns"]]
    assert names[:5] == ["face_id", "timestamp", "confidence", "success", "gaze_0_x"]
    places = {
        "eye_lmk_x_0": 12,
        "eye_lmk_X_0": 124,
        "pose_Tx": 292,
        "x_0": 298,
        "X_0": 434,
        "AU01_r": 638,
        "AU01_c": 655,
    }
    assert {name: names.index(name) for name in places} == places
    assert names[-1] == "AU45_c"
    assert len(names) == 673
    assert layout["columns"][1]["source"] == "made by merflow: start of the row, seconds"
    assert layout["columns"][-1]["source"] == "action_units (py-feat 2.1)"
    folders = {"audio_feature", "video_feature", "videos_feature"}
    assert {p.name for p in out.iterdir()} == folders | {"missing.json", "provenance.json"}


def test_openface_columns_are_the_extractors():
    assert BLOCKS == OPENFACE_COLUMNS


def test_indomer_other_preset_and_length_per_split(store, tmp_path):
    export("indomer", store, tmp_path / "out", {"preset": "indomer-673-h1b", "length": "per_split"})
    train, val = (load(tmp_path / f"out/video_feature/{s}_video_features.pkl") for s in ("train", "val"))
    assert train[0]["video_feature"].shape == (25, 673)
    assert val[0]["video_feature"].shape == (40, 673)
    assert train[0]["video_feature"][:11, 0].tolist() == [*range(1, 11), 0]


def test_indomer_clips_without_split(tmp_path):
    store = make_store(tmp_path / "store", [*CLIPS[:2], replace(CLIPS[2], split=None)])
    with pytest.raises(RunError, match=r"clip clip_3 has no split; --opt default_split=train"):
        export("indomer", store, tmp_path / "out", {})
    export("indomer", store, tmp_path / "out", {"default_split": "train"})
    assert len(load(tmp_path / "out/video_feature/train_video_features.pkl")) == 3
    assert not (tmp_path / "out/video_feature/val_video_features.pkl").exists()


def test_indomer_clips_that_lack_a_modality(tmp_path):
    store = make_store(tmp_path / "store", without={("clip_1", "gemaps"), ("clip_3", "gemaps")})
    with pytest.raises(RunError, match=r"2 clips have no gemaps: clip_1, clip_3; --opt missing=omit"):
        export("indomer", store, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
    lines = export("indomer", store, tmp_path / "out", {"missing": "omit"})
    assert lines[-1] == "audio: 2 clips left out: clip_1, clip_3"
    assert json.loads((tmp_path / "out/missing.json").read_text()) == {"video": [], "audio": ["clip_1", "clip_3"]}
    assert [len(load(tmp_path / f"out/audio_feature/{s}_audio_features.pkl")) for s in ("train", "val")] == [1, 0]
    assert len(load(tmp_path / "out/video_feature/train_video_features.pkl")) == 2


def test_no_links_no_harm(store, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    export("indomer", store, tmp_path / "out", {})
    one, other = (tmp_path / "out" / f / "val_video_features.pkl" for f in ("video_feature", "videos_feature"))
    assert one.read_bytes() == other.read_bytes()
    assert not one.samefile(other)


# Pickles for old and new NumPy


def test_pickles_name_no_module_that_old_numpy_lacks(store, tmp_path):
    export("indomer", store, tmp_path / "out", {})
    for path in (tmp_path / "out").rglob("*.pkl"):
        codes = list(pickletools.genops(path.read_bytes()))
        texts = [arg for _, arg, _ in codes if isinstance(arg, str)]
        assert "numpy.core.multiarray" in texts
        assert not [t for t in texts if "numpy._core" in t]
        assert codes[0][1] == 4
