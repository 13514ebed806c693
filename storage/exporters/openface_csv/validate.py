"""Validates OpenFace CSV files: its readers take columns by name and believe every number."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from storage.exporters.openface_csv.layout import FOLDER, LEADING
from storage.vocabulary.openface_columns import ALL_BLOCKS


def validate_folder(folder: Path) -> Iterator[str]:
    """Re-read all files of a folder.

    Yields:
        One line per problem, with file, field, what was expected and what was found.
    """
    paths = sorted((folder / FOLDER).glob("*.csv"))
    if not paths:
        yield f"{FOLDER}: expected CSV files, got none"
    for path in paths:
        yield from _file(path)


def _file(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    own = header[len(LEADING) :]
    if tuple(header[: len(LEADING)]) != LEADING or not own or own != [name for name in ALL_BLOCKS if name in set(own)]:
        yield f"{path.name}: expected {', '.join(LEADING)} and OpenFace's columns in its order, got {header[:9]}"
        return
    short = next((number for number, row in enumerate(rows, 2) if len(row) != len(header)), None)
    if short is not None:
        yield f"{path.name}, line {short}: expected {len(header)} cells, got {len(rows[short - 2])}"
        return
    table = np.array(rows, np.float64).reshape(-1, len(header))
    if not np.isfinite(table).all():
        yield f"{path.name}: expected finite numbers, got {int((~np.isfinite(table)).sum())} that are not"
    frames, timestamps, success = table[:, 0], table[:, 2], table[:, 4]
    if not np.array_equal(frames, np.arange(1, len(frames) + 1)):
        yield f"{path.name}, frame: expected whole numbers from 1, got {frames[:3].tolist()}"
    if (np.diff(timestamps) < 0).any():
        yield f"{path.name}, timestamp: expected rows in order"
    if not np.isin(success, (0, 1)).all():
        yield f"{path.name}, success: expected 0 or 1"
    elif table[success == 0, len(LEADING) :].any():
        yield f"{path.name}: expected zeros where success is 0"
