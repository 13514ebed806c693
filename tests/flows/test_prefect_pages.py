"""What somebody sees of a run in Prefect's own pages."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import Future

import pytest

from flows.prefect_server import _free_port
from tests.flows.conftest import processes
from tests.media import write_clip


def test_a_run_has_its_name_tags_parameters_shards_logs_and_tables(command, config, server, tmp_path):
    def asked(what: str, **body: object) -> list[dict]:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{server}/{what}/filter", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def states() -> list[str]:
        return [task["state_type"] for task in asked("task_runs", flow_runs={"id": {"any_": [run["id"]]}})]

    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "a.wav", seconds=0.2, video=False)
    write_clip(tmp_path / "clips" / "b.wav", seconds=0.03, video=False)
    store = tmp_path / "s"
    said = command("run", "-c", config, "--corpus", "folder", tmp_path / "clips", "-s", store, expect=1)
    assert "prefect" not in (said.stdout + said.stderr).lower()
    (record,) = (json.loads(path.read_text()) for path in (store / "runs").glob("*.json"))
    (run,) = asked("flow_runs", flow_runs={"name": {"any_": [record["run"]]}})
    assert run["state_type"] == "COMPLETED"
    assert sorted(run["tags"]) == ["merflow", "s"]
    features = ["gemaps", "functionals"]
    assert run["parameters"] == {"run": record["run"], "store": str(store), "features": features}
    expected, deadline = ["COMPLETED"] * len(record["shards"]), time.monotonic() + 60
    while states() != expected and time.monotonic() < deadline:
        time.sleep(0.2)  # Prefect's server records what became of tasks when it comes to it
    assert states() == expected
    mine = {"flow_run_id": {"any_": [run["id"]]}}
    tables = {found["key"]: json.loads(found["data"]) for found in asked("artifacts", artifacts=mine)}
    totals = {row["feature"]: (row["stored"], row["failed"]) for row in tables["merflow-totals"]}
    assert totals == dict.fromkeys(features, (1, 1))
    (failure,) = tables["merflow-failures"]
    assert (failure["reason"], failure["clips"], failure["first"]) == ("too_short", 1, "b")
    assert failure["remedy"]
    while not (messages := [line["message"] for line in asked("logs", logs=mine)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert f"gemaps, functionals into {store}" in messages


def test_a_shard_that_failed_is_seen_as_failed(server, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", server)
    from prefect import flow
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.prefect_flow import shard_task

    broken: Future = Future()
    broken.set_exception(RuntimeError("its scheduler is gone"))

    @flow(name="shards", persist_result=False, validate_parameters=False)
    def shards() -> list[str]:
        waiting = shard_task.submit("run-0007", broken)
        waiting.wait()
        return [str(waiting.state.type), str(waiting.state.message)]

    with temporary_settings({PREFECT_API_URL: server}):
        state, message = shards()
    assert state.endswith("FAILED")
    assert "its scheduler is gone" in message


def test_a_port_that_is_taken_is_named(command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = command("ui", "--port", port, expect=2, PREFECT_API_URL="")
    assert said.stderr == f"merflow: port {port} is taken; choose another one with --port\n"


def test_a_server_of_ones_own_has_pages_of_its_own(command, server):
    assert f"PREFECT_API_URL is {server}: that server has pages of its own" in command("ui", expect=2).stderr


@pytest.mark.slow
def test_the_pages_come_up_beside_runs_and_end_whole(environment, tmp_path):
    port, own = _free_port(), environment | {"MERFLOW_HOME": str(tmp_path)}
    line = [sys.executable, "-m", "flows.cli", "ui", "--port", str(port)]
    with subprocess.Popen(line, env=own, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert b"<title>Prefect" in answer.read()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    deadline = time.monotonic() + 20
    while processes(f"--port {port}") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes(f"--port {port}") == []
