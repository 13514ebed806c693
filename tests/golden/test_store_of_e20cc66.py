"""A store made by the code of commit e20cc66 opens, reads, verifies and exports as it did then.

`store_e20cc66.tar.xz` holds five generated clips (one without audio, one without video, one that is no media) with
eight features; networks have random weights. `store_e20cc66.json` holds what that code read from it: every outcome,
checksums of every array, and of every file of its exports. Neither is ever written anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from flows.status import read_status
from storage.exporters import export
from storage.exporters._shared import provenance
from storage.store.store import FeatureStore, open_store
from storage.store.verify import problems
from tests.exports import contents

HERE = Path(__file__).parent
EXPORTS: dict[str, dict[str, str]] = {
    "csd": {"missing": "omit"},
    "emobox": {"features": "gemaps,hubert", "missing": "omit", "splits": "train:train,val:valid,test:test"},
    "hdf5": {},
    "indomer": {"missing": "omit"},
    "mertools": {"features": "gemaps,hubert,faces", "missing": "omit", "unlabelled": "omit", "splits": "test:train"},
    "mmsa": {
        "missing": "omit",
        "labels": "happy:1,sad:-1,netral:0,xyz:0",
        "splits": "train:train,train:valid,val:test,test:none",
    },
    "parquet": {"missing": "omit"},
    "webdataset": {"missing": "omit", "features": "gemaps,faces,quality"},
}


def unpacked(folder: Path) -> FeatureStore:
    with tarfile.open(HERE / "store_e20cc66.tar.xz") as tar:
        tar.extractall(folder / "store", filter="data")
    return open_store(folder / "store")


def held(store: FeatureStore) -> dict[str, Any]:
    """Every clip, spec, outcome and array of a store, as plain JSON types."""
    arrays = {}
    for name in store.specs:
        for clip_id in store.clip_ids(name):
            features = store.get(clip_id, name)
            digest = hashlib.sha256(features.values.tobytes() + features.times.tobytes() + features.valid.tobytes())
            arrays[f"{name}/{clip_id}"] = [list(features.values.shape), digest.hexdigest()]
    return {
        "clips": [[c.id, c.video, c.audio, c.split, c.text, c.label, c.label_raw, c.speaker] for c in store.clips()],
        "digests": {name: spec.digest for name, spec in store.specs.items()},
        "synthetic": sorted(name for name, spec in store.specs.items() if spec.synthetic),
        "failures": [[f.clip_id, f.feature, f.reason, f.message, f.stage, f.state] for f in store.failures],
        "arrays": arrays,
        "status": read_status(store).to_dict(),
    }


def exported(store: FeatureStore, name: str, folder: Path) -> dict[str, str]:
    """SHA-256 of each file of an export."""
    with (
        mock.patch.object(provenance, "version", lambda package: f"{package} 1.0"),
        mock.patch.object(provenance.platform, "python_version", return_value="3.11.0"),
    ):
        export(name, store, folder / name, EXPORTS[name] | {"allow_synthetic": "true"})
    files = contents(folder / name)
    return {n: hashlib.sha256(data).hexdigest() for n, data in files.items() if n != "provenance.json"}


LATER = {"mmsa": {"dataset.json"}}
"""Files that exports of that code had not."""


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / "store_e20cc66.json").read_text(encoding="utf-8"))
    return found


def test_it_opens_and_reads_as_before(tmp_path, expected):
    found = held(unpacked(tmp_path))
    added = {key: found["status"].pop(key) for key in ("flags", "mixed_versions", "unreadable")}
    assert added == {"flags": {}, "mixed_versions": {}, "unreadable": {}}  # that store knows of none
    assert found["status"].pop("last_run") == "finished"
    for counts in (found["status"], found["status"]["clips"], *found["status"]["features"].values()):
        assert counts.pop("stale") == 0
    assert found == expected["held"]


def test_it_verifies(tmp_path):
    assert list(problems(unpacked(tmp_path).path)) == []


@pytest.mark.parametrize("name", EXPORTS)
def test_it_exports_the_same_bytes(tmp_path, expected, name):
    found = exported(unpacked(tmp_path), name, tmp_path)
    assert {file for file in found if file not in expected["exports"][name]} == LATER.get(name, set())
    assert {file: digest for file, digest in found.items() if file not in LATER.get(name, set())} == expected[
        "exports"
    ][name]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    store = unpacked(target)
    found = {"held": held(store), "exports": {name: exported(store, name, target) for name in EXPORTS}}
    (HERE / "store_e20cc66.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
