"""Validates computational sequences: the CMU SDK checks little of this, and fails or errs later."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from storage.errors import StoreError
from storage.exporters._shared.validation import array_problem, problems_in
from storage.exporters.csd.layout import METADATA_KEYS
from storage.store.files import open_hdf5


def validate_folder(folder: Path) -> Iterator[str]:
    """Re-read all sequences of a folder.

    Yields:
        One line per problem, with file, clip, field, what was expected and what was found.
    """
    for path in sorted(folder.rglob("*.csd")):
        yield from validate_sequence(path)


def validate_sequence(path: Path) -> Iterator[str]:
    """Re-read one sequence; see `validate_folder`."""
    try:
        file = open_hdf5(path)
    except StoreError as error:
        yield f"{path.name}: expected an HDF5 file, got what cannot be read: {error.__cause__}"
        return
    with file:
        roots = list(file)
        if len(roots) != 1:
            yield f"{path.name}: expected one root group, got {len(roots)}: {', '.join(roots)}"
            return
        yield from _metadata(path.name, file[roots[0]].get("metadata", {}))
        for clip_id, entry in file[roots[0]].get("data", {}).items():
            yield from _entry(f"{path.name}, clip {clip_id}", clip_id, entry)


def _metadata(name: str, group: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{name}, metadata {key}: expected, got none" for key in METADATA_KEYS if key not in group)
    for key, dataset in group.items():
        text = dataset[0].decode() if dataset.shape == (1,) and isinstance(dataset[0], bytes) else None
        try:
            json.loads(text or "")
        except ValueError:
            yield f"{name}, metadata {key}: expected JSON text, shape (1,), got {text!r}, shape {dataset.shape}"


def _entry(where: str, clip_id: str, entry: Any) -> Iterator[str]:
    if "[" in clip_id:
        yield f"{where}, id: expected no '[', which marks segments of aligned sequences; got {clip_id!r}"
    absent = [part for part in ("features", "intervals") if part not in entry]
    for part in absent:
        # An id with a slash makes groups within groups.
        yield f"{where}, {part}: expected a dataset, got {', '.join(entry) or 'nothing'}; is there a '/' in the id?"
    if absent:
        return
    features, intervals = entry["features"][...], entry["intervals"][...]
    if features.ndim < 2:
        yield f"{where}, features: expected (n, D), got {features.shape}"
        return
    problems = list(
        problems_in(
            [
                _values_problem(f"{where}, features", features),
                array_problem(f"{where}, intervals", intervals, (len(features), 2), np.float64),
            ]
        )
    )
    yield from problems or _times(where, intervals)


def _values_problem(where: str, features: Any) -> str | None:
    """Why features are not what the SDK takes: finite numbers, or the bytes of words."""
    if features.dtype.kind == "S":
        return None if features.all() else f"{where}: expected words, got an empty one"
    return array_problem(where, features, (None,) * features.ndim)


def _times(where: str, intervals: Any) -> Iterator[str]:
    start, end = intervals.T
    if (start < 0).any():
        yield f"{where}, intervals: expected seconds from 0, got {start.min():g}"
    if (end <= start).any():
        row = int(np.argmax(end <= start))
        yield f"{where}, intervals: expected each end after its start, got {start[row]:g} to {end[row]:g} in row {row}"
    if (np.diff(start) < 0).any():
        row = int(np.argmax(np.diff(start) < 0)) + 1
        yield f"{where}, intervals: expected rows in order of start, got {start[row]:g} after {start[row - 1]:g}"
