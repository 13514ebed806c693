"""Two runs on one store share the work."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from configs.schema import load_config
from flows.dispatch import Dispatch
from flows.run import Request, run_extraction
from storage.manifest import Manifest
from tests.flows.stores import assert_equal, times_computed
from tests.flows.test_survival import GATE, start, wait_until_working


@pytest.mark.without_prefect
def test_two_runs_at_the_same_time_share_the_clips(merflow, many, manifest, monkeypatch, tmp_path):
    """The plain way: two runs in one process, as threads."""
    both, start = threading.Barrier(2, timeout=60), Dispatch.start

    def start_together(dispatch):
        both.wait()
        start(dispatch)

    monkeypatch.setattr(Dispatch, "start", start_together)
    config, store = load_config(many[1]), tmp_path / "s"

    def run(_):
        return run_extraction(config, Manifest.open(manifest), store, Request(clips="clip_[01]*"))

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, "ab"))
    assert [r.outcomes["stored"] > 0 for r in results] == [True, True]
    computed = times_computed(store)
    assert (len(computed), set(computed.values())) == (40, {1})


@pytest.mark.parametrize(
    ("engine", "killed"),
    [
        pytest.param("local", False, marks=pytest.mark.slow),
        pytest.param("local", True, marks=pytest.mark.slow),
        pytest.param("dask", False, marks=pytest.mark.slow),
        pytest.param("dask", True, marks=pytest.mark.slow),
    ],
)
def test_nothing_is_computed_twice_and_all_is_complete(
    merflow, many, manifest, environment, server, tmp_path, engine, killed
):
    store = tmp_path / "s"
    line = ["run", "-c", many[1], "-m", manifest, "-s", store, "--engine", engine, "--workers", "1"]
    runs = [start(line, environment, server) for _ in "ab"]
    if killed:
        wait_until_working(runs[0], store, 0.0)
        os.killpg(runs[0].pid, signal.SIGKILL)
    said = [run.communicate(timeout=200)[0] for run in runs]
    assert [run.returncode for run in runs] == [-signal.SIGKILL if killed else 0, 0], said
    computed = times_computed(store)
    assert len(computed) == 80
    assert set(computed.values()) == {1}
    records = [json.loads(p.read_text(encoding="utf-8")) for p in sorted((store / "runs").glob("*.json"))]
    shares = [record.get("outcomes", {}).get("stored", 0) for record in records]
    assert all(shares) or killed, shares
    assert list((store / "leases").iterdir()) == []
    merflow("run", "-c", many[1], "-m", manifest, "-s", tmp_path / "whole")
    assert assert_equal(store, tmp_path / "whole") == 80


@pytest.mark.slow
def test_what_another_run_holds_is_waited_for_or_left(merflow, many, manifest, environment, server, tmp_path):
    store, opened = tmp_path / "s", tmp_path / "opened"
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "sitecustomize.py").write_text(GATE.format(opened=str(opened)), encoding="utf-8")
    line = ["run", "-c", many[1], "-m", manifest, "-s", store]
    first = start([*line, "--engine", "local"], environment | {"PYTHONPATH": str(tmp_path / "gate")}, server)
    while first.poll() is None and not (tmp_path / "opened.awaited").exists():
        time.sleep(0.02)  # until it holds clips that the other one would else be quick to take
    said = merflow(*line, "--no-wait", expect=1).stderr
    assert re.search(r"\d clips? in work elsewhere \(run \S+\): left to it", said)
    second = start([*line, "--engine", "local"], environment, server)
    while first.poll() is None and "waiting for it" not in (output := second.stdout.readline()):
        assert output, "the second run ended"
    opened.touch()
    assert (first.wait(100), second.wait(100)) == (0, 0), second.stdout.read()
    assert "waiting for it" in output
    first.stdout.close()
    second.stdout.close()
    computed = times_computed(store)
    assert (len(computed), set(computed.values())) == (80, {1})
