"""The validator of MERTools' trees: one failing example for each rule, with clip, field, expected and got."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storage.exporters import export
from storage.exporters._shared.legacy_pickle import dump_npz
from storage.exporters.mertools.validate import validate_tree
from tests.consumers import Array, labels_of
from tests.exports import make_store, problems_of


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    export("mertools", make_store(folder / "store"), folder / "out", {"features": "mae,hubert"})
    return folder / "out"


def _npy(change: Callable[[Array], Array], folder: str = "mae-UTT"):
    def damage(out: Path) -> None:
        path = out / "features" / folder / "clip_1_Test_2.npy"
        np.save(path, change(np.load(path)))

    return damage


def _label(**changed: object):
    def damage(out: Path) -> None:
        labels = labels_of(out / "label.npz")
        labels["train_corpus"]["clip_1_Test_2"].update(changed)
        with (out / "label.npz").open("wb") as file:
            dump_npz(labels, file)

    return damage


def _nan(array: Array) -> Array:
    array[0] = np.nan
    return array


def _renamed(old: str, new: str):
    return lambda out: (out / "features" / old).rename(out / "features" / new)


def _faces(value: Array, name: str = "a/a.npy"):
    def damage(out: Path) -> None:
        path = out / "openface_face" / name
        path.parent.mkdir(parents=True)
        np.save(path, value)

    return damage


def _corpora(change: Callable[[dict], None]):
    def damage(out: Path) -> None:
        labels = labels_of(out / "label.npz")
        change(labels)
        with (out / "label.npz").open("wb") as file:
            dump_npz(labels, file)

    return damage


UTT, FRA = "clip clip_1_Test_2, mae-UTT", "clip clip_1_Test_2, mae-FRA"
LABEL = "label.npz, train_corpus, clip clip_1_Test_2"
FAULTS = {
    "wrong width": (_npy(lambda a: a[:768]), f"{UTT}: expected shape (1024), got (768,)"),
    "2-D": (_npy(lambda a: a[None]), f"{UTT}: expected shape (1024), got (1, 1024)"),
    "1-D": (_npy(lambda a: a[0], "mae-FRA"), f"{FRA}: expected shape (any, 1024), got (1024,)"),
    "no rows": (_npy(lambda a: a[:0], "mae-FRA"), f"{FRA}: expected at least one row and column, got (0, 1024)"),
    "float64": (_npy(lambda a: a.astype(float)), f"{UTT}: expected float32, got float64"),
    "NaN": (_npy(_nan), f"{UTT}: expected finite numbers, got 1 that are not, first nan"),
    "missing file": (
        lambda out: (out / "features/mae-UTT/clip_1_Test_2.npy").unlink(),
        f"{UTT}: expected mae-UTT/clip_1_Test_2.npy, got no file",
    ),
    "suffix": (_renamed("mae-FRA", "mae-FRM"), "features/mae-FRM: expected a name that ends in -UTT"),
    "unknown label": (_label(emo="doubt"), f"{LABEL}, emo: expected one of neutral, angry, happy"),
    "no label": (_label(emo=None), f"{LABEL}, emo: expected a word or a whole number, plain, got None"),
    "both": (_label(emo=1), "label.npz, train_corpus, emo: expected all words or all numbers, got both"),
    "valence": (_label(val=float("nan")), f"{LABEL}, val: expected a plain finite number, got nan"),
    "keys": (_label(extra=1), f"{LABEL}: expected emo and val, got"),
    "corpus": (_corpora(lambda c: c.update(dev_corpus={})), "label.npz, dev_corpus: expected train_corpus, val_corpus"),
    "a list": (
        _corpora(lambda c: c.update(val_corpus=[1])),
        "label.npz, val_corpus: expected a dict of clips, got list",
    ),
    "a face in floats": (
        _faces(np.zeros((2, 112, 112, 3))),
        "clip a, openface_face: expected uint8, got float64",
    ),
    "a small face": (
        _faces(np.zeros((2, 96, 96, 3), np.uint8)),
        "clip a, openface_face: expected shape (any, 112, 112, 3), got (2, 96, 96, 3)",
    ),
    "no face": (
        _faces(np.zeros((0, 112, 112, 3), np.uint8)),
        "clip a, openface_face: expected at least one face, got none",
    ),
    "faces elsewhere": (
        _faces(np.zeros((1, 112, 112, 3), np.uint8), "a/b.npy"),
        "clip a, openface_face: expected a/a.npy, got no file",
    ),
    "transcript": (
        lambda out: (out / "transcription.csv").write_text("name,text\n"),
        "transcription.csv: expected columns name,chinese,english, got name,text",
    ),
    "transcript twice": (
        lambda out: (out / "transcription.csv").write_text("name,chinese,english\na,b,\na,c,\n"),
        "transcription.csv, clip a: expected one row, got two",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_validator_names_clip_field_expected_and_got(out, tmp_path, fault):
    damage, message = FAULTS[fault]
    before, problems = problems_of(validate_tree, out, tmp_path, damage)
    assert before == []
    assert [p for p in problems if message in p], problems
