"""Engines give the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from flows.engines import dask_cluster
from tests.flows.conftest import TINY
from tests.flows.stores import assert_equal
from tests.media import write_clip


@pytest.mark.slow
@pytest.mark.parametrize("networks", [[], ["hubert", "videomae", "action_units"]], ids=len)
def test_all_engines_give_the_same_bytes_of_faces_and_networks(merflow, command, tmp_path, networks):
    (tmp_path / "clips").mkdir()
    for i in range(4):
        write_clip(tmp_path / "clips" / f"clip_{i}.mp4", seconds=0.6 + i / 10)
    config = tmp_path / "networks.yaml"
    entries = "".join(f"  - {{name: {name}, {TINY}}}\n" for name in networks)
    settings = "faces: {detector: center}\ncluster: {shard_seconds: 0.5}\n"
    config.write_text(
        f"extractors:\n  - {{name: gemaps}}\n  - {{name: quality}}\n{entries}{settings}", encoding="utf-8"
    )
    merflow("ingest", tmp_path / "clips", "--out", tmp_path / "m.parquet")
    run = ["run", "-c", config, "-m", tmp_path / "m.parquet"]
    merflow(*run, "-s", tmp_path / "local", "--engine", "local")
    command(*run, "-s", tmp_path / "dask", "--engine", "dask", "--workers", "2")
    assert assert_equal(tmp_path / "local", tmp_path / "dask") == 4 * (3 + len(networks))


@pytest.mark.slow
def test_a_given_scheduler_gives_the_same_bytes(merflow, command, many, manifest, environment, tmp_path):
    run = ["run", "-c", many[1], "-m", manifest]
    merflow(*run, "-s", tmp_path / "local", "--engine", "local")
    with scheduler(environment, tmp_path) as address:
        # A store named relative to where the user is, which is not where the workers are.
        command(*run, "-s", "given", "--engine", address, cwd=tmp_path)
    assert assert_equal(tmp_path / "local", tmp_path / "given") == 80


class scheduler:  # noqa: N801  # reads as a function
    """A real Dask scheduler with one worker, in processes of their own."""

    def __init__(self, environment, folder) -> None:
        self._environment = environment | {"DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
        self._file = folder / "scheduler.json"

    def __enter__(self) -> str:
        base = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self._file)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": self._environment}
        self._scheduler = subprocess.Popen([*base, *options], **quiet)
        while not self._file.exists():
            assert self._scheduler.poll() is None
            time.sleep(0.1)
        address = json.loads(self._file.read_text(encoding="utf-8"))["address"]
        (self._file.parent / "elsewhere").mkdir()
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
        self._worker = subprocess.Popen([*worker, "--no-dashboard"], cwd=self._file.parent / "elsewhere", **quiet)
        return address

    def __exit__(self, *_: object) -> None:
        for process in (self._worker, self._scheduler):
            process.terminate()
            process.wait(30)


def test_a_scheduler_that_is_not_there(merflow, many, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 1)
    done = merflow(
        "run", "-c", many[1], "-m", manifest, "-s", tmp_path / "s", "--engine", "tcp://127.0.0.1:9", expect=2
    )
    assert "tcp://127.0.0.1:9: no Dask scheduler answers there" in done.stderr.splitlines()[-1]
