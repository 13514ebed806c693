"""A store that was begun with one FFmpeg is never completed with another one without saying so.

Opt-in, for it installs another PyAV beside this one:
`MERFLOW_TEST_INSTALL=1 .venv/bin/python -m pytest -m slow tests/flows/test_other_pyav.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

OTHER = "av==17.0.0"


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("MERFLOW_TEST_INSTALL") != "1", reason="MERFLOW_TEST_INSTALL is not 1: nothing is installed"
)
def test_another_ffmpeg_is_refused(merflow, command, corpus, config, status, tmp_path):
    manifest, store, beside = tmp_path / "m.parquet", tmp_path / "store", tmp_path / "beside"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(beside), OTHER]
    subprocess.run(pip, check=True)
    (corpus / "clip_2.mp4").rename(tmp_path / "clip_2.mp4")
    merflow("ingest", corpus, "--out", manifest)
    merflow("run", "-c", config, "-m", manifest, "-s", store)
    (tmp_path / "clip_2.mp4").rename(corpus / "clip_2.mp4")
    merflow("ingest", corpus, "--out", manifest)
    other = {"PYTHONPATH": str(beside)}
    done = command("run", "-c", config, "-m", manifest, "-s", store, expect=2, **other)
    assert "feature gemaps is already stored with another recipe (engines.ffmpeg: " in done.stderr
    assert status(store, expect=0)["stored"] == 4
