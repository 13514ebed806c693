"""IndoMER's PKLs and label files: what its README's loop opens, with the truth about masks and columns."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from configs.errors import RunError
from extractors import openface
from storage.clip import Clip
from storage.errors import StoreError
from storage.exporters import export
from storage.exporters._shared.legacy_pickle import load
from storage.exporters.indomer.layout import PRESETS
from storage.records import Features
from storage.vocabulary.openface_columns import ALL_BLOCKS, OPENFACE_COLUMNS, SHAPE_MODEL
from tests.exports import ACTION_UNITS, CLIPS, FRAMES, GEMAPS, features, make_store, peak_of

SPECS = (GEMAPS, ACTION_UNITS)
LONGEST = max(FRAMES.values())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("indomer") / "store", specs=SPECS)


@pytest.fixture(scope="module")
def out(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("indomer") / "out"
    export("indomer", store, path, {})
    return path


# What IndoMER's README does, but for its `label_id`, which no file of its repository has.
README = """
import json, pickle, sys
root, folder, label_file = sys.argv[1:]
found = []
for split in ("train", "val", "test"):
    rows = json.load(open(f"{root}/{label_file}".format(split=split), encoding="utf-8"))
    with open(f"{root}/{folder}/{split}_video_features.pkl", "rb") as file:
        videos = pickle.load(file)
    with open(f"{root}/audio_feature/{split}_audio_features.pkl", "rb") as file:
        waveforms = pickle.load(file)
    for row in rows:
        video = next((v for v in videos if v["video_name"] == row["video"]), None)["video_feature"]
        audio = next((a for a in waveforms if a["audio_name"] == row["audio"]), None)["audio_feature"]
        found.append([row["sample_id"], row["label"], row.get("label_id"), list(video.shape), list(audio.shape),
                      str(video.dtype), str(audio.dtype), float(video.sum()), float(audio.sum())])
print(json.dumps(found))
"""


@pytest.mark.parametrize("label_file", ["7_Class/7_class_{split}.json", "7_Class/7_class_{split}_label_id.json"])
@pytest.mark.parametrize("folder", ["video_feature", "videos_feature"])
def test_the_loop_of_the_readme_runs_on_old_numpy(out, numpy124, folder, label_file):
    found = json.loads(numpy124(README, out, folder, label_file))
    assert [row[0] for row in found] == [clip.id for clip in CLIPS]
    assert [row[1] for row in found] == ["kesedihan", "netral", "kebahagiaan", "surprise"]
    assert [row[2] for row in found] == ([2, 0, 1, 6] if "label_id" in label_file else [None] * 4)
    assert {tuple(map(str, row[3:7])) for row in found} == {
        (f"[{LONGEST}, 673]", f"[{4 * LONGEST - 1}, 18]", "float32", "float32")
    }
    for row in found:
        video = load(out / f"video_feature/{_split(row[0])}_video_features.pkl")
        mine = next(v["video_feature"] for v in video if v["video_name"] == f"{row[0]}.mp4")
        assert row[7] == pytest.approx(float(mine.sum()), rel=1e-5)


def _split(clip_id: str) -> str:
    return next(str(clip.split) for clip in CLIPS if clip.id == clip_id)


def test_values_padding_and_leading_columns(out):
    for split in ("train", "val", "test"):
        for item in load(out / f"video_feature/{split}_video_features.pkl"):
            clip_id = item["video_name"].removesuffix(".mp4")
            value, n = item["video_feature"], FRAMES[clip_id]
            source = features(ACTION_UNITS, clip_id, n)
            assert (value.shape, value.dtype) == ((LONGEST, 673), np.float32)
            assert not value[n:].any()
            assert value[:n, 0].tolist() == [0] * n
            np.testing.assert_array_equal(value[:n, 1], source.times[:, 0].astype(np.float32))
            assert value[:n, 2].tolist() == value[:n, 3].tolist() == source.valid.astype(float).tolist()
            assert value[:n, 4:].tobytes() == np.nan_to_num(source.values[:, 1:], nan=0).tobytes()


def test_names_keys_order_and_lengths(out):
    items = load(out / "audio_feature/train_audio_features.pkl")
    assert [list(i) for i in items] == [["audio_name", "audio_feature"]] * 2
    assert [i["audio_name"] for i in items] == ["clip_2_Cooking_1.wav", "clip_1_Test_2.wav"]
    lengths = json.loads((out / "audio_feature/train_audio_features.lengths.json").read_text())
    assert lengths == {"clip_2_Cooking_1.wav": 39, "clip_1_Test_2.wav": 99}
    assert items[1]["audio_feature"][98].any()
    assert not items[1]["audio_feature"][99:].any()


def test_the_column_manifest_names_every_column_and_its_engine(out):
    layout = json.loads((out / "videos_feature/columns.json").read_text())
    assert (layout["layout"], layout["source"]) == ("indomer-673-h1a", "py-feat 2.1")
    assert layout["about"].startswith("provisional")
    names = [c["name"] for c in layout["columns"]]
    assert names[:5] == ["face_id", "timestamp", "confidence", "success", "gaze_0_x"]
    # Offsets of the blocks as counted from OpenFace's own header.
    places = {"eye_lmk_x_0": 12, "eye_lmk_X_0": 124, "pose_Tx": 292, "x_0": 298, "X_0": 434}
    places |= {"AU01_r": 638, "AU01_c": 655, "AU45_c": 672}
    assert {name: names.index(name) for name in places} == places
    assert len(names) == 673
    assert layout["columns"][1]["source"] == "made by merflow: start of the row, seconds"
    assert layout["columns"][-1]["source"] == "action_units (py-feat 2.1)"


def test_blocks_are_the_columns_of_the_extractors():
    assert openface._COLUMNS["all"] == ("confidence", *OPENFACE_COLUMNS)
    assert openface._COLUMNS["with_shape"][1:] == (*OPENFACE_COLUMNS, *SHAPE_MODEL)


@pytest.mark.parametrize(
    ("preset", "width", "first", "needs_shape_model"),
    [
        ("indomer-673-h1a", 673, "face_id", False),
        ("indomer-673-h1b", 673, "frame", False),
        ("indomer-673-h2", 673, "frame", True),
        ("openface-669", 669, "gaze_0_x", False),
        ("openface-709", 709, "gaze_0_x", True),
    ],
)
def test_every_layout_has_its_width_and_says_what_it_lacks(store, tmp_path, preset, width, first, needs_shape_model):
    layout = PRESETS[preset]
    names = [*layout.leading, *layout.own]
    assert (len(names), len(set(names)), names[0]) == (width, width, first)
    assert ("pose_Rx" in names, "AU01_r" in names) == (preset != "indomer-673-h2",) * 2
    if needs_shape_model:
        with pytest.raises(RunError, match=rf"lacks 40 of the \d+ OpenFace columns of {preset}: p_scale"):
            export("indomer", store, tmp_path / "out", {"preset": preset})
        spec = replace(ACTION_UNITS, columns=ALL_BLOCKS, source="OpenFace 2.2")
        store = make_store(tmp_path / "store", specs=(GEMAPS, spec))
    lines = export("indomer", store, tmp_path / "out", {"preset": preset})
    assert f"video: layout {preset}, source {store.specs['action_units'].source}" in lines
    value = load(tmp_path / "out/video_feature/val_video_features.pkl")[0]["video_feature"]
    assert value.shape == (LONGEST, width)
    if first == "frame":
        assert value[:5, 0].tolist() == [1, 2, 3, 4, 5]


def test_a_confidence_of_the_engine_s_own_is_kept(tmp_path):
    spec = replace(ACTION_UNITS, columns=("confidence", *OPENFACE_COLUMNS), source="OpenFace 2.2")
    store = make_store(tmp_path / "store", specs=(GEMAPS, spec))
    export("indomer", store, tmp_path / "out", {})
    source = store.get("clip_1_Test_1", "action_units")
    value = load(tmp_path / "out/video_feature/val_video_features.pkl")[0]["video_feature"]
    assert value[:31, 2].tobytes() == np.nan_to_num(source.values[:, 0], nan=0).tobytes()
    columns = json.loads((tmp_path / "out/video_feature/columns.json").read_text())["columns"]
    assert columns[2] == {"name": "confidence", "source": "action_units (OpenFace 2.2)"}


def test_length_per_split(store, tmp_path):
    export("indomer", store, tmp_path / "out", {"length": "per_split"})
    found = {s: load(tmp_path / f"out/video_feature/{s}_video_features.pkl") for s in ("train", "val")}
    assert [len(found[s][0]["video_feature"]) for s in found] == [25, 31]


def test_refusals_write_nothing(store, tmp_path):
    for options, message in [
        ({"length": "x"}, "option length: expected all or per_split, got 'x'"),
        ({"preset": "x"}, "option preset: expected indomer-673-h1a, indomer-673-h1b"),
        ({"video_feature": "x"}, "no feature 'x'.*video_feature=NAME"),
        ({"video_feature": "gemaps"}, "gemaps lacks 669 of the 669 OpenFace columns .*: gaze_0_x, .*664 more"),
    ]:
        with pytest.raises(RunError, match=message):
            export("indomer", store, tmp_path / "out", options)
    assert list(tmp_path.iterdir()) == []


def test_clips_without_split(tmp_path):
    store = make_store(tmp_path / "store", [*CLIPS[:2], replace(CLIPS[2], split=None)], SPECS)
    with pytest.raises(RunError, match=r"clip clip_1_Test_1 has no split; --opt default_split=train"):
        export("indomer", store, tmp_path / "out", {})
    export("indomer", store, tmp_path / "out", {"default_split": "train"})
    assert len(load(tmp_path / "out/video_feature/train_video_features.pkl")) == 3
    assert not (tmp_path / "out/video_feature/val_video_features.pkl").exists()


def test_clips_that_lack_a_modality(tmp_path):
    lacking = [("clip_2_Cooking_1", "gemaps"), ("clip_1_Test_1", "gemaps")]
    store = make_store(tmp_path / "store", specs=SPECS, without=lacking)
    with pytest.raises(RunError, match=r"2 clips have no gemaps: clip_2_Cooking_1, clip_1_Test_1; --opt missing=omit"):
        export("indomer", store, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
    export("indomer", store, tmp_path / "out", {"missing": "omit"})
    ids = [clip_id for clip_id, _ in lacking]
    assert json.loads((tmp_path / "out/missing.json").read_text()) == {"video": [], "audio": ids}
    sizes = {p.stem: len(load(p)) for p in (tmp_path / "out").glob("[av]*_feature/*.pkl") if "videos" not in str(p)}
    assert sizes["train_audio_features"] == 1
    assert sizes["train_video_features"] == 2
    # The README's loop would stop at a clip of the JSON that a PKL lacks.
    items = json.loads((tmp_path / "out/7_Class/7_class_train.json").read_text())
    assert [item["sample_id"] for item in items] == ["clip_1_Test_2"]


def test_no_links_no_harm(store, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    export("indomer", store, tmp_path / "out", {})
    one, other = (tmp_path / "out" / f / "val_video_features.pkl" for f in ("video_feature", "videos_feature"))
    assert one.read_bytes() == other.read_bytes()
    assert not one.samefile(other)


def test_an_export_streams(tmp_path):
    """The peak stays below two splits, with the validator's reading of one, and far below all three."""
    clips = [Clip(f"c{i}", split=f"s{i % 3}") for i in range(18)]
    wide = {(c.id, "action_units"): _long(c.id) for c in clips}
    store = make_store(tmp_path / "store", clips, SPECS, replaced=wide)
    split = 6 * 400 * 673 * 4
    export("indomer", store, tmp_path / "warm", {})
    assert split < peak_of(lambda: export("indomer", store, tmp_path / "out", {})) < 2 * split


def _long(clip_id: str) -> Features:
    return features(ACTION_UNITS, clip_id, 400)


def test_a_damaged_export_is_not_published(store, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "storage.exporters.indomer.padded_pickles.leading_column", lambda _, f: np.full(len(f.valid), np.inf)
    )
    with pytest.raises(StoreError, match=r"format indomer: .*expected finite numbers, got 160 that are not, first inf"):
        export("indomer", store, tmp_path / "out", {})
    assert list(tmp_path.iterdir()) == []
