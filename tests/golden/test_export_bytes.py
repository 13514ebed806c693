"""Every byte of every export format stays as it is: checksums of exports of stores with fixed arrays.

`export_checksums.json` was made by the code of commit e20cc66. A change of bytes is a change of format: then
`python -m tests.golden.test_export_bytes` writes the file anew, and CHANGELOG and docs say what changed for readers.
Of the aligned HDF5 export the last bit of two numbers changed when means were no longer BLAS's, which depends on
threads and processor. `provenance.json` is left out, for it names versions; where provenance lies inside a file, they
are held fixed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import pytest

from storage.exporters import EXPORTERS, export
from storage.exporters._shared import provenance
from tests.exports import contents
from tests.exports import make_store as make_wide_store
from tests.storage.toy import make_store as make_toy_store

FILE = Path(__file__).with_name("export_checksums.json")
TOKENS = ("gemaps", "action_units", "tokens", "voice")
STORES = {
    "wide": make_wide_store,
    "toy": make_toy_store,
    "gaps": lambda folder: make_toy_store(folder, without=[("b1", "gemaps"), ("c2", "voice"), ("d1", "words")]),
    "tokens": lambda folder: make_toy_store(folder, names=TOKENS),
}
SENTIMENT = {"labels": "negatif:-1,netral:0,positif:1", "label": "text"}
CASES: list[tuple[str, str, dict[str, str]]] = [
    ("csd", "wide", {"dimension": "valence"}),
    ("csd", "gaps", {"missing": "omit", "unlabelled": "omit", "creator": "me", "contact": "you", **SENTIMENT}),
    ("emobox", "wide", {}),
    (
        "emobox",
        "toy",
        {"by": "group", "folds": "3", "features": "gemaps,voice", "labels": "exc:Joy", "missing": "omit"},
    ),
    (
        "emobox",
        "toy",
        {"by": "split", "splits": "train:train,val:test,test:none", "sample_rate": "8000", "dataset": "d"},
    ),
    ("hdf5", "wide", {}),
    (
        "hdf5",
        "gaps",
        {"like": "gemaps", "method": "mean", "length": "20", "side": "start", "keep": "last", "fill": "0"},
    ),
    ("hdf5", "toy", {"rate": "10", "features": "gemaps,words", "method": "nearest"}),
    ("indomer", "wide", {}),
    ("indomer", "wide", {"preset": "openface-669", "length": "per_split"}),
    ("lance", "gaps", {"missing": "omit"}),
    ("merr", "wide", {"unlabelled": "omit", "mix_splits": "true"}),
    (
        "merr",
        "wide",
        {"emotion": "pseudo", "unlabelled": "omit", "rule": "mer_factory", "annotation": "a.txt", "mix_splits": "true"},
    ),
    ("mertools", "wide", {}),
    (
        "mertools",
        "toy",
        {
            "features": "voice,gemaps",
            "classes": "sad,happy",
            "val": "arousal",
            "levels": "utt",
            "emo": "index",
            "unlabelled": "omit",
            "missing": "omit",
        },
    ),
    ("mertools", "gaps", {"missing": "zeros", "emo": "zero", "names": "gemaps:eGeMAPS", "splits": "test:test1"}),
    ("mmsa", "wide", {"dimension": "valence"}),
    ("mmsa", "toy", {"align": "10", "method": "nearest", "length": "mean+3std", **SENTIMENT}),
    ("mmsa", "tokens", {"dimension": "sentiment", "text_feature": "tokens", "align": "gemaps"}),
    ("openface_csv", "toy", {}),
    ("parquet", "wide", {}),
    ("parquet", "gaps", {"layout": "list", "missing": "omit"}),
    ("webdataset", "wide", {}),
    ("webdataset", "gaps", {"maxcount": "2", "missing": "omit", "features": "gemaps,voice"}),
]


def checksums(folder: Path, number: int) -> dict[str, str]:
    """SHA-256 of each file of one export, by name."""
    name, kind, options = CASES[number]
    store = STORES[kind](folder / "store")
    with (
        mock.patch.object(provenance, "version", lambda package: f"{package} 1.0"),
        mock.patch.object(provenance.platform, "python_version", return_value="3.11.0"),
    ):
        export(name, store, folder / "out", options)
    files = contents(folder / "out")
    return {n: hashlib.sha256(data).hexdigest() for n, data in files.items() if n != "provenance.json"}


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{n}-{s}-{'-'.join(o)}" for n, s, o in CASES])
def test_an_export_has_the_bytes_it_always_had(number, tmp_path):
    expected = json.loads(FILE.read_text(encoding="utf-8"))[number]
    assert expected["case"] == list(CASES[number])
    assert checksums(tmp_path, number) == expected["sha256"]


@pytest.mark.slow
def test_bytes_do_not_depend_on_pythons_hash_seed(tmp_path):
    """The order of a set differs from process to process; none may reach a file."""
    code = "import json, sys, tests.golden.test_export_bytes as t; t.write(t.Path(sys.argv[1]))"
    for seed in ("1", "2"):
        written = tmp_path / f"{seed}.json"
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, written], check=True, env=environment, cwd=FILE.parents[2])
        assert written.read_bytes() == FILE.read_bytes(), f"PYTHONHASHSEED={seed}"


def test_every_format_is_held_fixed():
    assert {name for name, _, _ in CASES} == set(EXPORTERS.names())


def write(path: Path = FILE) -> None:
    """Write the checksums of what the code gives now."""
    found = []
    for number, case in enumerate(CASES):
        with tempfile.TemporaryDirectory() as folder:
            found.append({"case": list(case), "sha256": checksums(Path(folder), number)})
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
