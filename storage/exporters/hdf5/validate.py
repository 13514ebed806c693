"""Validates an aligned HDF5 export."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import Group, h5g

from configs.processes import python_module
from storage.errors import StoreError
from storage.exporters.hdf5.layout import FORMAT, MASK, RESERVED, TIMES
from storage.store.files import open_hdf5
from storage.store.shard_datasets import read_dataset

LARGE_BYTES = 64 << 20
"""From here on two processes take less time than it takes to start the second one: HDF5 uses one core a process."""


def validate_file(path: Path) -> Iterator[str]:
    """Re-read an export, a large one in two processes.

    Yields:
        One line per problem: wrong format, a feature that is neither there nor listed as missing, times, types, shapes
        or masks that do not fit, numbers that are not finite where the mask is True.

    Raises:
        StoreError: If the second process ends before it has read its half.
    """
    if path.stat().st_size < LARGE_BYTES:
        yield from problems(path)
        return
    command = python_module("storage.exporters.hdf5.second_half", str(path.absolute()))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as other:
        try:
            yield from problems(path, part=0, parts=2)
            found, said = other.communicate()
        finally:
            other.kill()  # it has ended, or nobody wants to know any more
    if other.returncode:
        why = "".join(f" ({line})" for line in said.decode(errors="replace").strip().splitlines()[-1:])
        raise StoreError(f"the export is not kept: the process that re-read it ended with {other.returncode}{why}")
    yield from json.loads(found)


def problems(path: Path, part: int = 0, parts: int = 1) -> Iterator[str]:
    """Re-read a part of the clips of an export.

    Args:
        path: The file.
        part: Which, from 0.
        parts: How many there are.

    Yields:
        What `validate_file` does.
    """
    with open_hdf5(path) as file:
        if file.attrs.get("format") != FORMAT:
            if part == 0:  # told once
                yield f"format: expected {FORMAT}, got {file.attrs.get('format')}"
            return
        widths = {name: columns.shape[0] for name, columns in file["columns"].items()}
        missing = {name: set(ids.asstr()[...]) for name, ids in file["missing"].items()}
        known = {*RESERVED, *widths}
        clips, ids = file["clips"].id, list(file["clips"])
        for clip_id in ids[part * len(ids) // parts : (part + 1) * len(ids) // parts]:
            clip = Group(h5g.open(clips, clip_id.encode()))  # `clips[clip_id]` takes five times as long
            names = {name.decode() for name in clip.id}
            times = read_dataset(clip, TIMES)
            yield from _times_problems(times, f"clip {clip_id}, times")
            for name in names - known:
                yield f"clip {clip_id}, {name}: expected a feature of /columns"
            masks = Group(h5g.open(clip.id, MASK.encode()))
            masked = {name.decode() for name in masks.id}
            for name, width in widths.items():
                problem = None
                if (name in names) == (clip_id in missing.get(name, ())):
                    problem = f"expected values or an entry in /missing, got {'both' if name in names else 'neither'}"
                elif name in names:
                    mask = read_dataset(masks, name) if name in masked else None
                    problem = _feature_problem(read_dataset(clip, name), mask, (len(times), width))
                if problem:
                    yield f"clip {clip_id}, {name}: {problem}"


def _times_problems(times: npt.NDArray[Any], where: str) -> Iterator[str]:
    if times.ndim != 2 or times.shape[1] != 2 or times.dtype != np.float64:
        yield f"{where}: expected (N, 2) float64, got {times.shape} {times.dtype}"
        return
    kept = times[~np.isnan(times).all(axis=1)]
    if not np.isfinite(kept).all() or (kept[:, 1] < kept[:, 0]).any() or (np.diff(kept[:, 0]) < 0).any():
        yield f"{where}: expected finite intervals in order of start"


def _feature_problem(values: npt.NDArray[Any], mask: npt.NDArray[Any] | None, expected: tuple[int, int]) -> str | None:
    if values.shape != expected or values.dtype not in (np.float32, np.float16):
        return f"expected {expected} float32, got {values.shape} {values.dtype}"
    if mask is None:
        return "expected a mask, got none"
    if mask.shape != expected[:1] or mask.dtype != np.bool_:
        return f"expected a mask of {expected[:1]} bool, got {mask.shape} {mask.dtype}"
    if np.isfinite(values).all() or np.isfinite(values[mask]).all():
        return None
    bad = values[mask][~np.isfinite(values[mask])]
    return f"expected finite numbers where the mask is True, got {bad.size} others, first {bad[0]}"
