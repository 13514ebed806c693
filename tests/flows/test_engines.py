"""Engines give the same bytes, survive what happens to processes, and leave none behind."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest

from tests.flows.conftest import TINY, processes
from tests.flows.stores import assert_equal, times_computed, visible_files
from tests.media import write_clip

COMMAND = [sys.executable, "-m", "flows.cli"]


@pytest.fixture
def many(tmp_path):
    """Forty short sounds, about one shard each, and two features without a network: processes start fast."""
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(40):
        write_clip(folder / f"clip_{i:02d}.wav", seconds=0.6 + i / 100, video=False)
    config = tmp_path / "many.yaml"
    second = "{name: gemaps, feature: functionals, feature_set: eGeMAPSv02, level: functionals}"
    text = f"extractors:\n  - {{name: gemaps}}\n  - {second}\ncluster: {{shard_seconds: 0.5}}\n"
    config.write_text(text, encoding="utf-8")
    return folder, config


@pytest.fixture
def manifest(merflow, many, tmp_path):
    merflow("ingest", many[0], "--out", tmp_path / "m.parquet")
    return tmp_path / "m.parquet"


def test_all_engines_give_the_same_bytes(merflow, environment, tmp_path):
    (tmp_path / "clips").mkdir()
    for i in range(4):
        write_clip(tmp_path / "clips" / f"clip_{i}.mp4", seconds=0.6 + i / 10)
    config = tmp_path / "networks.yaml"
    networks = "".join(f"  - {{name: {name}, {TINY}}}\n" for name in ("hubert", "videomae", "action_units"))
    settings = "faces: {detector: center}\ncluster: {shard_seconds: 0.5}\n"
    config.write_text(f"extractors:\n  - {{name: gemaps}}\n{networks}{settings}", encoding="utf-8")
    merflow("ingest", tmp_path / "clips", "--out", tmp_path / "m.parquet")
    run = ["run", "-c", config, "-m", tmp_path / "m.parquet"]
    merflow(*run, "-s", tmp_path / "local", "--engine", "local")
    merflow(*run, "-s", tmp_path / "dask", "--engine", "dask", "--workers", "2")
    assert assert_equal(tmp_path / "local", tmp_path / "dask") == 20


def test_a_given_scheduler_gives_the_same_bytes(merflow, many, manifest, environment, tmp_path):
    run = ["run", "-c", many[1], "-m", manifest]
    merflow(*run, "-s", tmp_path / "local", "--engine", "local")
    with scheduler(environment, tmp_path) as address:
        merflow(*run, "-s", tmp_path / "given", "--engine", address)
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
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
        self._worker = subprocess.Popen([*worker, "--no-dashboard"], **quiet)
        return address

    def __exit__(self, *_: object) -> None:
        for process in (self._worker, self._scheduler):
            process.terminate()
            process.wait(30)


def test_a_scheduler_that_is_not_there(merflow, many, manifest, tmp_path):
    done = merflow(
        "run", "-c", many[1], "-m", manifest, "-s", tmp_path / "s", "--engine", "tcp://127.0.0.1:9", expect=2
    )
    assert "tcp://127.0.0.1:9: no Dask scheduler answers there" in done.stderr.splitlines()[-1]


def start(run, environment, server=None):
    shared = environment | ({"PREFECT_API_URL": server} if server else {})
    return subprocess.Popen(
        [*COMMAND, *map(str, run)],
        env=shared,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_one_prefect_server_of_its_own_and_none_left(many, manifest, fresh_home, environment, tmp_path):
    own = environment | {"MERFLOW_HOME": str(fresh_home)}
    run = start(["run", "-c", many[1], "-m", manifest, "-s", tmp_path / "s", "--engine", "dask", "--workers", "2"], own)
    most = 0
    while run.poll() is None:
        most = max(most, len(servers_of(fresh_home)))
        time.sleep(0.1)
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert most == 1
    assert servers_of(fresh_home) == []
    assert processes(str(tmp_path)) == []


def servers_of(home) -> list[int]:
    """Processes of any kind of Prefect server, also a temporary one, that anything of this home has started."""
    found = []
    for process in psutil.process_iter():
        line = " ".join(cmdline(process))
        if re.search(r"-m prefect server|prefect\.server|uvicorn", line) and str(home) in str(environ(process)):
            found.append(process.pid)
    return found


def environ(process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


@pytest.fixture
def fresh_home(server, home, tmp_path):
    """A home without a server; the database is copied, for making one takes ten seconds."""
    (tmp_path / "fresh" / "prefect").mkdir(parents=True)
    paths = (home / "prefect" / "prefect.db", tmp_path / "fresh" / "prefect" / "prefect.db")
    with closing(sqlite3.connect(paths[0])) as old, closing(sqlite3.connect(paths[1])) as new:
        old.backup(new)
    return tmp_path / "fresh"


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_kill_nine_at_a_random_moment_then_the_same_command(
    merflow, many, manifest, environment, server, tmp_path, engine
):
    moment = random.Random(os.urandom(8)).uniform(0.0, 1.0)
    store = tmp_path / "killed"
    command = ["run", "-c", many[1], "-m", manifest, "-s", store, "--engine", engine, "--workers", "2"]
    run = start(command, environment, server)
    before = wait_until_working(run, store, moment)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    finished = times_computed(store)
    await_gone(str(store))
    merflow(*command)
    assert [f for f in visible_files(store) if ".tmp-" in f] == [], f"killed at {moment}"
    computed = times_computed(store)
    assert set(computed.values()) == {1}
    assert len(computed) == 80
    assert finished.keys() <= computed.keys()
    assert before <= len(finished)
    merflow("run", "-c", many[1], "-m", manifest, "-s", tmp_path / "whole", "--engine", "local")
    assert assert_equal(store, tmp_path / "whole") == 80


def wait_until_working(run, store, moment) -> int:
    """Wait for the first shard file, then a random part of the time that the shards take."""
    while run.poll() is None and not times_computed(store):
        time.sleep(0.02)
    time.sleep(1.5 * moment)
    return len(times_computed(store))


def await_gone(part: str) -> None:
    deadline = time.monotonic() + 30
    while processes(part) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes(part) == []


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_interrupt_says_how_to_go_on_and_the_same_command_does(
    merflow, many, manifest, environment, server, tmp_path, engine
):
    store = tmp_path / "s"
    command = ["run", "-c", many[1], "-m", manifest, "-s", store, "--engine", engine, "--workers", "2"]
    run = start(command, environment, server)
    wait_until_working(run, store, 0.0)
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 130, output
    assert "interrupted" in output
    assert "Traceback" not in output
    assert processes(str(store)) == []
    merflow(*command)
    assert set(times_computed(store).values()) == {1}


KILLER = """
import os
from extractors.core import media
decode = media.Media.decode
def deadly(self):
    if self.clip.id == "clip_03":
        os._exit(9)
    decode(self)
media.Media.decode = deadly
"""


def test_a_clip_that_kills_its_worker_fails_alone(merflow, status, many, manifest, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(KILLER, encoding="utf-8")
    text = many[1].read_text(encoding="utf-8").replace("0.5}", "5}")
    many[1].write_text(text, encoding="utf-8")
    store = tmp_path / "s"
    merflow(
        "run", "-c", many[1], "-m", manifest, "-s", store, "--engine", "dask", "--workers", "2",
        expect=1, PYTHONPATH=str(tmp_path / "site"),
    )  # fmt: skip
    found = status(store, expect=1)
    assert (found["clips"]["stored"], found["clips"]["failed"], found["missing"]) == (39, 1, 0)
    assert {(f["clip_id"], f["reason"]) for f in found["failures"]} == {("clip_03", "crash")}


def test_servers_are_shared_and_outlive_no_user(environment, fresh_home):
    """Two users of one home share a server; when both were killed, nothing of it stays."""
    code = (
        "import time\nfrom flows.server import prefect_server\n"
        "with prefect_server() as url:\n    print(url, flush=True)\n    time.sleep(99)"
    )
    own = environment | {"MERFLOW_HOME": str(fresh_home)}
    users = [subprocess.Popen([sys.executable, "-c", code], env=own, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    urls = [user.stdout.readline() for user in users]
    assert urls[0].startswith("http://127.0.0.1:")
    assert urls[0] == urls[1]
    keepers = [psutil.Process(p.pid) for p in psutil.process_iter() if str(fresh_home) in " ".join(cmdline(p))]
    family = [*keepers, *(child for k in keepers for child in k.children(recursive=True))]
    assert len(family) >= 2
    for user in users:
        user.kill()
        user.communicate()
    assert psutil.wait_procs(family, timeout=30)[1] == []


def cmdline(process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
