"""What several formats can be told: smaller numbers, compression, zeros, names of editions, usual classes."""

from __future__ import annotations

import csv
import io
import json
import tarfile

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from configs.errors import RunError
from extractors.openface.csv_files import read_openface
from storage.clip import Clip
from storage.exporters import EXPORTERS, export
from storage.exporters._shared.legacy_pickle import load, load_npz
from storage.exporters.mmsa.validate import validate_pickle
from storage.manifest import write_manifest
from storage.records import Features
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from storage.vocabulary.openface_columns import OPENFACE_COLUMNS
from tests.exports import ACTION_UNITS, CLIPS, make_store
from tests.storage import toy

SENTIMENT = {"labels": "negatif:-1,netral:0,positif:1", "label": "text"}


def arrays(name, out):
    """Values of one clip's GeMAPS in an export, of the formats that can be told a type."""
    if name == "hdf5":
        with h5py.File(out) as file:
            return file["clips/b1/gemaps"][...]
    if name == "webdataset":
        with tarfile.open(out / "train/000000.tar") as tar:
            return np.load(io.BytesIO(tar.extractfile("b1.gemaps.npy").read()))
    return np.load(out / "features/gemaps_FRA/b1.npy")


OF_ONE = {"hdf5": {"like": "gemaps"}, "webdataset": {}, "mertools": {"emo": "zero"}}


@pytest.mark.parametrize("name", OF_ONE)
def test_half_the_size_where_it_is_asked_for(tmp_path, name):
    store = toy.make_store(tmp_path / "s", ("gemaps",))
    for dtype in ("float32", "float16"):
        export(name, store, tmp_path / dtype, {"features": "gemaps", "dtype": dtype, **OF_ONE[name]})
        assert list(EXPORTERS.load(name).validate(tmp_path / dtype)) == []
    whole, half = (arrays(name, tmp_path / dtype) for dtype in ("float32", "float16"))
    assert (whole.dtype, half.dtype) == (np.float32, np.float16)
    np.testing.assert_array_equal(half, toy.features("gemaps", "b1").values.astype(np.float16))


def test_mmsa_takes_half_the_size_but_for_its_tokens(tmp_path):
    store = toy.make_store(tmp_path / "s", ("gemaps", "action_units", "tokens"))
    data = {}
    for dtype in ("float32", "float16"):
        export("mmsa", store, tmp_path / dtype, {"dimension": "sentiment", "dtype": dtype})
        assert list(validate_pickle(tmp_path / dtype / "unaligned.pkl")) == []
        data[dtype] = load(tmp_path / dtype / "unaligned.pkl")["train"]
    for key in ("audio", "vision"):
        assert data["float16"][key].dtype == np.float16
        np.testing.assert_array_equal(data["float16"][key], data["float32"][key].astype(np.float16))
    np.testing.assert_array_equal(data["float16"]["text_bert"], data["float32"]["text_bert"])


def test_a_number_too_large_for_half_the_size_is_refused_and_nothing_is_left(tmp_path):
    large = toy.features("gemaps", "b1").values.copy()
    large[3, 4] = -70000
    store = FeatureStore.create(tmp_path / "s")
    write_manifest(store.path / "manifest.parquet", [Clip("b1", split="train")], root=tmp_path, corpus="toy")
    source = toy.features("gemaps", "b1")
    store.put("gemaps", toy.AUDIO, [Entry("b1", Features(large, source.times, source.valid))], {})
    with pytest.raises(RunError, match="clip b1, feature gemaps: 70000 is too large for float16"):
        export("webdataset", store, tmp_path / "out", {"dtype": "float16"})
    assert not (tmp_path / "out").exists()


def test_compressed_tables_and_datasets_hold_the_same_numbers(tmp_path):
    store = toy.make_store(tmp_path / "s")
    for kind in ("none", "gzip"):
        export("hdf5", store, tmp_path / f"{kind}.h5", {"compression": kind, "like": "gemaps"})
    with h5py.File(tmp_path / "none.h5") as plain, h5py.File(tmp_path / "gzip.h5") as packed:
        assert packed["clips/b1/gemaps"].compression == "gzip"
        assert plain["clips/b1/gemaps"].compression is None
        for name in ("gemaps", "action_units", "voice"):
            np.testing.assert_array_equal(packed[f"clips/b1/{name}"], plain[f"clips/b1/{name}"])
    for kind in ("none", "zstd"):
        export("parquet", store, tmp_path / kind, {"compression": kind})
    tables = [pq.read_table(tmp_path / kind / "gemaps.parquet") for kind in ("none", "zstd")]
    assert tables[0].equals(tables[1])
    found = pq.ParquetFile(tmp_path / "zstd/gemaps.parquet").metadata.row_group(0).column(6).compression
    assert found == "ZSTD"


def test_zeros_where_mmsa_has_nothing_of_a_clip(tmp_path):
    store = toy.make_store(tmp_path / "s", without=[("b1", "gemaps")])
    with pytest.raises(RunError, match=r"1 clip has no gemaps: b1; --opt missing=omit .*missing=zeros"):
        export("mmsa", store, tmp_path / "out", SENTIMENT)
    lines = export("mmsa", store, tmp_path / "out", {**SENTIMENT, "missing": "zeros"})
    assert "audio: 1 clip of zeros only: b1" in lines
    assert list(validate_pickle(tmp_path / "out/unaligned.pkl")) == []
    data = load(tmp_path / "out/unaligned.pkl")["train"]
    assert not data["audio"][1].any()
    assert data["audio_lengths"][1] == 1
    assert data["vision"][1].any()


def test_zeros_where_emotion_llama_has_nothing_of_a_clip(tmp_path):
    store = make_store(tmp_path / "s", without=[(CLIPS[0].id, "videomae")])
    lines = export("merr", store, tmp_path / "out", {"missing": "zeros"})
    assert f"maeV_399_UTT: 1 clip has none, zeros in its place, as told: {CLIPS[0].id}" in lines
    assert not np.load(tmp_path / f"out/maeV_399_UTT/{CLIPS[0].id}.npy").any()
    assert json.loads((tmp_path / "out/missing.json").read_text())["maeV_399_UTT"] == [CLIPS[0].id]
    with pytest.raises(RunError, match="1 clip has no videomae"):
        export("merr", store, tmp_path / "other", {})


def test_the_names_of_mer2024_in_emotion_llama(tmp_path):
    """Its `mer2024.py` opens these folders and the column `sentence_en`; the rest is as `first_face.py` has it."""
    export("merr", make_store(tmp_path / "s"), tmp_path / "out", {"edition": "mer2024", "mix_splits": "true"})
    name = CLIPS[1].id
    stack = [np.load(tmp_path / "out" / folder / f"{name}.npy") for folder in MER2024]
    assert np.stack(stack).shape == (3, 1024)
    with (tmp_path / "out/transcription_en_all.csv").open(newline="") as file:
        rows = {row["name"]: row["sentence_en"] for row in csv.DictReader(file)}
    assert rows[name] == "Tidak?"
    assert list(EXPORTERS.load("merr").validate(tmp_path / "out")) == []


MER2024 = ("mae_340_23_UTT", "maeVideo_399_23_UTT", "HL_23_UTT")


@pytest.mark.parametrize(
    ("edition", "labels", "transcript"),
    [
        ("mer2023", "label-6way.npz", "transcription.csv"),
        ("mer2024", "label-6way.npz", "transcription-engchi-polish.csv"),
        ("mer2026", "track1_label_6way.npz", "transcription-engchi-polish.csv"),
    ],
)
def test_the_names_of_each_year_in_mertools(tmp_path, edition, labels, transcript):
    export("mertools", make_store(tmp_path / "s"), tmp_path / "out", {"edition": edition, "splits": "test:test1"})
    assert {path.name for path in (tmp_path / "out").iterdir() if path.suffix in {".npz", ".csv"}} == {
        labels,
        transcript,
    }
    assert set(load_npz(tmp_path / "out" / labels)) == {"train_corpus", "val_corpus", "test1_corpus"}
    assert list(EXPORTERS.load("mertools").validate(tmp_path / "out")) == []


def test_usual_classes_of_iemocap_count_excited_as_happy(tmp_path):
    store = toy.make_store(tmp_path / "s", ("gemaps",))
    options = {"classes": "iemocap-4", "unlabelled": "omit", "features": "gemaps", "splits": "test:test1"}
    export("mertools", store, tmp_path / "out", options)
    assert json.loads((tmp_path / "out/classes.json").read_text())["emo"] == ["happy", "sad", "neutral", "angry"]
    train = load_npz(tmp_path / "out/label.npz")["train_corpus"].tolist()
    assert {name: entry["emo"] for name, entry in train.items()} == {"a.1": 0, "b1": 0}  # hap, exc; xxx is left out
    with pytest.raises(RunError, match="emo=word has the words neutral, angry"):
        export("mertools", store, tmp_path / "no", {**options, "emo": "word"})


def test_openface_files_hold_what_is_stored(tmp_path):
    store = make_store(tmp_path / "s")
    export("openface_csv", store, tmp_path / "out", {})
    for clip in CLIPS:
        stored = store.get(clip.id, "action_units")
        rows = read_openface(tmp_path / f"out/processed/{clip.id}.csv", OPENFACE_COLUMNS)
        places = [ACTION_UNITS.columns.index(name) for name in OPENFACE_COLUMNS]
        np.testing.assert_array_equal(rows.success, stored.valid)
        np.testing.assert_array_equal(rows.values.astype(np.float32), stored.values[:, places])
    header = (tmp_path / f"out/processed/{CLIPS[0].id}.csv").read_text().split("\n")[0].split(",")
    assert header[:6] == ["frame", "face_id", "timestamp", "confidence", "success", "gaze_0_x"]


def test_action_units_alone_as_mer_factory_reads_them(tmp_path):
    """MER-Factory asks OpenFace for `-aus`: five leading columns and 35."""
    export("openface_csv", make_store(tmp_path / "s"), tmp_path / "out", {"preset": "openface-35"})
    with next((tmp_path / "out/processed").glob("*.csv")).open(newline="") as file:
        header, *rows = csv.reader(file)
    assert len(header) == 40
    table = {name: np.array(column, float) for name, column in zip(header, zip(*rows, strict=True), strict=True)}
    intensities = np.sum([table[name] for name in header if name.endswith("_r")], axis=0)
    assert intensities.shape == (len(rows),)
    assert (intensities[table["success"] == 0] == 0).all()
