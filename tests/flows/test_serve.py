"""Schedules: ticks of a real Prefect deployment, what each of them does, and how it all ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from flows.schedule import is_behind, last_due, needless
from storage.store.runs import read_runs
from tests.flows.conftest import processes
from tests.flows.stores import times_computed
from tests.flows.test_survival import GATE

pytestmark = pytest.mark.without_prefect  # but for the nights, which ask for the server

DUE = datetime(2026, 11, 26, 2, tzinfo=UTC)


def record(minutes, **more):
    started = (DUE + timedelta(minutes=minutes)).isoformat(timespec="seconds")
    return {"run": f"r{minutes}", "schedule": "nightly", "state": "finished", "started": started} | more


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        ([], ""),
        ([record(-60)], ""),
        ([record(-60, state="crashed")], ""),
        ([record(-60), record(1)], "this tick was due at 2026-11-26T02:00:00+00:00, run r1 began after that"),
        ([record(1, schedule="another")], ""),
        ([record(1, schedule=None)], ""),
        ([record(-60, state="running")], "run r-60 of this schedule is still going on"),
        ([record(-60, state="running", schedule="another")], ""),
    ],
)
def test_ticks_that_were_missed_become_one_run(runs, why):
    assert needless(runs, "nightly", DUE).removeprefix("skipped: ") == why


@pytest.mark.parametrize(
    ("runs", "behind"),
    [([], False), ([record(-60)], True), ([record(1)], False), ([record(-60), record(1)], False),
     ([record(-60, schedule="another")], False)],
)  # fmt: skip
def test_what_was_missed_while_nobody_served_is_made_up_for_once(runs, behind):
    assert is_behind(runs, "nightly", DUE) is behind


def test_the_last_tick_is_known_in_the_schedules_own_time_zone():
    due = last_due("0 2 * * *", 0, "Asia/Jakarta")
    assert (due.hour, due.minute, due.utcoffset()) == (2, 0, timedelta(hours=7))
    assert timedelta(0) <= datetime.now(UTC) - due < timedelta(hours=24)
    assert timedelta(seconds=59) <= datetime.now(UTC) - last_due(None, 60, "UTC") < timedelta(seconds=70)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], 'give either --cron "0 2 * * *" or --every SECONDS'),
        (["--cron", "0 2 * * *", "--every", "9"], "give either"),
        (["--cron", "two o'clock"], "expected five fields: minute hour day month weekday"),
        (["--cron", "61 2 * * *"], "expected five fields"),
        (["--every", "9", "--timezone", "Mars/Base"], "no such time zone; one like Europe/Berlin"),
    ],
)
def test_a_schedule_that_is_none_is_refused_at_once(merflow, config, corpus, tmp_path, options, said):
    line = ["serve", "-c", config, "-s", tmp_path / "s", "--corpus", "folder", corpus]
    assert said in merflow(*line, *options, expect=2).stderr


def test_a_corpus_that_is_not_there_is_refused_at_once(merflow, config, tmp_path):
    line = ["serve", "-c", config, "-s", tmp_path / "s", "--corpus", "folder", tmp_path / "none", "--every", "9"]
    assert "none: no such corpus" in merflow(*line, expect=2).stderr


def test_a_scheduled_run_leaves_a_record_also_of_nothing(merflow, config, corpus, tmp_path):
    line = ["run", "-c", config, "-s", tmp_path / "s", "--corpus", "folder", corpus, "--features", "functionals"]
    for _ in "ab":
        merflow(*line, "--schedule", "nightly")
    merflow(*line)
    runs = read_runs(tmp_path / "s")
    assert [(run["schedule"], run.get("outcomes", {}).get("stored")) for run in runs] == [
        ("nightly", 3),
        ("nightly", None),
    ]


class Served:
    """`merflow serve` in a process of its own, every few seconds."""

    def __init__(self, line, environment, log):
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", "serve", *map(str, line)],
                env=environment, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def wait_for(self, what, seconds=120):
        deadline = time.monotonic() + seconds
        while not what():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM if kind is None else signal.SIGKILL)
        code = self.process.wait(60)
        assert kind is not None or code == 0, self.log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_nights(many, server, environment, merflow, tmp_path):
    """Ticks with new clips between them, one while the last run still goes on, one after a kill; then ten missed."""
    folder, store, opened, log = tmp_path / "clips", tmp_path / "s", tmp_path / "opened", tmp_path / "log.txt"
    folder.mkdir()
    for path in sorted(many[0].iterdir())[:4]:
        path.rename(folder / path.name)
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "sitecustomize.py").write_text(GATE.format(opened=str(opened)), encoding="utf-8")
    own = environment | {"PREFECT_API_URL": server, "PYTHONPATH": str(tmp_path / "gate")}
    line = ["-c", many[1], "-s", store, "--corpus", "folder", folder, "--every", "10", "--engine", "local"]

    def ran(state="finished"):
        return [run for run in read_runs(store) if run["state"] == state] if store.exists() else []

    with Served(line, own, log) as served:
        served.wait_for(lambda: len(ran()) == 1)  # the first night
        assert len(times_computed(store)) == 8
        served.wait_for((tmp_path / "s_report" / "index.html").exists)
        (many[0] / "clip_05.wav").rename(folder / "clip_05.wav")
        served.wait_for(lambda: len(times_computed(store)) == 10)  # a new clip, the next night
        served.wait_for(lambda: not ran("running"))
        (many[0] / "clip_30.wav").rename(folder / "clip_30.wav")
        served.wait_for(lambda: len(ran("running")) == 1)  # it waits at the gate, and ticks go by
        (going_on,) = ran("running")
        time.sleep(22)
        assert [run["run"] for run in ran("running")] == [going_on["run"]]
        os.kill(going_on["owner"]["pid"], signal.SIGKILL)
        served.wait_for(lambda: len(ran("crashed")) == 1)
        opened.touch()
        served.wait_for(lambda: len(times_computed(store)) == 12)  # the night after
    assert processes(str(store)) == []
    assert set(times_computed(store).values()) == {1}
    assert "Traceback" not in log.read_text()

    for path in sorted((store / "runs").glob("*.json")):  # ten ticks ago
        found = json.loads(path.read_text(encoding="utf-8"))
        found["started"] = (datetime.fromisoformat(found["started"]) - timedelta(hours=10)).isoformat()
        path.write_text(json.dumps(found), encoding="utf-8")
    (folder / "broken.wav").write_bytes(b"no audio")
    line[line.index("--every") + 1], nights = "3600", len(read_runs(store))
    with Served(line, own, log) as served:
        served.wait_for(lambda: len(read_runs(store)) > nights and not ran("running"))
        time.sleep(25)
        assert len(read_runs(store)) == nights + 1
    with Served(line, own, log) as served:  # nothing is missed now
        served.wait_for(lambda: log.read_text().count("serving s every 3600 s") == 2)
        time.sleep(25)
        assert len(read_runs(store)) == nights + 1
    assert log.read_text().count("a tick was missed while nobody served") == 1
    told = {event["payload"]["run"]: event["payload"] for event in events(server, "merflow.run.failed", 2)}
    assert told.keys() == {going_on["run"], read_runs(store)[-1]["run"]}
    assert {payload["store"] for payload in told.values()} == {str(store)}
    assert told[going_on["run"]]["exit_code"] == -signal.SIGKILL
    assert told[read_runs(store)[-1]["run"]]["outcomes"]["failed"] == 2


def events(server, name, count):
    body = json.dumps({"filter": {"event": {"name": [name]}}}).encode()
    request = urllib.request.Request(f"{server}/events/filter", body, {"Content-Type": "application/json"})
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = json.load(answer)["events"]
        if len(found) >= count:
            return found
        time.sleep(1)
    return []
