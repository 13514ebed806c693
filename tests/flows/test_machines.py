"""More than one machine, as processes in folders of their own: workers that come late, pause, or are of another kind;
a SLURM whose `sbatch` is a script; what the pages about clusters say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from configs.errors import RunError
from configs.schema import load_config
from flows.engines import dask_cluster
from flows.engines.choice import check_engine
from flows.engines.dask_cluster import scheduler_at
from tests.flows.stores import assert_equal, times_computed
from tests.flows.test_survival import await_gone, start, wait_until_working

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"


@pytest.fixture
def line(many, manifest, tmp_path):
    return ["run", "-c", many[1], "-m", manifest, "-s", tmp_path / "s"]


@pytest.mark.slow
def test_workers_come_late_pause_and_die(merflow, machines, environment, server, line, tmp_path):
    run = start([*line, "--engine", machines.scheduler()], environment, server)
    while "waiting for a Dask worker" not in (said := run.stdout.readline()):
        assert run.poll() is None, said
    first = machines.worker()
    wait_until_working(run, tmp_path / "s", 0.0)
    second = machines.worker()
    first.send_signal(signal.SIGSTOP)
    time.sleep(30)
    first.send_signal(signal.SIGCONT)
    second.kill()
    machines.worker()
    rest, _ = run.communicate(timeout=200)
    assert run.returncode == 0, rest
    assert set(times_computed(tmp_path / "s").values()) == {1}
    merflow(*line[:-1], tmp_path / "whole")
    assert assert_equal(tmp_path / "s", tmp_path / "whole") == 80


def test_a_given_scheduler_without_workers_is_told_about_and_then_an_error(machines, monkeypatch, capsys):
    monkeypatch.setattr(dask_cluster, "SAY_SECONDS", 0.3)
    monkeypatch.setattr(dask_cluster, "WORKER_SECONDS", 1.0)
    address = machines.scheduler()
    with pytest.raises(RunError, match=rf"{address}: no Dask worker came in 1 s; start some"), scheduler_at(address):
        pass
    assert capsys.readouterr().err.count(f"waiting for a Dask worker at {address}") >= 2


def test_a_given_scheduler_gets_the_settings_of_our_own(machines):
    """A death is judged by what a worker had in hand, and a worker gets its next shard when it has finished one."""
    address = machines.scheduler()
    machines.worker()
    with scheduler_at(address) as engine:
        told = engine._client.run_on_scheduler(
            lambda dask_scheduler: (dask_scheduler.allowed_failures, dask_scheduler.WORKER_SATURATION)
        )
        assert engine.workers == 1
    assert told == (0, 1.0)


OTHER = """
import importlib.metadata as m
version = m.version
m.version = lambda name: "9.9.9" if name == "{name}" else version(name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "av", "merflow"])
def test_a_worker_with_another_version_is_refused_by_name(command, machines, line, tmp_path, name):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "sitecustomize.py").write_text(OTHER.format(name=name), encoding="utf-8")
    address = machines.scheduler()
    machines.worker(PYTHONPATH=str(tmp_path / "other"))
    said = command(*line, "--engine", address, expect=2).stderr.splitlines()[-1]
    assert f"has {name} 9.9.9, this run was planned with" in said
    assert times_computed(tmp_path / "s") == {}


SBATCH = """#!{python}
import pathlib, subprocess, sys
jobs = pathlib.Path({jobs!r})
text = pathlib.Path(sys.argv[-1]).read_text()
(jobs / f"{{len(list(jobs.glob('*.sh')))}}.sh").write_text(text)
out = open(jobs / "out", "a")
job = subprocess.Popen(["bash", "-c", text], start_new_session=True, stdout=out, stderr=subprocess.STDOUT)
print("Submitted batch job", job.pid)
"""
SCANCEL = """#!{python}
import os, signal, sys
for job in sys.argv[1:]:
    try:
        os.killpg(int(job), signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


@pytest.mark.slow
def test_slurm(merflow, command, environment, line, tmp_path):
    """The page's own settings, but for GPUs and the number of jobs; `sbatch` starts what it is given."""
    programs, jobs = tmp_path / "bin", tmp_path / "jobs"
    for folder in (programs, jobs):
        folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (programs / name).write_text(text.format(python=sys.executable, jobs=str(jobs)), encoding="utf-8")
        (programs / name).chmod(0o755)
    cluster = yaml.safe_load((DEPLOY / "slurm.yaml").read_text(encoding="utf-8"))["cluster"]
    cluster |= {"workers": 2, "shard_seconds": 0.5}
    cluster["arguments"] |= {"log_directory": str(tmp_path / "logs"), "memory": "2GiB"}
    config = yaml.safe_load(Path(line[2]).read_text(encoding="utf-8")) | {"cluster": cluster}
    Path(line[2]).write_text(yaml.safe_dump(config), encoding="utf-8")
    command(*line, PATH=f"{programs}{os.pathsep}{environment['PATH']}")
    scripts = [path.read_text(encoding="utf-8") for path in sorted(jobs.glob("*.sh"))]
    assert len(scripts) == 2
    for text in scripts:
        assert {"#SBATCH -p gpu", "#SBATCH --gres=gpu:1", "#SBATCH -t 08:00:00"} <= set(text.splitlines())
        assert "--nthreads 1" in text
    await_gone("dask_worker")
    merflow(*line[:-1], tmp_path / "whole", "--engine", "inline")
    assert assert_equal(tmp_path / "s", tmp_path / "whole") == 80


@pytest.mark.parametrize("name", ["slurm", "gpus"])
def test_the_pages_configurations_are_valid(name):
    config = load_config(DEPLOY / f"{name}.yaml")
    check_engine(config.cluster)
    assert config.cluster.engine.count(".") == 1


def test_the_kubernetes_manifest_is_valid():
    text = (DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")
    text = text.replace("IMAGE", "registry.local/merflow:0.1").replace("DATA", "corpus")
    resources = list(yaml.safe_load_all(text))
    assert [r["kind"] for r in resources] == ["Service", "Deployment", "Deployment", "Job"]
    for resource in resources:
        kubernetes_validate.validate(resource, "1.37", strict=True)
    command = resources[3]["spec"]["template"]["spec"]["containers"][0]
    assert (
        command["args"][-1].removeprefix("--engine=")
        in resources[2]["spec"]["template"]["spec"]["containers"][0]["command"]
    )


@pytest.mark.slow
def test_prefect_yaml_deploys_to_a_work_pool(server, environment, tmp_path):
    def prefect(*words):
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *words],
            env=environment | {"PREFECT_API_URL": server}, capture_output=True, text=True, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    prefect("work-pool", "create", "merflow", "--type", "process")
    prefect("deploy", "--prefect-file", str(DEPLOY / "prefect.yaml"), "--all")
    assert "merflow-scheduled/nightly" in prefect("deployment", "ls").replace("\n", "")
