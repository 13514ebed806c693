"""Folds with disjoint speakers and balanced labels, splits of them, and what official splits leak."""

from __future__ import annotations

from collections import Counter

import pytest

from storage.clip import Clip
from storage.errors import StoreError
from storage.folds import label_counts, leaks, make_folds, use_folds
from storage.manifest import Manifest, write_manifest


def manifest(tmp_path, clips=None):
    clips = clips or [
        Clip(f"{speaker:02d}_{take}", speaker=f"{speaker:02d}", group="all", label=("happy", "sad")[take % 2], text="x")
        for speaker in range(11)
        for take in range(4 + speaker % 3)
    ]
    write_manifest(tmp_path / "m.parquet", clips, tmp_path, "test")
    return tmp_path / "m.parquet"


def test_no_speaker_is_in_two_folds_and_labels_are_even(tmp_path):
    path = manifest(tmp_path)
    before = list(Manifest.open(path))
    folds = make_folds(path, "speaker", 5, 0, "speaker5")
    after = list(Manifest.open(path))
    assert [clip.id for clip in after] == [clip.id for clip in before]
    assert {clip.folds["speaker5"] for clip in after} == set("01234")
    of_speaker = {}
    for clip in after:
        assert of_speaker.setdefault(clip.speaker, clip.folds["speaker5"]) == clip.folds["speaker5"]
    counts = Counter((clip.folds["speaker5"], clip.label) for clip in after)
    assert all(abs(counts[fold, "happy"] - counts[fold, "sad"]) <= 3 for fold in "01234")
    assert [fold.clips for fold in folds] == [sum(c.folds["speaker5"] == fold for c in after) for fold in "01234"]
    assert sum(fold.groups for fold in folds) == 11


def test_the_same_seed_gives_the_same_folds_and_tables_stand_side_by_side(tmp_path):
    path = manifest(tmp_path)
    make_folds(path, "speaker", 3, 7, "a")
    make_folds(path, "speaker", 3, 7, "b")
    make_folds(path, "speaker", 3, 8, "c")
    clips = list(Manifest.open(path))
    assert all(clip.folds["a"] == clip.folds["b"] for clip in clips)
    assert any(clip.folds["a"] != clip.folds["c"] for clip in clips)


def test_what_cannot_be_divided_is_one_line(tmp_path):
    path = manifest(tmp_path)
    with pytest.raises(StoreError, match="11 speakers for 12 folds: give --folds of at most that"):
        make_folds(path, "speaker", 12, 0, "x")
    with pytest.raises(StoreError, match="1 group for 2 folds"):
        make_folds(path, "group", 2, 0, "x")
    few = manifest(tmp_path, [Clip(name, speaker=name, label_raw=name, text="x") for name in "abc"])
    with pytest.raises(
        StoreError, match=r"no label has as many clips as there are folds \(1 of 2\): give fewer --folds"
    ):
        make_folds(few, "speaker", 2, 0, "x")
    lone = manifest(tmp_path, [Clip("a", group="g", text="x"), Clip("b", group="h", text="x")])
    with pytest.raises(StoreError, match=r"no clip has a speaker, .*; clips have a group: --by group"):
        make_folds(lone, "speaker", 2, 0, "x")
    assert make_folds(lone, "group", 2, 0, "x")


def test_clips_without_a_speaker_get_no_fold(tmp_path):
    path = manifest(tmp_path, [*(Clip(f"c{i}", speaker=str(i), text="x") for i in range(4)), Clip("d", text="x")])
    make_folds(path, "speaker", 2, 0, "two")
    assert [bool(clip.folds) for clip in Manifest.open(path)] == [True] * 4 + [False]
    assert use_folds(path, "two", "0", None) == {"test": 2, "train": 2, "": 1}


def test_splits_of_folds(tmp_path):
    path = manifest(tmp_path)
    make_folds(path, "speaker", 3, 0, "speaker3")
    counts = use_folds(path, "speaker3", "2", "1")
    clips = list(Manifest.open(path))
    expected = {"2": "test", "1": "val", "0": "train"}
    assert all(clip.split == expected[clip.folds["speaker3"]] for clip in clips)
    assert counts == Counter(clip.split for clip in clips)
    (line,) = leaks(Manifest.open(path))  # of the speakers none; all clips are of one group
    assert line.startswith("1 of 1 group in several splits: all (")
    with pytest.raises(StoreError, match="no table of folds 'speaker9'; tables: speaker3"):
        use_folds(path, "speaker9", "0", None)
    with pytest.raises(StoreError, match="speaker3 has no fold 5; folds: 0, 1, 2"):
        use_folds(path, "speaker3", "5", None)


def test_leaks_of_official_splits(tmp_path):
    rows = [("a", "02", "v1", "val"), ("b", "02", "v2", "test"), ("c", "13", "v3", "train"), ("d", None, "v3", "train")]
    clips = [Clip(name, speaker=s, group=g, split=split, text="x") for name, s, g, split in rows]
    assert leaks(Manifest.open(manifest(tmp_path, clips))) == ["1 of 2 speakers in several splits: 02 (val, test)"]


def test_labels_are_counted(tmp_path):
    clips = [
        Clip("a", label_raw="hap", label="happy"),
        Clip("b", label_raw="hap", label="happy"),
        Clip("c", label_raw="x"),
    ]
    assert label_counts(Manifest.open(manifest(tmp_path, clips))) == {("hap", "happy"): 2, ("x", None): 1}
