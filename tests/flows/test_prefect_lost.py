"""Prefect shows a run; that its server is gone, or is another machine's, costs no work."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from flows.prefect_server import is_healthy
from tests.flows.conftest import processes
from tests.flows.stores import times_computed


class OnlyHealthy(BaseHTTPRequestHandler):
    """Says that it is well, and can do nothing else."""

    def do_GET(self):
        self.send_response(200 if self.path.endswith("/health") else 400)
        self.end_headers()

    def do_POST(self):
        self.send_response(400)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def broken_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), OnlyHealthy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_does_not_work_costs_a_line_and_no_clip(merflow, corpus, config, tmp_path, monkeypatch):
    merflow("ingest", corpus, "--out", tmp_path / "m.parquet")
    with broken_server() as url:
        monkeypatch.setenv("PREFECT_API_URL", url)
        said = merflow("run", "-c", config, "-m", tmp_path / "m.parquet", "-s", tmp_path / "s").stderr
    assert "Prefect's server does not answer" in said
    assert "working without it" in said
    assert len(times_computed(tmp_path / "s")) == 6
    (record,) = (tmp_path / "s" / "runs").glob("*.json")
    assert json.loads(record.read_text(encoding="utf-8"))["state"] == "finished"


@pytest.mark.slow
def test_two_machines_that_share_a_home_have_a_server_each(environment, fresh_home):
    """The first one's process ids mean nothing to the second one, and its database is not shared."""
    code = (
        "import socket, sys, time\nsocket.gethostname = lambda: sys.argv[1]\n"
        "from flows.prefect_server import prefect_server\n"
        "with prefect_server() as url:\n    print(url, flush=True)\n    sys.stdin.read()"
    )
    own = environment | {"MERFLOW_HOME": str(fresh_home)}
    users = [
        subprocess.Popen(
            [sys.executable, "-c", code, name], env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    urls = [user.stdout.readline().strip() for user in users]
    keepers = [p for p in psutil.process_iter() if f"{fresh_home}/prefect/" in " ".join(_line(p))]
    assert len(set(urls)) == 2
    assert all(urls)
    assert {"one", "two"} <= {folder.name for folder in (fresh_home / "prefect").iterdir()}
    for user in users:
        user.communicate("")
    assert [user.returncode for user in users] == [0, 0]
    assert psutil.wait_procs(keepers, timeout=30)[1] == []
    assert processes(str(fresh_home)) == []


def _line(process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_proxy_that_was_set_once_is_not_kept(server, monkeypatch):
    """A process keeps the first proxies that it sees for `urlopen`; a server of this machine was then never found."""
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert not is_healthy(server)
    with suppress(OSError):
        urllib.request.urlopen(f"{server}/health", timeout=1)
    monkeypatch.delenv("http_proxy")
    assert is_healthy(server)
