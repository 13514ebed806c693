"""MERTools' trees: its readers re-enacted, its labels on old NumPy, its face crops, and what is refused."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.errors import RunError
from extractors.videomae import row_times
from storage.clip import Clip
from storage.exporters import export
from storage.exporters._shared.arrays import window_order
from storage.exporters.mertools.validate import prefix_problems
from storage.records import Features
from tests.consumers import Array, labels_of, mapped, read_2023, read_later
from tests.exports import (
    CLIPS,
    FRAMES,
    HUBERT,
    MAE,
    VIDEOMAE,
    features,
    make_store,
    peak_of,
    wide,
)

FOLDERS = {"hubert": "chinese-hubert-large-", "gemaps": "GeMAPSv01b_", "action_units": "action_units-", "mae": "mae-"}
ASKED = {"features": ",".join([*FOLDERS, "videomae"])}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("mertools") / "store")


@pytest.fixture(scope="module")
def out(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("mertools") / "out"
    export("mertools", store, path, ASKED)
    return path


def test_utterance_and_frame_trees_read_as_they_were_stored(store, out):
    for clip in CLIPS:
        for feature, stem in FOLDERS.items():
            stored = store.get(clip.id, feature)
            mean = stored.values[stored.valid].astype(np.float64).mean(axis=0).astype(np.float32)
            utterance = np.load(out / f"features/{stem}UTT/{clip.id}.npy")
            frames = np.load(out / f"features/{stem}FRA/{clip.id}.npy")
            assert (utterance.dtype, frames.dtype) == (np.float32, np.float32)
            assert (utterance.shape, frames.shape) == (mean.shape, stored.values.shape)
            assert utterance.tobytes() == mean.tobytes()
            assert frames.tobytes() == np.nan_to_num(stored.values, nan=0).tobytes()
            assert read_later(out / f"features/{stem}UTT/{clip.id}.npy").shape == (1, len(mean))
            assert read_later(out / f"features/{stem}FRA/{clip.id}.npy").shape == frames.shape
            assert read_2023(out / f"features/{stem}UTT", clip.id).shape == mean.shape
    names = {path.name for path in (out / "features").iterdir()}
    assert "videomae-UTT" in names
    assert "videomae-FRA" not in names
    assert all(re.search(r"[-_](UTT|FRA)$", name) for name in names)


def test_one_row_reads_the_same_with_and_without_an_axis_for_it(out, tmp_path):
    path = out / f"features/videomae-UTT/{CLIPS[0].id}.npy"
    np.save(tmp_path / "a.npy", np.load(path)[None])
    assert read_later(path).tobytes() == read_later(tmp_path / "a.npy").tobytes()


def test_the_three_ways_to_align(out):
    """utt: means. frm_align: to the text's length. frm_unalign: to the longest of the modality."""
    trees = {k: out / f"features/{stem}FRA" for k, stem in (("audio", "chinese-hubert-large-"), ("video", "mae-"))}
    found = {k: [read_later(tree / f"{clip.id}.npy") for clip in CLIPS] for k, tree in trees.items()}
    utterance = [read_later(out / f"features/mae-UTT/{clip.id}.npy") for clip in CLIPS]
    for rows, mean in zip(found["video"], utterance, strict=True):
        np.testing.assert_allclose(rows.mean(axis=0), mean[0], rtol=1e-5)
    # To the shorter of the two as if it were the text: pooled, with zeros diluting the first step.
    for audio, frames in zip(found["audio"], found["video"], strict=True):
        pooled = mapped(audio, len(frames))
        lacking = len(frames) * math.ceil(len(audio) / len(frames)) - len(audio)
        assert pooled.shape == (len(frames), 1024)
        assert lacking == 1
        np.testing.assert_allclose(pooled[0], audio[0] / 2, rtol=1e-6)
        np.testing.assert_allclose(pooled[1], audio[1:3].mean(axis=0), rtol=1e-6)
    longest = max(len(rows) for rows in found["video"])
    for rows in found["video"]:
        padded = mapped(rows, longest)
        assert not padded[: longest - len(rows)].any()
        np.testing.assert_array_equal(padded[longest - len(rows) :], rows)
    assert mapped(np.arange(1, 6, dtype=np.float32)[:, None], 2).ravel().tolist() == [1.0, 4.0]


OLD = """
import glob, json, os, sys
root = sys.argv[1]
labels = numpy.load(root + "/label.npz", allow_pickle=True)
corpora = {name: labels[name].tolist() for name in labels.files}
kinds = sorted({type(v).__name__ for c in corpora.values() for label in c.values() for v in label.values()})
shapes = {}
for folder in sorted(os.listdir(root + "/features")):
    for corpus in corpora.values():
        for name in corpus:
            value = numpy.load(root + "/features/" + folder + "/" + name + ".npy").squeeze()
            shapes.setdefault(folder, []).append([value.ndim, value.shape[-1], str(value.dtype)])
print(json.dumps([corpora, kinds, shapes]))
"""


def test_old_numpy_reads_labels_and_features(out, numpy124):
    corpora, kinds, shapes = json.loads(numpy124(OLD, out))
    assert corpora == {
        "train_corpus": {
            "clip_2_Cooking_1": {"emo": "sad", "val": -1.5},
            "clip_1_Test_2": {"emo": "neutral", "val": 0.25},
        },
        "val_corpus": {"clip_1_Test_1": {"emo": "happy", "val": 2.0}},
        "test_corpus": {"clip_3_News_1": {"emo": "surprise", "val": 1.0}},
    }
    assert list(corpora["train_corpus"]) == ["clip_2_Cooking_1", "clip_1_Test_2"]
    assert kinds == ["float", "str"]
    assert shapes["chinese-hubert-large-UTT"] == [[1, 1024, "float32"]] * 4
    assert shapes["GeMAPSv01b_FRA"] == [[2, 18, "float32"]] * 4


def test_numbers_for_classes_and_no_valence(tmp_path):
    clips = [replace(clip, dimensions={}, split={"test": "test3"}.get(str(clip.split), clip.split)) for clip in CLIPS]
    store = make_store(tmp_path / "store", clips, [VIDEOMAE])
    classes = "surprise,happy,sad,neutral"
    export("mertools", store, tmp_path / "out", {"emo": "index", "classes": classes, "splits": "val:test1"})
    found = labels_of(tmp_path / "out/label.npz")
    assert list(found) == ["train_corpus", "test1_corpus", "test3_corpus"]
    assert found["train_corpus"]["clip_1_Test_2"] == {"emo": 3, "val": -10.0}
    assert found["test3_corpus"]["clip_3_News_1"] == {"emo": 0, "val": -10.0}
    assert json.loads((tmp_path / "out/classes.json").read_text()) == {"emo": classes.split(",")}
    export("mertools", store, tmp_path / "zero", {"emo": "zero", "labels_file": "label-6way.npz"})
    assert labels_of(tmp_path / "zero/label-6way.npz")["val_corpus"] == {"clip_1_Test_1": {"emo": 0, "val": -10.0}}


def test_a_corpus_without_splits_is_whole_and_an_unknown_split_is_asked_about(tmp_path):
    store = make_store(tmp_path / "store", [replace(clip, split=None) for clip in CLIPS], [VIDEOMAE])
    export("mertools", store, tmp_path / "out", {})
    assert list(labels_of(tmp_path / "out/label.npz")) == ["whole_corpus"]
    export("mertools", store, tmp_path / "two", {"default_split": "dev"})
    assert list(labels_of(tmp_path / "two/label.npz")) == ["val_corpus"]
    store = make_store(tmp_path / "other", [replace(clip, split="fold1") for clip in CLIPS], [VIDEOMAE])
    with pytest.raises(RunError, match=r"split 'fold1': train, val, test or test1\? --opt splits=fold1:test1"):
        export("mertools", store, tmp_path / "no", {})


def test_labels_outside_the_words_are_refused_or_left_out_of_the_npz(tmp_path):
    clips = [
        replace(CLIPS[0], label="contempt", label_raw="contempt"),
        replace(CLIPS[1], label=None, label_raw=None),
        CLIPS[2],
    ]
    store = make_store(tmp_path / "store", clips, [VIDEOMAE])
    expected = (
        r"2 clips, label: expected one of neutral, .*; got clip_2_Cooking_1 \('contempt'\), clip_1_Test_2 \(no label\)"
    )
    with pytest.raises(RunError, match=expected):
        export("mertools", store, tmp_path / "out", {})
    with pytest.raises(RunError, match="train_corpus: no clip is left, and MERTools' loader stops at an empty corpus"):
        export("mertools", store, tmp_path / "out", {"unlabelled": "omit"})
    with pytest.raises(RunError, match=r"option unlabelled: expected one of neutral, .*; got 'bored'"):
        export("mertools", store, tmp_path / "out", {"unlabelled": "bored"})
    export("mertools", store, tmp_path / "given", {"unlabelled": "train:neutral"})
    assert labels_of(tmp_path / "given/label.npz")["train_corpus"] == {
        "clip_2_Cooking_1": {"emo": "neutral", "val": -1.5},
        "clip_1_Test_2": {"emo": "neutral", "val": 0.25},
    }
    export("mertools", store, tmp_path / "mapped", {"unlabelled": "train:sad", "labels": "contempt:angry"})
    assert labels_of(tmp_path / "mapped/label.npz")["train_corpus"]["clip_2_Cooking_1"]["emo"] == "angry"
    with pytest.raises(
        RunError, match=r"option labels: expected LABEL:WORD with a word of neutral, .*; got contempt:mad"
    ):
        export("mertools", store, tmp_path / "out", {"labels": "contempt:mad"})
    lines = export("mertools", store, tmp_path / "out", {"unlabelled": "omit", "splits": "train:val"})
    assert labels_of(tmp_path / "out/label.npz") == {"val_corpus": {"clip_1_Test_1": {"emo": "happy", "val": 2.0}}}
    assert "label: 2 clips have none: clip_2_Cooking_1, clip_1_Test_2" in lines
    assert len(list((tmp_path / "out/features/videomae-UTT").iterdir())) == 3
    export("mertools", store, tmp_path / "none", {"labels_file": "none"})
    assert not list((tmp_path / "none").glob("*.npz"))


def test_transcripts_go_to_the_column_of_their_language(tmp_path):
    def rows(clips, name):
        export("mertools", make_store(tmp_path / name, clips, [VIDEOMAE]), tmp_path / f"{name}-out", {})
        path = tmp_path / f"{name}-out/transcription.csv"
        return list(csv.reader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else None

    mixed = [
        replace(CLIPS[0], language="zh-CN", text="a, b"),
        replace(CLIPS[1], language="en"),
        replace(CLIPS[2], text=None),
    ]
    assert rows(mixed, "mixed") == [
        ["name", "chinese", "english"],
        ["clip_2_Cooking_1", "a, b", ""],
        ["clip_1_Test_2", "", "Tidak?"],
        ["clip_1_Test_1", "", ""],
    ]
    unknown = rows(CLIPS[:1], "unknown")  # Indonesian: readers of either column find it
    assert unknown == [["name", "chinese", "english"], ["clip_2_Cooking_1", "dua, «tiga»", "dua, «tiga»"]]
    words = [replace(CLIPS[0], text="None", language="en"), replace(CLIPS[1], text="nan", language="zh")]
    assert rows(words, "words")[1:] == [["clip_2_Cooking_1", "", "None "], ["clip_1_Test_2", "nan ", ""]]
    assert rows([replace(CLIPS[0], text=None)], "none") is None


def test_clips_that_lack_a_feature_are_refused_left_out_or_zeros(tmp_path):
    rows = FRAMES[CLIPS[1].id]
    blank = Features(
        np.full((rows, 1024), np.nan, np.float32), features(MAE, CLIPS[1].id, rows).times, np.zeros(rows, np.bool_)
    )
    store = make_store(
        tmp_path / "store",
        specs=[MAE, HUBERT],
        without=[(CLIPS[0].id, "hubert")],
        replaced={(CLIPS[1].id, "mae"): blank},
    )
    with pytest.raises(RunError, match=r"1 clip has no hubert: clip_2_Cooking_1; --opt missing=omit"):
        export("mertools", store, tmp_path / "out", {})
    with pytest.raises(
        RunError, match=r"clip clip_1_Test_2, feature mae: expected a valid row, got none.*missing=zeros"
    ):
        export("mertools", store, tmp_path / "out", {"features": "mae"})
    export("mertools", store, tmp_path / "out", {"missing": "omit", "splits": "train:val"})
    lacking = {"hubert": ["clip_2_Cooking_1"], "mae": ["clip_1_Test_2"]}
    assert json.loads((tmp_path / "out/missing.json").read_text()) == lacking
    assert {p.stem for p in (tmp_path / "out/features").glob("*/*.npy")} == {"clip_1_Test_1", "clip_3_News_1"}
    assert list(labels_of(tmp_path / "out/label.npz")["val_corpus"]) == ["clip_1_Test_1"]
    export("mertools", store, tmp_path / "zeros", {"missing": "zeros"})
    assert json.loads((tmp_path / "zeros/missing.json").read_text()) == lacking
    stem = tmp_path / "zeros/features"
    assert np.load(stem / "chinese-hubert-large-UTT/clip_2_Cooking_1.npy").tolist() == [0.0] * 1024
    assert np.load(stem / "chinese-hubert-large-FRA/clip_2_Cooking_1.npy").tolist() == [[0.0] * 1024]
    assert np.load(stem / "mae-FRA/clip_1_Test_2.npy").shape == (1, 1024)
    assert len(labels_of(tmp_path / "zeros/label.npz")["train_corpus"]) == 2


def test_a_missing_number_is_an_error_or_told_never_minus_ten_unasked(tmp_path):
    store = make_store(tmp_path / "store", [replace(CLIPS[0], dimensions={}), *CLIPS[1:]], [VIDEOMAE])
    with pytest.raises(RunError, match=r"option val: no clip has the dimension 'valance'; dimensions: valence"):
        export("mertools", store, tmp_path / "out", {"val": "valance"})
    with pytest.raises(
        RunError, match=r"1 clip, label: expected one of .* and a number of valence; got clip_2_Cooking_1"
    ):
        export("mertools", store, tmp_path / "out", {})
    export("mertools", store, tmp_path / "out", {"unlabelled": "omit"})
    assert "clip_2_Cooking_1" not in labels_of(tmp_path / "out/label.npz")["train_corpus"]
    none = make_store(tmp_path / "none", [replace(clip, dimensions={}) for clip in CLIPS], [VIDEOMAE])
    lines = export("mertools", none, tmp_path / "none-out", {})
    assert "label.npz: no clip has the dimension valence, so val is -10 throughout" in lines


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": "frm"}, "option levels: expected utt, fra or both, got 'frm'"),
        ({"names": "x:y"}, "option names: 'x' is not one of the exported features: action_units, faces"),
        ({"names": "mae:same,videomae:same"}, "features mae and videomae: both called same; --opt names=videomae:NAME"),
        ({"names": "mae:a/b"}, "feature mae: 'a/b' cannot be the name of a folder"),
        ({"features": "videomae", "levels": "fra"}, "feature videomae: one row per clip, so no FRA"),
        ({"labels_file": "a.npy"}, r"option labels_file: expected a file name that ends in \.npz"),
        ({"classes": "sad"}, "option classes: emo=word has the words neutral, angry"),
        ({"faces": "true", "faces_feature": "gemaps"}, "feature gemaps: expected the columns x1, y1, x2, y2, got g_0"),
        ({"faces": "true"}, "option faces: needs the clips' media"),
    ],
)
def test_options_that_mean_nothing_are_refused(store, tmp_path, options, message):
    with pytest.raises(RunError, match=message):
        export("mertools", store, tmp_path / "out", options)
    assert list(tmp_path.iterdir()) == []


def test_names_follow_mertools_own_spelling(store, tmp_path):
    options = {"features": "mae,gemaps", "names": "mae:emonet,gemaps:eGeMAPS", "levels": "utt"}
    export("mertools", store, tmp_path / "out", options)
    assert {p.name for p in (tmp_path / "out/features").iterdir()} == {"emonet_UTT", "eGeMAPS_UTT"}


def test_a_single_column_is_refused_for_time_would_become_columns(tmp_path):
    store = make_store(tmp_path / "store", specs=[replace(MAE, columns=wide("m", 1))])
    assert read_later(_saved(tmp_path, np.ones((7, 1)))).shape == (1, 7)
    with pytest.raises(RunError, match="feature mae: MERTools takes the rows of a single column for columns"):
        export("mertools", store, tmp_path / "out", {})


def _saved(folder: Path, value: Array) -> Path:
    np.save(folder / "value.npy", value)
    return folder / "value.npy"


def test_names_that_another_name_begins_with(tmp_path):
    clips = [replace(clip, id=name) for clip, name in zip(CLIPS, ("sample_1", "sample_2", "sample_10"), strict=False)]
    store = make_store(tmp_path / "store", clips, [VIDEOMAE])
    said = "clip sample_1, name: expected one that no other begins with, got sample_10"
    assert list(prefix_problems(clip.id for clip in clips)) == [said]
    assert list(prefix_problems(["b", "a", "ab", "abc", "ba"])) == [
        *("clip a, name: expected one that no other begins with, got ab",),
        *("clip ab, name: expected one that no other begins with, got abc",),
        *("clip b, name: expected one that no other begins with, got ba",),
    ]
    lines = export("mertools", store, tmp_path / "out", {})
    assert f"note: MER2023's loader (not later ones) stops at {said}" in lines
    with pytest.raises(ValueError, match="too many values"):
        read_2023(tmp_path / "out/features/videomae-UTT", "sample_1")
    with pytest.raises(RunError, match=re.escape(said)):
        export("mertools", store, tmp_path / "two", {"reader": "mer2023"})


def test_an_export_holds_one_clip_at_a_time(tmp_path):
    clips = [Clip(f"c{i}", label="sad") for i in range(12)]
    long = {(clip.id, spec.name): features(spec, clip.id, 500) for clip in clips for spec in (HUBERT, MAE)}
    store = make_store(tmp_path / "store", clips, (HUBERT, MAE), replaced=long)
    clip_bytes = sum(long["c0", name].values.nbytes for name in ("hubert", "mae"))
    export("mertools", store, tmp_path / "warm", {})
    assert peak_of(lambda: export("mertools", store, tmp_path / "out", {})) < 2 * clip_bytes


@pytest.mark.parametrize("picked", [16, 18, 19, 24, 31, 40])
def test_rows_of_two_segments_come_in_the_scripts_order(picked):
    """All rows of the first segment, then all of the second, however they overlap in time."""
    stamps = np.stack([np.arange(picked) * 0.16, np.arange(picked) * 0.16 + 0.04], axis=1)
    places = [*range(16), *range(picked - 16, picked)]
    times = np.concatenate([row_times(stamps[places[:16]]), row_times(stamps[places[16:]])])
    order = np.argsort(times[:, 0], kind="stable")
    stored = np.arange(16)[order]
    assert stored[window_order(times[order])].tolist() == list(range(16))
