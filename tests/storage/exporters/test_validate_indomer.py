"""The validator of IndoMER's PKLs and label files: one failing example for each rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storage.exporters import export
from storage.exporters._shared.legacy_pickle import dump, load
from storage.exporters.indomer.validate import validate_tree
from tests.exports import make_store, problems_of


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    export("indomer", make_store(folder / "store"), folder / "out", {})
    return folder / "out"


def _pkl(change: Callable[[list[dict]], None], name: str = "video_feature/train_video_features.pkl"):
    def damage(out: Path) -> None:
        items = load(out / name)
        change(items)
        with (out / name).open("wb") as file:
            dump(items, file)
        if name.startswith("video_feature"):
            (out / name.replace("video_feature/", "videos_feature/")).write_bytes((out / name).read_bytes())

    return damage


def _value(change: Callable[[np.ndarray], np.ndarray]):
    def of_second(items: list[dict]) -> None:
        items[1]["video_feature"] = change(items[1]["video_feature"])

    return _pkl(of_second)


def _set(value: float, *place: int):
    def change(array: np.ndarray) -> np.ndarray:
        array[place] = value
        return array

    return _value(change)


CLIP = "train_video_features.pkl, clip clip_1_Test_2.mp4, video_feature"
FAULTS = {
    "wrong width": (_value(lambda a: a[:, :672].copy()), f"{CLIP}: expected shape (40, 673), got (40, 672)"),
    "another length": (_value(lambda a: a[:39].copy()), f"{CLIP}: expected shape (40, 673), got (39, 673)"),
    "float64": (_value(lambda a: a.astype(float)), f"{CLIP}: expected float32, got float64"),
    "1-D": (_value(lambda a: a[0].copy()), f"{CLIP}: expected shape (40, 673), got (673,)"),
    "a list": (_value(lambda a: a.tolist()), f"{CLIP}: expected an array, got list"),
    "NaN": (_set(np.nan, 3, 9), f"{CLIP}: expected finite numbers, got 1 that are not, first nan"),
    "padding": (_set(1, 39, 9), f"{CLIP}: expected zeros after its 25 rows, got 1 rows of numbers"),
    "AU_c": (_set(0.5, 3, 655), f"{CLIP}, column AU01_c: expected 0 or 1, got 0.5"),
    "AU_r": (_set(5.5, 3, 638), f"{CLIP}, column AU01_r: expected 0..5, got 5.5"),
    "keys": (
        _pkl(lambda items: items[0].update(length=3)),
        "train_video_features.pkl, item 0: expected a dict of ['video_name', 'video_feature'], got ['video_name',",
    ),
    "suffix": (
        _pkl(lambda items: items[0].update(video_name="clip_2_Cooking_1.avi")),
        "clip clip_2_Cooking_1.avi, video_name: expected a name that ends in .mp4, got clip_2_Cooking_1.avi",
    ),
    "missing clip": (
        _pkl(lambda items: items.pop(0)),
        "7_class_train.json, clip clip_2_Cooking_1, video: expected clip_2_Cooking_1.mp4 in the video PKL, got none",
    ),
    "missing file": (
        lambda out: (out / "video_feature/val_video_features.lengths.json").unlink(),
        "val_video_features.pkl: expected it with columns.json and its lengths.json, got",
    ),
    "missing folder": (
        lambda out: (out / "audio_feature").rename(out / "audio"),
        "audio_feature: expected PKLs, got none",
    ),
    "other spelling": (
        lambda out: (out / "videos_feature/val_video_features.pkl").unlink(),
        "videos_feature/val_video_features.pkl: expected the same as in video_feature, got no file",
    ),
    "unknown label": (
        lambda out: _replace(out / "7_Class/7_class_val.json", b'"kebahagiaan"', b'"senang"'),
        "7_class_val.json, clip clip_1_Test_1, label: expected netral, kebahagiaan, kesedihan",
    ),
    "keys of the JSON": (
        lambda out: _replace(out / "7_Class/7_class_val.json", b'"sentiment_label"', b'"sentiment"'),
        "7_class_val.json, clip clip_1_Test_1: expected the keys sample_id, text, sentiment_label, label, video, audio",
    ),
    "not a pickle": (
        lambda out: (out / "audio_feature/val_audio_features.pkl").write_bytes(b"x"),
        "val_audio_features.pkl: expected it with columns.json and its lengths.json, got",
    ),
}


def _replace(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_validator_names_clip_field_expected_and_got(out, tmp_path, fault):
    damage, message = FAULTS[fault]
    before, problems = problems_of(validate_tree, out, tmp_path, damage)
    assert before == []
    assert [p for p in problems if message in p], problems
