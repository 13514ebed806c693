"""Kills parts of runs at random moments, then runs the same command again: nothing may be lost, changed or done twice.

python -m benchmarks.crash [--kills 20] [--kinds local:flow,dask:worker] [--seed 1]

Kinds: `local` and `dask` runs, of which the flow's process, a worker, the Prefect server, or the whole process group is
killed with SIGKILL; `given`: a Dask scheduler of its own is killed. The ratio is the most clips that a kill cost, by
the clips that were in hand and those that a published interval can hold; most is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from benchmarks._report import report
from flows.prefect_server import prefect_server
from storage import open_store
from storage.store.verify import results_digest

CLIPS = 32
SECONDS = 0.25  # that each clip takes at least
INTERVAL = 1.0
KINDS = (
    "local:flow", "local:worker", "local:server", "local:group",
    "dask:flow", "dask:worker", "dask:group", "given:scheduler",
)  # fmt: skip
PLANTED = """
import os, time
from extractors.core.media import clip_media
decode = clip_media.Media.decode
def noted(self):
    with open(os.environ["CRASH_LOG"], "a") as file:
        file.write(self.clip.id + "\\n")
    time.sleep({seconds})
    decode(self)
clip_media.Media.decode = noted
"""


class Campaign:
    """A corpus, a configuration, and what an uninterrupted run makes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number, self.own_server = folder, 0, False
        media = folder / "media"
        media.mkdir()
        noise = np.random.default_rng(0).integers(-3000, 3000, 16000, np.int16)
        for i in range(CLIPS):
            with wave.open(str(media / f"clip_{i:02d}.wav"), "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
                file.writeframes(noise[: 16000 - 100 * i].tobytes())
        (folder / "planted").mkdir()
        (folder / "planted" / "sitecustomize.py").write_text(PLANTED.format(seconds=SECONDS), encoding="utf-8")
        config = {
            "extractors": [{"name": "gemaps"}, {"name": "gemaps", "feature": "all", "level": "functionals"}],
            "cluster": {"publish_seconds": INTERVAL, "shard_seconds": 8},
        }
        (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
        self._merflow("ingest", media, "--out", folder / "m.parquet").wait()
        self.run("local").wait()
        self.whole = results_digest(open_store(self.store))

    @property
    def store(self) -> Path:
        """The store of the current kill."""
        return self.folder / f"store_{self.number}"

    @property
    def log(self) -> Path:
        """What was decoded for it."""
        return self.folder / f"decoded_{self.number}.txt"

    def decoded(self) -> list[str]:
        """Ids of the clips that were begun, in order."""
        return self.log.read_text(encoding="utf-8").split() if self.log.exists() else []

    @property
    def home(self) -> Path:
        """Merflow's own folder of runs that have a Prefect server of their own."""
        return self.folder / "home"

    def run(self, engine: str, *, own_server: bool = False) -> subprocess.Popen[bytes]:
        """Start the command."""
        self.own_server = own_server
        arguments = ("-c", self.folder / "config.yaml", "-m", self.folder / "m.parquet", "-s", self.store)
        return self._merflow("run", *arguments, "--engine", engine, "--workers", 2)

    def _merflow(self, *arguments: object) -> subprocess.Popen[bytes]:
        planted = {"PYTHONPATH": _python_path(self.folder), "CRASH_LOG": str(self.log)}
        command = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
        out = (self.folder / "output.txt").open("ab")
        environment = os.environ | planted
        if self.own_server:
            environment = {k: v for k, v in environment.items() if not k.startswith("PREFECT_")}
            environment["MERFLOW_HOME"] = str(self.home)
        with out:
            return subprocess.Popen(
                command, env=environment, stdout=out, stderr=out, start_new_session=True, cwd=self.folder
            )


def _python_path(folder: Path) -> str:
    """What is planted, and this very checkout, whichever one is installed."""
    return os.pathsep.join((str(folder / "planted"), str(Path(__file__).resolve().parents[1])))


def stored_clips(store: Path) -> set[str]:
    """Clips of which every feature is stored."""
    if not (store / "store.json").exists():
        return set()
    opened = open_store(store)
    counts = Counter(clip_id for name in opened.specs for clip_id in opened.index.ids if opened.has(clip_id, name))
    return {clip_id for clip_id, count in counts.items() if count == 2}


def target(
    campaign: Campaign, run: subprocess.Popen[bytes], what: str, scheduler: subprocess.Popen[bytes] | None
) -> list[int]:
    """Processes to kill."""
    if what == "flow":
        return [run.pid]
    if what == "scheduler" and scheduler is not None:
        return [scheduler.pid]
    lines = {p.pid: " ".join(p.cmdline()) for p in psutil.Process(run.pid).children(recursive=True) if p.is_running()}
    if what == "group":
        return [run.pid, *lines]
    if what == "server":
        keepers = [p for p in psutil.process_iter() if str(campaign.home) in " ".join(_line(p))]
        return [p.pid for keeper in keepers for p in (*keeper.children(recursive=True), keeper)]
    marks = ("flows.engines.child", "multiprocessing.spawn")
    return [pid for pid, line in lines.items() if any(mark in line for mark in marks)][:1]


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def given_scheduler(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Dask scheduler and two workers, in processes of their own."""
    file = folder / f"scheduler_{time.monotonic_ns()}.json"
    log = (folder / "dask.txt").open("ab")
    environment = os.environ | {"PYTHONPATH": _python_path(folder)}
    options = ("--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard")
    of_worker = ("--nworkers", "2", "--nthreads", "1", "--death-timeout", "5")
    scheduler, worker = (
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{name}", *options, *more],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
        for name, more in (("scheduler", ("--port", "0")), ("worker", of_worker))
    )
    while not file.exists():
        time.sleep(0.1)
    try:
        yield json.loads(file.read_text(encoding="utf-8"))["address"], scheduler
    finally:
        for process in (worker, scheduler):
            for child in [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []:
                child.kill()
            process.kill()
            process.wait()
        log.close()


def one_kill(campaign: Campaign, kind: str, chance: random.Random) -> dict[str, object]:
    """Kill once, run again, compare."""
    engine, what = kind.split(":")
    campaign.number += 1
    os.environ["CRASH_LOG"] = str(campaign.log)
    scheduler = None
    with given_scheduler(campaign.folder) if engine == "given" else _nothing() as given:
        engine, scheduler = given if given is not None else (engine, None)
        run = campaign.run(engine, own_server=what == "server")
        while run.poll() is None and not campaign.decoded():
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.8 * CLIPS * SECONDS))
        for pid in target(campaign, run, what, scheduler) if run.poll() is None else []:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if what in {"flow", "group"}:
            run.wait()
            time.sleep(1.0)  # children end with it
    survived = run.wait()
    before, begun = stored_clips(campaign.store), campaign.decoded()
    again = campaign.run("local").wait()
    rerun = campaign.decoded()[len(begun) :]
    lost = len(set(begun) - before) if what in {"flow", "group"} else len(begun) - len(set(begun))
    return {
        "kind": kind,
        "exit": survived,
        "rerun": again,
        "same": results_digest(open_store(campaign.store)) == campaign.whole,
        "done_twice": sorted(before & set(rerun)),
        "lost": lost,
    }


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=2, help="of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 30)
    chance = random.Random(seed)  # moments, not secrets
    # In hand: two workers with a clip and the next one; and what they finish in an interval.
    most = 2 * (2 + INTERVAL / SECONDS) + 2
    kills: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch, prefect_server():
        campaign = Campaign(Path(scratch))
        for kind in arguments.kinds.split(","):
            for _ in range(arguments.kills):
                kills.append(one_kill(campaign, kind, chance))
                print(json.dumps(kills[-1]), flush=True)
    bad = [k for k in kills if not k["same"] or k["done_twice"] or k["rerun"] != 0]
    worst = max(int(str(k["lost"])) for k in kills)
    report("crash", ratio=worst / most, kills=len(kills), bad=len(bad), most_lost=worst, seed=seed)
    sys.exit(bool(bad) or worst > most)


if __name__ == "__main__":
    main()
