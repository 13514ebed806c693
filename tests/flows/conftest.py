"""One home for all tests of flows, one Prefect server for all of them, and small corpora."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import psutil
import pytest

from configs.home import host_name
from flows.cli import main
from flows.prefect_server import _users, prefect_server
from tests.media import write_clip

TINY = "weights: {random: {seed: 0, size: tiny}}"


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """merflow's own folder for the whole test run, all of its processes: one Prefect database, made once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "home"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def environment(home) -> dict[str, str]:
    """Environment of commands that the tests start."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return clean | {"MERFLOW_HOME": str(home), "COLUMNS": "160"}


@pytest.fixture(scope="package")
def server(home):
    """The Prefect server that all tests of flows share; nothing of it may be left afterwards."""
    before = os.environ.get("MERFLOW_HOME")
    os.environ["MERFLOW_HOME"] = str(home)
    with prefect_server() as url:
        yield url
    os.environ.pop("MERFLOW_HOME") if before is None else os.environ.update(MERFLOW_HOME=before)
    if _users(home / "prefect" / host_name()):
        return  # another process of this test run still uses it, and looks in its turn
    assert [
        p for p in processes("flows.prefect_server") + processes("prefect server") if str(home) in " ".join(p)
    ] == []


def processes(part: str) -> list[list[str]]:
    """Command lines of running processes that contain a text."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if part in " ".join(line):
            found.append(line)
    return found


@pytest.fixture(scope="package")
def command(server, environment):
    """Run the real command in a process of its own; gives the finished process."""

    def call(
        *arguments: object, expect: int = 0, cwd: Path | None = None, **changes: str
    ) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
        shared = environment | {"PREFECT_API_URL": server} | changes
        done = subprocess.run(line, capture_output=True, text=True, env=shared, cwd=cwd, check=False, timeout=280)
        assert done.returncode == expect, f"{line}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call


@pytest.fixture
def prefect_url(request, monkeypatch):
    """The server that runs in this process are shown on; none where a test is marked `without_prefect`."""
    if request.node.get_closest_marker("without_prefect") is None:
        return request.getfixturevalue("server")
    monkeypatch.setattr("flows.work.prefect_server", nullcontext)
    monkeypatch.setattr("flows.prefect_flow.run_flow", lambda dispatch, *_: dispatch.go())
    return ""


@pytest.fixture
def merflow(prefect_url, environment, monkeypatch):
    """Run the command in this process, which has imported Prefect and the rest already; gives what it printed.

    What is about processes (Dask workers, signals, another folder or environment) uses `command`.
    """
    for name, value in (environment | {"PREFECT_API_URL": prefect_url}).items():
        monkeypatch.setenv(name, value)
    # Also its clips, where no engine is named: what a test replaces is replaced for them too.
    monkeypatch.setattr(
        "flows.engines.choice.choose_engine", lambda cluster, _: cluster.engine.replace("auto", "inline")
    )

    def call(*arguments: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
        line = ["merflow", *map(str, arguments)]
        out, err = io.StringIO(), io.StringIO()
        terminating = signal.getsignal(signal.SIGTERM)
        with mock.patch.object(sys, "argv", line), redirect_stdout(out), redirect_stderr(err):
            try:
                main()
                code: object = 0
            except SystemExit as stop:
                code = stop.code or 0
            finally:
                signal.signal(signal.SIGTERM, terminating)
        assert code == expect, f"{line}\nexit {code}\n{out.getvalue()}\n{err.getvalue()}"
        return subprocess.CompletedProcess(line, expect, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def status(merflow):
    """`merflow status --json` of a store."""

    def read(store: Path, expect: int = 0) -> dict:
        return json.loads(merflow("status", store, "--json", expect=expect).stdout)

    return read


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Three good clips."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i in range(3):
        write_clip(folder / f"clip_{i}.mp4", seconds=1.0 + i / 4)
    return folder


@pytest.fixture
def config(tmp_path) -> Path:
    """Two features without a network: starts fast."""
    path = tmp_path / "config.yaml"
    second = "{name: gemaps, feature: functionals, feature_set: eGeMAPSv02, level: functionals}"
    path.write_text(f"extractors:\n  - {{name: gemaps}}\n  - {second}\n", encoding="utf-8")
    return path


@pytest.fixture
def synthetic(tmp_path) -> Path:
    """GeMAPS and a HuBERT with random weights."""
    path = tmp_path / "synthetic.yaml"
    lines = ["extractors:", "  - {name: gemaps}", f"  - {{name: hubert, recipe: mer2023, {TINY}}}"]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def many(tmp_path):
    """Forty short audio files, the first one longest, about a shard each; two features without a network start fast."""
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(40):
        write_clip(folder / f"clip_{i:02d}.wav", seconds=1.0 - i / 100, video=False)
    config = tmp_path / "many.yaml"
    second = "{name: gemaps, feature: functionals, feature_set: eGeMAPSv02, level: functionals}"
    text = f"extractors:\n  - {{name: gemaps}}\n  - {second}\ncluster: {{shard_seconds: 0.5}}\n"
    config.write_text(text, encoding="utf-8")
    return folder, config


@pytest.fixture
def manifest(merflow, many, tmp_path):
    merflow("ingest", many[0], "--out", tmp_path / "m.parquet")
    return tmp_path / "m.parquet"


@pytest.fixture
def fresh_home(server, home, tmp_path):
    """A home without a server; the database is copied, for making one takes ten seconds."""
    fresh = tmp_path / "fresh" / "prefect" / host_name()
    fresh.mkdir(parents=True)
    paths = (home / "prefect" / host_name() / "prefect.db", fresh / "prefect.db")
    with closing(sqlite3.connect(paths[0])) as old, closing(sqlite3.connect(paths[1])) as new:
        old.backup(new)
    return tmp_path / "fresh"


class Machines:
    """A scheduler and workers, each in a folder of its own."""

    def __init__(self, environment, folder):
        self.environment = environment | {"DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
        self.folder, self.running = folder, []

    def scheduler(self):
        file = self.folder / "scheduler.json"
        self._start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)
        while not file.exists():
            assert self.running[0].poll() is None
            time.sleep(0.1)
        self.address = json.loads(file.read_text(encoding="utf-8"))["address"]
        return self.address

    def worker(self, **changes):
        return self._start("dask_worker", self.address, "--nthreads", "1", "--no-nanny", **changes)

    def _start(self, program, *options, **changes):
        place = self.folder / f"machine{len(self.running)}"
        place.mkdir()
        line = [sys.executable, "-m", f"distributed.cli.{program}", *map(str, options), "--no-dashboard"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.running.append(subprocess.Popen(line, cwd=place, env=self.environment | changes, **quiet))
        return self.running[-1]

    def end(self):
        for process in reversed(self.running):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(30)


@pytest.fixture
def machines(environment, tmp_path):
    made = Machines(environment, tmp_path)
    yield made
    made.end()
