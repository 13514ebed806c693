"""A Rerun recording, made with the real package, in a folder of its own: it is 170 MB."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_clip_becomes_a_recording(everything, tmp_path):
    if not os.environ.get("MERFLOW_TEST_INSTALL"):
        pytest.skip("MERFLOW_TEST_INSTALL is not set: rerun-sdk is not fetched")
    target = tmp_path / "lib"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), "rerun-sdk>=0.41"]
    subprocess.run(pip, check=True)
    own = os.environ | {"PYTHONPATH": os.pathsep.join([str(target), str(target / "rerun_sdk")])}
    line = ["view", str(everything.path), "good_04", "--out", str(tmp_path / "a.rrd")]
    subprocess.run([sys.executable, "-m", "flows.cli", *line], check=True, env=own)
    data = (tmp_path / "a.rrd").read_bytes()
    assert data.startswith(b"RRF")
    assert b"curves/loudness" in data
    assert b"curves/valid_rows" in data
