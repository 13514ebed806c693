"""The validator of the aligned HDF5 file: one failing example per rule."""

from __future__ import annotations

import re
import shutil
import signal
from subprocess import Popen

import h5py
import numpy as np
import pytest

from storage.errors import StoreError
from storage.exporters import export
from storage.exporters.hdf5 import validate
from storage.exporters.hdf5.validate import validate_file
from tests.exports import CLIPS, GEMAPS, make_store

FIRST = CLIPS[0].id


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    export("hdf5", make_store(folder / "store", specs=[GEMAPS]), folder / "a.h5", {})
    return folder / "a.h5"


def _set(name, value):
    def change(file):
        file[name][...] = value

    return change


def _replace(name, data):
    def change(file):
        del file[name]
        if data is not None:
            file[name] = data

    return change


CLIP = f"clips/{FIRST}"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_set(f"{CLIP}/gemaps", np.inf), "gemaps: expected finite numbers where the mask is True, got 180 others"),
        (
            _replace(f"{CLIP}/gemaps", np.zeros((10, 18))),
            r"gemaps: expected \(10, 18\) float32, got \(10, 18\) float64",
        ),
        (_replace(f"{CLIP}/gemaps", np.zeros((10, 17), "f4")), r"gemaps: expected \(10, 18\) float32, got \(10, 17\)"),
        (_replace(f"{CLIP}/gemaps", np.zeros(10, "f4")), r"gemaps: expected \(10, 18\) float32, got \(10,\)"),
        (_replace(f"{CLIP}/gemaps", None), "gemaps: expected values or an entry in /missing, got neither"),
        (_replace("missing/gemaps", [FIRST]), "gemaps: expected values or an entry in /missing, got both"),
        (_replace(f"{CLIP}/mask/gemaps", None), "gemaps: expected a mask, got none"),
        (_replace(f"{CLIP}/mask/gemaps", np.ones(10)), r"gemaps: expected a mask of \(10,\) bool, got \(10,\) float64"),
        (
            _replace(f"{CLIP}/times", np.zeros((10, 2), "f4")),
            r"times: expected \(N, 2\) float64, got \(10, 2\) float32",
        ),
        (_replace(f"{CLIP}/times", np.arange(20.0).reshape(10, 2)[::-1]), "times: expected finite intervals in order"),
        (_replace("columns/gemaps", None), "gemaps: expected a feature of /columns"),
        (lambda file: file.attrs.update({"format": 9}), "format: expected 1, got 9"),
    ],
)
def test_the_validator_names_what_is_wrong(exported, tmp_path, change, problem):
    assert list(validate_file(exported)) == []
    shutil.copyfile(exported, tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        change(file)
    found = list(validate_file(tmp_path / "b.h5"))
    assert re.search(problem, found[0])
    assert FIRST in found[0] or problem.startswith("format")


def test_two_processes_find_what_one_finds(exported, tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    shutil.copy(exported, path)
    monkeypatch.setattr(validate, "LARGE_BYTES", 0)
    assert list(validate_file(path)) == []
    with h5py.File(path, "a") as file:
        for clip in (FIRST, CLIPS[-1].id):
            del file[f"clips/{clip}/mask/gemaps"]
    found = list(validate_file(path))
    assert found == list(validate.problems(path))
    assert len(found) == 2
    started = []
    monkeypatch.setattr(validate.subprocess, "Popen", lambda *a, **k: started.append(Popen(*a, **k)) or started[-1])
    reading = validate_file(path)
    next(reading)
    reading.close()  # as an interrupt does
    assert started[0].returncode == -signal.SIGKILL
    monkeypatch.setattr("sys.executable", "false")
    with pytest.raises(StoreError, match="not kept: the process that re-read it ended with 1"):
        list(validate_file(path))
