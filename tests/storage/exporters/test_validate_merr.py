"""The validator of Emotion-LLaMA's tree: one failing example for each rule, with clip, field, expected and got."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storage.exporters import export
from storage.exporters.merr.validate import validate_tree
from tests.exports import make_store, problems_of


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    export("merr", make_store(folder / "store"), folder / "out", {})
    return folder / "out"


def _npy(change: Callable[[np.ndarray], np.ndarray], slot: str = "HL-UTT"):
    def damage(out: Path) -> None:
        path = out / slot / "clip_1_Test_2.npy"
        np.save(path, change(np.load(path)))

    return damage


def _text(name: str, old: str, new: str):
    def damage(out: Path) -> None:
        text = (out / name).read_text(encoding="utf-8")
        assert old in text
        (out / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return damage


def _entry(**changed: object):
    def damage(out: Path) -> None:
        entries = json.loads((out / "MERR_coarse_grained.json").read_text())
        entries["clip_1_Test_2"].update(changed)
        (out / "MERR_coarse_grained.json").write_text(json.dumps(entries))

    return damage


def _nan(array: np.ndarray) -> np.ndarray:
    array[3] = np.nan
    return array


TXT, JSON, CSV = "MERR_coarse_grained_train.txt", "MERR_coarse_grained.json", "transcription_en_all.csv"
HL = "clip clip_1_Test_2, HL-UTT"
LINE = f"{TXT}, line 2"
FAULTS = {
    "wrong width": (_npy(lambda a: a[:768]), f"{HL}: expected shape (1024), got (768,)"),
    "2-D": (_npy(lambda a: np.tile(a, (5, 1))), f"{HL}: expected shape (1024), got (5, 1024)"),
    "float64": (_npy(lambda a: a.astype(float)), f"{HL}: expected float32, got float64"),
    "NaN": (_npy(_nan), f"{HL}: expected finite numbers, got 1 that are not, first nan"),
    "missing file": (
        lambda out: (out / "mae_340_UTT/clip_1_Test_2.npy").unlink(),
        "clip clip_1_Test_2, mae_340_UTT: expected mae_340_UTT/clip_1_Test_2.npy, got no file",
    ),
    "not an array": (
        lambda out: (out / "HL-UTT/clip_1_Test_2.npy").write_bytes(b"x"),
        f"{HL}: expected an array in clip_1_Test_2.npy, got what cannot be read",
    ),
    "unknown label": (
        _text(TXT, "neutral", "disgust"),
        f"{LINE}, clip clip_1_Test_2, emotion: expected one of neutral",
    ),
    "frame count": (
        _text(TXT, " 25 ", " 0 "),
        f"{LINE}, clip clip_1_Test_2, number of frames: expected a whole number",
    ),
    "two spaces": (_text(TXT, " 25 ", "  25 "), f"{LINE}: expected a name, a number of frames and an emotion"),
    "tabs": (_text(TXT, " 25 neutral", "\t25\tneutral"), f"{LINE}: expected a name, a number of frames"),
    "blank line": (_text(TXT, "sad\n", "sad\n\n"), f"{LINE}: expected a name, a number of frames"),
    "twice": (
        lambda out: (out / "x.txt").write_text("clip_1_Test_2 25 neutral\n"),
        "x.txt, line 1, clip clip_1_Test_2: expected each clip once, got it twice",
    ),
    "no annotation": (
        lambda out: [path.unlink() for path in out.glob("*.txt")],
        "annotation: expected a .txt, got none",
    ),
    "no fine JSON": (lambda out: (out / "MERR_fine_grained.json").unlink(), "MERR_fine_grained.json: expected a file"),
    "no entry": (_text(JSON, '"clip_1_Test_2"', '"x"'), f"{JSON}, clip clip_1_Test_2: expected an entry, got none"),
    "number": (_entry(peak_index=3), f"{JSON}, clip clip_1_Test_2, peak_index: expected text of a whole number below"),
    "late peak": (_entry(peak_index="25"), f"{JSON}, clip clip_1_Test_2, peak_index: expected text of a whole number"),
    "AU code": (_entry(AU_list=["AU5"]), f"{JSON}, clip clip_1_Test_2, AU_list: expected a list of action units"),
    "emotion": (_entry(pseu_emotion="disgust"), f"{JSON}, clip clip_1_Test_2, pseu_emotion: expected one of neutral"),
    "text": (_entry(text=None), f"{JSON}, clip clip_1_Test_2, text: expected text, got None"),
    "key": (_entry(peak=1), f"{JSON}, clip clip_1_Test_2: expected keys of AU_list, peak_index,"),
    "columns": (_text(CSV, "sentence", "text"), f"{CSV}: expected the columns name,sentence, got name,text"),
    "no row": (_text(CSV, "clip_1_Test_2", "x"), f"{CSV}, clip clip_1_Test_2: expected a sentence, got no row"),
    "nan": (_text(CSV, "Tidak?", "NULL"), f"{CSV}, clip clip_1_Test_2, sentence: expected text, got 'NULL'"),
    "no csv": (lambda out: (out / CSV).unlink(), f"{CSV}: expected a file, got none"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_validator_names_clip_field_expected_and_got(out, tmp_path, fault):
    damage, message = FAULTS[fault]
    before, problems = problems_of(validate_tree, out, tmp_path, damage)
    assert before == []
    assert [p for p in problems if message in p], problems
