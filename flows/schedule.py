"""What a tick of a schedule decides and does; knows nothing of Prefect."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from configs.processes import python_module
from storage.store.runs import RUNNING

END_SECONDS = 20.0
"""How long a run that is to end may take: it publishes what it has finished."""


def needless(runs: Sequence[Mapping[str, Any]], schedule: str, due: datetime) -> str:
    """Why a tick need not run; empty if it must.

    Args:
        runs: What `read_runs` gives.
        schedule: Name of the schedule.
        due: When the tick was due.
    """
    mine = [run for run in runs if run.get("schedule") == schedule]
    going_on = next((run for run in mine if run.get("state") == RUNNING), None)
    if going_on is not None:
        return f"skipped: run {going_on['run']} of this schedule is still going on"
    later = next((run for run in mine if datetime.fromisoformat(run["started"]) > due.astimezone(UTC)), None)
    if later is not None:
        return f"skipped: this tick was due at {due.isoformat(timespec='seconds')}, run {later['run']} began after that"
    return ""


def is_behind(runs: Sequence[Mapping[str, Any]], schedule: str, last_due: datetime) -> bool:
    """Whether a tick was missed: the last run of the schedule began before it. Of a new schedule, none was.

    Args:
        runs: What `read_runs` gives.
        schedule: Name of the schedule.
        last_due: When the last tick was due.
    """
    began = [datetime.fromisoformat(run["started"]) for run in runs if run.get("schedule") == schedule]
    return bool(began) and max(began) < last_due.astimezone(UTC)


def last_due(cron: str | None, every: float, timezone: str) -> datetime:
    """When the last tick was due.

    Args:
        cron: When, as cron writes it; None for `every`.
        every: Seconds between ticks.
        timezone: Name of the time zone that `cron` is about.
    """
    now = datetime.now(ZoneInfo(timezone))
    return next(CronSim(cron, now, reverse=True)) if cron else now - timedelta(seconds=every)


def run_command(command: Sequence[str]) -> tuple[int, str]:
    """Run `merflow` in a process of its own; it is ended where this one is.

    Args:
        command: Arguments of `merflow`.

    Returns:
        Its exit code, and the last line that it said.
    """
    process = subprocess.Popen(
        python_module("flows.cli", *command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    last = ""
    try:
        for line in process.stdout or ():
            last = line.strip() or last
            say(line.rstrip())
        return process.wait(), last
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def say(line: str) -> None:
    """A line for the log of a schedule."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
