"""A store that was begun with one FFmpeg: what was made with it is stale for another one, told and never mixed in.

Opt-in, for it installs another PyAV beside this one:
`MERFLOW_TEST_INSTALL=1 .venv/bin/python -m pytest -m slow tests/flows/test_other_pyav.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from storage import open_store

OTHER = "av==17.0.0"


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("MERFLOW_TEST_INSTALL") != "1", reason="MERFLOW_TEST_INSTALL is not 1: nothing is installed"
)
def test_values_of_another_ffmpeg_are_stale(merflow, command, corpus, config, status, tmp_path):
    manifest, store, beside = tmp_path / "m.parquet", tmp_path / "store", tmp_path / "beside"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(beside), OTHER]
    subprocess.run(pip, check=True)
    (corpus / "clip_2.mp4").rename(tmp_path / "clip_2.mp4")
    merflow("ingest", corpus, "--out", manifest)
    merflow("run", "-c", config, "-m", manifest, "-s", store)
    (tmp_path / "clip_2.mp4").rename(corpus / "clip_2.mp4")
    merflow("ingest", corpus, "--out", manifest)
    other = {"PYTHONPATH": str(beside)}
    done = command("run", "-c", config, "-m", manifest, "-s", store, expect=1, **other)
    why = "2 stale values (clip_0, clip_1); changed: made by an older merflow or other engines"
    assert f"stale gemaps: {why}" in done.stdout
    found = status(store, expect=1)["features"]["gemaps"]
    assert (found["stored"], found["stale"]) == (1, 2)
    refused = command("export", "hdf5", store, tmp_path / "x.h5", expect=2, **other)
    assert why in refused.stderr
    engines = [spec.engines["ffmpeg"] for spec in open_store(store).index.specs_of("gemaps")]
    assert len(set(engines)) == 2
    command("run", "-c", config, "-m", manifest, "-s", store, "--replace-stale", **other)
    assert status(store)["features"]["gemaps"]["stored"] == 3
