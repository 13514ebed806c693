"""What a person sees while a run goes on, here and from another terminal."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time

import pytest
from rich.console import Console

from flows.live import NotedProgress, live_line, read_live
from flows.plan import Plan
from flows.progress import Bar, Hand, Lines, Progress
from storage.records import Failure
from storage.store.runs import owner
from tests.media import write_clip


class Kept(Progress):
    def __init__(self):
        self.lines: list[str] = []

    def say(self, text):
        self.lines.append(text)


def test_every_failure_is_said_once_with_its_reason(merflow, config, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "good.wav", seconds=0.5, video=False)
    write_clip(folder / "short.wav", seconds=0.03, video=False)
    (folder / "broken.mp4").write_bytes(b"nothing" * 99)
    line = ["run", "-c", config, "--corpus", "folder", folder, "-s", tmp_path / "s"]
    said = merflow(*line, expect=1)
    both = said.stdout + said.stderr
    for clip, reason in (("short", "too_short"), ("broken", "undecodable")):
        told = [text for text in both.splitlines() if f"failed {clip}: {reason}: " in text]
        assert len(told) == 1
        assert told[0].endswith("(gemaps, functionals)")
    assert "failed: 2 clips (" in said.stdout
    again = merflow(*line, expect=1)
    assert "failed short" not in again.stdout + again.stderr
    assert "failed short: too_short" in merflow("status", tmp_path / "s", expect=1).stdout


def test_the_bar_says_what_workers_have_in_hand_and_markup_in_names_is_text():
    screen = io.StringIO()
    bar = Bar(Console(file=screen, force_terminal=True, color_system=None, width=200))
    bar.begin(Plan(("gemaps",), 9, (), 9.0), "3 processes")
    bar.in_hand([Hand("r-0", ("a[/red]", "b")), Hand("r-1", ("c",))])
    bar.failures([Failure("d[/b]", "gemaps", "too_short", "[oops]")])
    bar._bar.refresh()
    bar.end()
    assert "(a[/red], b; c)" in screen.getvalue()
    assert "failed d[/b]: too_short: [oops] (gemaps)" in screen.getvalue()


def test_lines_are_quiet(capsys):
    lines = Lines()
    lines.in_hand([Hand("r-0", ("a",))])
    assert capsys.readouterr().err == ""


def test_a_run_is_noted_where_others_can_read_it(tmp_path, monkeypatch):
    monkeypatch.setattr("flows.live.NOTE_SECONDS", 0.05)
    store, run = tmp_path, "r"
    (store / "runs" / "r" / "flight").mkdir(parents=True)
    (store / "runs" / "r" / "flight" / "r-0").write_text("+ a\n+ b\n- a\n")
    (store / "runs" / "r.json").write_text(json.dumps({"run": run, "state": "running", "owner": owner()}))
    assert live_line(read_live(store)) == "run r begins"
    noted = NotedProgress(Kept(), store, run)
    noted.begin(Plan((), 4, (0, 1, 2, 3), 9.0), "here")
    noted.clips_done(2, 1)
    deadline = time.monotonic() + 10
    while read_live(store)["done"] < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    found = read_live(store)
    noted.close()
    assert (found["done"], found["failed"], found["total"]) == (2, 1, 4)
    assert found["in_hand"] == [{"shard": "r-0", "clips": ["b"]}]
    assert found["clips_per_second"] > 0
    assert live_line(found).startswith("run r: 2/4 clips, 1 failed, ")
    (store / "runs" / "r.json").write_text(json.dumps({"run": run, "state": "finished"}))
    assert read_live(store) is None


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_another_terminal_follows_a_run_until_its_end(command, environment, server, many, tmp_path):
    folder, config, *_ = many
    line = ["run", "-c", config, "--corpus", "folder", folder, "-s", tmp_path / "s", "--engine", "local"]
    own = environment | {"PREFECT_API_URL": server}
    run = [sys.executable, "-m", "flows.cli", *map(str, line)]
    with subprocess.Popen(run, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 100
        while not list((tmp_path / "s" / "runs").glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.1)
        watched = command("status", tmp_path / "s", "--watch")
        assert process.wait(60) == 0
    assert watched.stderr.splitlines()[0].startswith("run ")
    assert "complete" in watched.stdout
    found = json.loads(command("status", tmp_path / "s", "--json").stdout)
    assert found["live"] is None
    (record,) = (tmp_path / "s" / "runs").glob("*.json")
    assert not record.with_suffix("").exists()  # nothing of the progress is left
