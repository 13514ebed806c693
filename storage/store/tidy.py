"""Bounds on what runs leave beside their results: records, tracebacks, notes of runs that died."""

from __future__ import annotations

from pathlib import Path

from storage.store.files import list_files, remove, remove_folder, subfolders
from storage.store.layout import RUN_RECORDS, run_path, runs_path, work_path
from storage.store.runs import RUNNING, read_runs

MOST_RECORDS, MOST_TRACEBACKS = 1000, 100
"""Records of runs that are kept, and runs whose tracebacks are kept: the newest; a year of nights and more."""


def tidy_runs(store: Path) -> int:
    """Remove records of old runs, tracebacks of older ones than that, and notes of runs that died.

    A record stays, however old, while it is the last one that names some feature: it says which recipe counts.

    Args:
        store: Folder of the store.

    Returns:
        How many runs lost something.
    """
    names, noting = [path.stem for path in list_files(store, RUN_RECORDS)], subfolders(runs_path(store))
    if len(names) <= MOST_TRACEBACKS and set(noting) <= set(names):
        return 0  # known without reading one
    runs = read_runs(store)
    last_of = {feature: run["run"] for run in runs for feature in run.get("features", {})}
    alive = {run["run"] for run in runs if run.get("state") == RUNNING}
    kept = {run["run"] for run in runs[-MOST_RECORDS:]} | set(last_of.values()) | alive
    noted = {run["run"] for run in runs[-MOST_TRACEBACKS:]} | alive
    touched = set()
    for run in runs:
        if run["run"] not in kept:
            remove(run_path(store, run["run"]))
            touched.add(run["run"])
    for name in noting:
        if name not in noted:
            remove_folder(work_path(store, name))
            touched.add(name)
    return len(touched)
