"""Engines give the same bytes."""

from __future__ import annotations

import os

import pytest

from configs.schema import Cluster
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
def test_a_given_scheduler_gives_the_same_bytes(merflow, command, many, manifest, machines, tmp_path):
    run = ["run", "-c", many[1], "-m", manifest]
    merflow(*run, "-s", tmp_path / "local", "--engine", "local")
    address = machines.scheduler()
    machines.worker()
    # A store named relative to where the user is, which is not where the workers are.
    command(*run, "-s", "given", "--engine", address, cwd=tmp_path)
    assert assert_equal(tmp_path / "local", tmp_path / "given") == 80


def test_a_scheduler_that_is_not_there(merflow, many, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 1)
    done = merflow(
        "run", "-c", many[1], "-m", manifest, "-s", tmp_path / "s", "--engine", "tcp://127.0.0.1:9", expect=2
    )
    assert "tcp://127.0.0.1:9: no Dask scheduler answers there" in done.stderr.splitlines()[-1]


@pytest.mark.without_prefect
def test_two_workers_of_a_machine_with_two_gpus_see_different_ones(monkeypatch):
    """The environment of real workers; what stands there has only to be told apart, no GPU is asked for."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5f0c")
    with dask_cluster.local_dask(Cluster(engine="dask", workers=2)) as engine:
        assert engine.workers == 2
        seen = engine._client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
        assert sorted(seen.values()) == ["3", "GPU-5f0c"]
        one, other = sorted(seen)
        assert engine.avoid(one)
        assert engine.workers == 1
        assert not engine.avoid(other)  # the last one stays
        assert engine._allowed("") == {other}
        assert engine._allowed(other) == {other}
