"""Records of runs (`runs/<run>.json`): what was asked for, by whom, and how it ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from configs.home import host_name, process_lives
from storage.errors import StoreError
from storage.store.files import list_files, read_json, remove, remove_folder, remove_if_empty, write_text
from storage.store.layout import RUN_RECORDS, flights_path, progress_path, run_path, stop_path, work_path

RUNNING = "running"
_LAST_RUNS = 20
_ENOUGH_SECONDS = 60.0


def now() -> str:
    """The time, as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_run(store: Path, run: str, record: Mapping[str, Any]) -> None:
    """Write or replace the record of one run.

    Args:
        store: Folder of the store.
        run: Id of the run.
        record: Plain JSON types.
    """
    write_text(run_path(store, run), json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def clear_work(store: Path, run: str) -> None:
    """Remove what a run noted while it worked, but for its errors.

    Args:
        store: Folder of the store.
        run: Id of the run.
    """
    remove(stop_path(store, run))
    remove(progress_path(store, run))
    remove_folder(flights_path(store, run))
    remove_if_empty(work_path(store, run))


def read_runs(store: Path) -> list[dict[str, Any]]:
    """Records of all runs, oldest first; one whose process died says `crashed`.

    Args:
        store: Folder of the store.
    """
    return [_judged(read_json(path)) for path in list_files(store, RUN_RECORDS)]


def owner() -> dict[str, Any]:
    """This process, for the record of its run."""
    import psutil

    return {"host": host_name(), "pid": os.getpid(), "since": psutil.Process().create_time()}


def live_run(runs: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """A run that is still going on, on this machine or, as far as can be told, on another one.

    Args:
        runs: What `read_runs` gave.
    """
    return next((run for run in runs if run.get("state") == RUNNING), None)


def refuse_live_run(store: Path) -> None:
    """Refuse to change what a run is working on.

    Args:
        store: Folder of the store.

    Raises:
        StoreError: Names the run, its machine and process.
    """
    run = live_run(read_runs(store))
    if run is not None:
        by = run.get("owner", {})
        where = f" (host {by['host']}, process {by['pid']})" if by else ""
        raise StoreError(
            f"{store}: run {run['run']} is going on{where}; wait for its end, or stop it. If its machine is gone for "
            f"good, remove {run_path(store, run['run'])}"
        )


def wanted_digests(runs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Digest of each feature as the last run that was asked for it has it.

    Args:
        runs: Records, oldest first.
    """
    digests: dict[str, str] = {}
    for run in runs:
        digests |= dict(run.get("features", {}))
    return digests


def recorded_crop_roots(runs: Iterable[Mapping[str, Any]]) -> dict[str, Path]:
    """Folder of the released crops that each feature is made from, as the last run that was asked for it has it.

    Args:
        runs: Records, oldest first.
    """
    roots: dict[str, str | None] = {}
    for run in runs:
        roots |= {feature: run.get("crops", {}).get(feature) for feature in run.get("features", {})}
    return {feature: Path(root) for feature, root in roots.items() if root is not None}


def is_gone(by: Mapping[str, Any] | None) -> bool:
    """Whether a process is known to be gone: one of this machine; of another one that cannot be told.

    Args:
        by: What `owner` gave.
    """
    if by is None or by["host"] != host_name():
        return False
    return not process_lives(by["pid"], by["since"])


def usual_rate(store: Path, features: Iterable[str]) -> float | None:
    """Seconds of work that a second of media took in the last finished run with these features; None if there is none.

    Args:
        store: Folder of the store.
        features: Names of the features.
    """
    stages = {"decode", *features}
    for path in reversed(list_files(store, RUN_RECORDS)[-_LAST_RUNS:]):
        run = read_json(path)
        is_alike = stages <= {"decode", *run.get("features", {})} and run.get("state") == "finished"
        if is_alike and run.get("media_seconds", 0.0) >= _ENOUGH_SECONDS:
            return float(sum(run["seconds"].get(stage, 0.0) for stage in stages) / run["media_seconds"])
    return None


def _judged(record: dict[str, Any]) -> dict[str, Any]:
    """The record; `crashed` instead of `running` where the process of this machine is gone."""
    by = record.get("owner")
    if record.get("state") != RUNNING or (by is not None and not is_gone(by)):
        return record
    return record | {"state": "crashed"}  # merflow 0.1 did not say whose it was, and no run of it is that old
