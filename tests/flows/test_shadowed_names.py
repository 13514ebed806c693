"""People have folders called `flows` and `storage`, Prefect's users above all: no process takes them for merflow's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from configs.processes import python_module
from tests.test_house import ROOT

NAMES = ("flows", "storage", "configs", "extractors")


@pytest.fixture
def shadowed(tmp_path, corpus):
    """A current folder whose packages would end whoever imports them."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    (tmp_path / "prefect.py").write_text("raise SystemExit('the wrong one')\n")
    return tmp_path


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_a_run_beside_folders_of_the_same_names(shadowed, corpus, config, environment, server, engine):
    script = Path(sys.executable).with_name("merflow")
    line = ["run", "-c", config, "--corpus", "folder", corpus, "--store", "s", "--engine", engine, "--workers", "1"]
    done = subprocess.run(
        [str(script), *map(str, line)],
        cwd=shadowed,
        env=environment | {"PREFECT_API_URL": server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the wrong one" not in done.stderr
    assert "complete: everything planned is stored or skipped by rule" in done.stdout


@pytest.mark.parametrize("name", ["configs", "storage"])
def test_a_script_beside_a_file_of_the_same_name_is_told(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "script.py").write_text("import merflow\n")
    line = [sys.executable, "script.py"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        f"ImportError: {tmp_path / name}.py comes before merflow's own package `{name}` on Python's path; "
        f"rename it, or run the script from another folder"
    )


def test_every_process_of_merflow_is_started_in_the_same_way(shadowed):
    """Of one that needs no more than its name, the whole; of the others, that they go the same way."""
    done = subprocess.run(
        python_module("storage.exporters.hdf5.second_half", "no.h5"),
        cwd=shadowed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "StoreError: no.h5: not a readable HDF5 file" in done.stderr
    folders = [ROOT / name for name in ("configs", "extractors", "flows", "storage")]
    starting = [
        path for folder in folders for path in folder.rglob("*.py") if "sys.executable" in path.read_text("utf-8")
    ]
    assert {path.relative_to(ROOT).as_posix() for path in starting} == {
        "configs/processes.py",
        "extractors/openface/engines.py",  # pyfaceau, in an environment of its own
    }
