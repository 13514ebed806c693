"""Runs survive what happens to processes, and leave none behind."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.flows.conftest import processes
from tests.flows.stores import assert_equal, times_computed, visible_files

COMMAND = [sys.executable, "-m", "flows.cli"]


# The last ten clips wait for a file: a signal that is sent before comes in the middle of a run on any machine.
GATE = """
import time
from pathlib import Path
from extractors.core.media import clip_media as media
decode = media.Media.decode
def gated(self):
    while self.clip.id >= "clip_30" and not Path({opened!r}).exists():
        Path({opened!r} + ".awaited").touch()
        time.sleep(0.01)
    decode(self)
media.Media.decode = gated
"""


@pytest.fixture
def opened(tmp_path):
    """The file that lets the last clips through."""
    return tmp_path / "opened"


@pytest.fixture
def gated(environment, opened, tmp_path):
    """The environment of commands whose last clips wait."""
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "sitecustomize.py").write_text(GATE.format(opened=str(opened)), encoding="utf-8")
    return environment | {"PYTHONPATH": str(tmp_path / "gate")}


def start(run, environment, server=None):
    shared = environment | ({"PREFECT_API_URL": server} if server else {})
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # `make test &` ignores it, and so would the run
    run = subprocess.Popen(
        [*COMMAND, *map(str, run)],
        env=shared,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, before)
    return run


@pytest.mark.slow
def test_a_run_on_dask_has_one_prefect_server_leaves_none_and_gives_the_bytes_of_one_process(
    merflow, many, manifest, fresh_home, environment, tmp_path
):
    own = environment | {"MERFLOW_HOME": str(fresh_home)}
    run = start(["run", "-c", many[1], "-m", manifest, "-s", tmp_path / "s", "--engine", "dask", "--workers", "2",
                 "--clips", "clip_[01]*"], own)  # fmt: skip
    most = 0
    while run.poll() is None:
        most = max(most, len(servers_of(fresh_home)))
        time.sleep(0.4)
    output, _ = run.communicate()
    assert run.returncode == 0, output
    assert most == 1
    assert servers_of(fresh_home) == []
    assert processes(str(tmp_path)) == []
    merflow("run", "-c", many[1], "-m", manifest, "-s", tmp_path / "local", "--clips", "clip_[01]*")
    assert assert_equal(tmp_path / "local", tmp_path / "s") == 40


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


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "dask"])
def test_kill_nine_at_a_random_moment_then_the_same_command(
    merflow, command, many, manifest, gated, server, tmp_path, engine
):
    moment = random.Random(os.urandom(8)).uniform(0.0, 1.0)
    store = tmp_path / "killed"
    line = ["run", "-c", many[1], "-m", manifest, "-s", store, "--engine", engine, "--workers", "2"]
    run = start(line, gated, server)
    before = wait_until_working(run, store, moment)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    finished = times_computed(store)
    await_gone(str(store))
    (merflow if engine == "local" else command)(*line)
    assert [f for f in visible_files(store) if ".tmp-" in f] == [], f"killed at {moment}"
    computed = times_computed(store)
    assert set(computed.values()) == {1}
    assert len(computed) == 80
    assert finished.keys() <= computed.keys()
    assert before <= len(finished)
    merflow("run", "-c", many[1], "-m", manifest, "-s", tmp_path / "whole")
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


@pytest.mark.parametrize("engine", ["local", pytest.param("dask", marks=pytest.mark.slow)])
def test_interrupt_says_how_to_go_on_and_the_same_command_does(
    merflow, command, many, manifest, gated, opened, server, tmp_path, engine
):
    store = tmp_path / "s"
    chosen = ["--clips", "clip_[03]*"]  # ten that are done, and ten that wait
    line = ["run", "-c", many[1], "-m", manifest, "-s", store, "--engine", engine, "--workers", "2", *chosen]
    run = start(line, gated, server)
    wait_until_working(run, store, 0.0)
    run.send_signal(signal.SIGINT)
    opened.touch()
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 130, output
    assert re.search(r"merflow: interrupted: finishing.*; press Ctrl-C again to abort at once", output)
    assert "merflow: interrupted; run the same command to resume" in output
    assert "Traceback" not in output
    assert processes(str(store)) == []
    (merflow if engine == "local" else command)(*line)
    assert set(times_computed(store).values()) == {1}


KILLER = """
import os
from extractors.core.media import clip_media as media
decode = media.Media.decode
def deadly(self):
    if self.clip.id == "clip_03":
        os._exit(9)
    decode(self)
media.Media.decode = deadly
"""


@pytest.mark.slow
def test_a_clip_that_kills_its_worker_fails_alone(command, status, many, manifest, tmp_path):
    """It fails for the features that were asked for; another one's weights need not be here."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(KILLER, encoding="utf-8")
    text = many[1].read_text(encoding="utf-8").replace("0.5}", "5}")
    text = text.replace("cluster:", "  - {name: hubert, weights: {local: not_here}}\ncluster:")
    many[1].write_text(text, encoding="utf-8")
    store = tmp_path / "s"
    command(
        "run", "-c", many[1], "-m", manifest, "-s", store, "--engine", "dask", "--workers", "2",
        "--features", "gemaps,functionals", expect=1, PYTHONPATH=str(tmp_path / "site"),
    )  # fmt: skip
    found = status(store, expect=1)
    assert (found["clips"]["stored"], found["clips"]["failed"], found["missing"]) == (39, 1, 0)
    failed = sorted((f["clip_id"], f["feature"], f["reason"]) for f in found["failures"])
    assert failed == [("clip_03", "functionals", "crash"), ("clip_03", "gemaps", "crash")]


@pytest.mark.slow
def test_servers_are_shared_and_outlive_no_user(environment, fresh_home):
    """Two users of one home share a server; when both were killed, nothing of it stays."""
    code = (
        "import time\nfrom flows.prefect_server import prefect_server\n"
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
