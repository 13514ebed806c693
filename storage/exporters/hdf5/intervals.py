"""Words or other intervals of clips, read from a file: the clock of exports that are aligned to them.

CSV with the columns `clip_id,start,end` and, if known, `label` (UTF-8); or JSON, a list of objects with these keys.
Seconds from the clip's start. Word times from a forced aligner have this shape.
"""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from configs.errors import RunError
from storage.timeline import Times

_KEYS = ("clip_id", "start", "end")


class Intervals(NamedTuple):
    """The intervals of one clip, in order of start.

    Attributes:
        times: (N, 2) float64 seconds.
        labels: One text each, such as the word; empty where the file has none.
    """

    times: Times
    labels: tuple[str, ...]


def read_intervals(path: Path) -> dict[str, Intervals]:
    """Read the intervals of all clips.

    Args:
        path: A `.csv` or `.json` file.

    Raises:
        RunError: If it cannot be read, or a row lacks a value or ends before it starts; names the row.
    """
    by_clip: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    try:
        for number, row in enumerate(_rows(path), 1):
            by_clip[str(row["clip_id"])].append(_interval(row, f"{path}: row {number}"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise RunError(
            f"{path}: expected rows of {', '.join(_KEYS)}[, label]; {type(error).__name__}: {error}"
        ) from error
    return {clip_id: _ordered(rows) for clip_id, rows in by_clip.items()}


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix not in {".csv", ".json"}:
        raise RunError(f"{path}: expected intervals in a file named *.csv or *.json")
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file) if path.suffix == ".csv" else json.load(file)


def _interval(row: Mapping[str, Any], where: str) -> tuple[float, float, str]:
    start, end = float(row["start"]), float(row["end"])
    if not (math.isfinite(start) and math.isfinite(end) and start <= end):
        raise RunError(
            f"{where}: expected start and end in seconds, the end not before the start; got {start} and {end}"
        )
    return start, end, str(row.get("label") or "")


def _ordered(rows: list[tuple[float, float, str]]) -> Intervals:
    rows.sort(key=lambda row: row[:2])
    labels = tuple(label for _, _, label in rows)
    return Intervals(np.array([row[:2] for row in rows], np.float64), labels if any(labels) else ())
