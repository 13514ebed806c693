"""Validates an aligned HDF5 export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import Group, h5g

from storage.exporters.hdf5.layout import FORMAT, MASK, RESERVED, TIMES
from storage.store.files import open_hdf5
from storage.store.shard_datasets import read_dataset


def validate_file(path: Path) -> Iterator[str]:
    """Re-read an export.

    Yields:
        One line per problem: wrong format, a feature that is neither there nor listed as missing, times, types, shapes
        or masks that do not fit, numbers that are not finite where the mask is True.
    """
    with open_hdf5(path) as file:
        if file.attrs.get("format") != FORMAT:
            yield f"format: expected {FORMAT}, got {file.attrs.get('format')}"
            return
        widths = {name: columns.shape[0] for name, columns in file["columns"].items()}
        missing = {name: set(ids.asstr()[...]) for name, ids in file["missing"].items()}
        clips = file["clips"].id
        for clip_id in file["clips"]:
            clip = Group(h5g.open(clips, clip_id.encode()))  # `clips[clip_id]` takes five times as long
            names = {name.decode() for name in clip.id}
            times = read_dataset(clip, TIMES)
            yield from _times_problems(times, f"clip {clip_id}, times")
            for name in names - set(RESERVED) - set(widths):
                yield f"clip {clip_id}, {name}: expected a feature of /columns"
            masks = Group(h5g.open(clip.id, MASK.encode()))
            masked = {name.decode() for name in masks.id}
            for name, width in widths.items():
                where, absent = f"clip {clip_id}, {name}", clip_id in missing.get(name, ())
                if (name in names) == absent:
                    got = "both" if absent else "neither"
                    yield f"{where}: expected values or an entry in /missing, got {got}"
                elif not absent:
                    mask = read_dataset(masks, name) if name in masked else None
                    yield from _feature_problems(read_dataset(clip, name), mask, (len(times), width), where)


def _times_problems(times: npt.NDArray[Any], where: str) -> Iterator[str]:
    if times.ndim != 2 or times.shape[1] != 2 or times.dtype != np.float64:
        yield f"{where}: expected (N, 2) float64, got {times.shape} {times.dtype}"
        return
    kept = times[~np.isnan(times).all(axis=1)]
    if not np.isfinite(kept).all() or (kept[:, 1] < kept[:, 0]).any() or (np.diff(kept[:, 0]) < 0).any():
        yield f"{where}: expected finite intervals in order of start"


def _feature_problems(
    values: npt.NDArray[Any], mask: npt.NDArray[Any] | None, expected: tuple[int, int], where: str
) -> Iterator[str]:
    if values.shape != expected or values.dtype not in (np.float32, np.float16):
        yield f"{where}: expected {expected} float32, got {values.shape} {values.dtype}"
    elif mask is None:
        yield f"{where}: expected a mask, got none"
    elif mask.shape != expected[:1] or mask.dtype != np.bool_:
        yield f"{where}: expected a mask of {expected[:1]} bool, got {mask.shape} {mask.dtype}"
    elif not np.isfinite(values[mask]).all():
        bad = values[mask][~np.isfinite(values[mask])]
        yield f"{where}: expected finite numbers where the mask is True, got {bad.size} others, first {bad[0]}"
