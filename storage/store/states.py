"""What became of every clip of a manifest for a feature: one join of columns, no clip looked at one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.identity import BESIDE, INPUTS
from storage.manifest_files import ManifestColumns
from storage.store.feature_rows import FORGOTTEN
from storage.store.index import Index

RETRIED = ("missing_file", "lfs_pointer", "media_changed")
"""Reasons outside of the clip: a plain run tries again what failed for one of them."""
RECIPE = "recipe"
Legacy = Callable[[], npt.NDArray[np.uint64]]


class State(IntEnum):
    """State of a clip for a feature; every planned pair has exactly one."""

    MISSING = 0
    STORED = 1
    FAILED = 2
    SKIPPED = 3
    STALE = 4


@dataclass(frozen=True)
class States:
    """States of all clips of a manifest for one feature, in manifest order.

    Attributes:
        state: (n,) `State`.
        attempt: (n,) how often the clip was tried so far; 0 where never.
        again: (n,) bool: failures that a plain run tries again.
        changed: By what changed, an input's name or `recipe`: (n,) bool of the stale ones.
        number: (n,) clip number in the index; -1 for clips that it does not know.
    """

    state: npt.NDArray[np.uint8]
    attempt: npt.NDArray[np.int64]
    again: npt.NDArray[np.bool_]
    changed: dict[str, npt.NDArray[np.bool_]]
    number: npt.NDArray[np.int64]

    def count(self, state: State) -> int:
        """How many clips are in a state."""
        return int((self.state == state).sum())


def clip_numbers(index: Index, columns: ManifestColumns) -> npt.NDArray[np.int64]:
    """Number in the index of each clip of a manifest; -1 where it has none.

    Args:
        index: What is stored.
        columns: The manifest.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pa.array(index.ids, pa.string())
    found: npt.NDArray[np.int64] = pc.index_in(columns.ids, known).fill_null(-1).to_numpy().astype(np.int64)
    del known
    pa.default_memory_pool().release_unused()  # the table that was looked up in is gone, and not needed again
    return found


def states_of(
    index: Index,
    feature: str,
    digest: str | None,
    columns: ManifestColumns,
    numbers: npt.NDArray[np.int64],
    legacy: Legacy,
) -> States:
    """States of all clips for one feature.

    Args:
        index: What is stored.
        feature: Name of the feature.
        digest: Digest of the recipe that counts; results of another one are stale. None for whatever is stored.
        columns: The manifest.
        numbers: What `clip_numbers` gave.
        legacy: Gives each clip's fingerprint as merflow 0.1 made it; called only where such results are stored.
    """
    n_clips = len(columns)
    state = np.full(n_clips, State.MISSING, np.uint8)
    attempt = np.zeros(n_clips, np.int64)
    again = np.zeros(n_clips, np.bool_)
    changed: dict[str, npt.NDArray[np.bool_]] = {}
    rows = index.features.get(feature)
    if rows is None or not n_clips:
        return States(state, attempt, again, changed, numbers)
    at = np.where((numbers >= 0) & (numbers < len(rows.file)), numbers, len(rows.file))
    file, start = _taken(rows.file, at, -1), _taken(rows.start, at, -1)
    removed = _taken(rows.removed, at, 0)
    exists = (file >= 0) & (removed == 0)
    stored = exists & (start >= 0)
    state[stored] = State.STORED
    failed = np.flatnonzero((file >= 0) & (start < 0) & (removed != FORGOTTEN))
    numbers_of = _taken(rows.stop, at, -1)
    for place in failed.tolist():
        failure = index.failures[numbers_of[place]]
        attempt[place] = failure.attempt
        if exists[place]:
            state[place] = State.SKIPPED if failure.state == "skipped" else State.FAILED
            again[place] = failure.reason in RETRIED
    differs = _differing(index, rows.inputs, file, at, columns, legacy)
    other = np.zeros(n_clips, np.bool_)
    for mask in differs.values():
        other |= mask
    # Values made from other inputs are stale; a failure for other inputs says nothing of these.
    again |= exists & ~stored & other
    state[again & other] = State.MISSING
    if digest is not None:
        is_other = np.array([entry.digest != digest for entry in index.files] + [False])
        differs[RECIPE] = is_other[file]
        other |= differs[RECIPE]
    state[stored & other] = State.STALE
    changed = {name: mask & stored for name, mask in differs.items() if (mask & stored).any()}
    return States(state, attempt, again, changed, numbers)


def _taken(array: npt.NDArray[Any], at: npt.NDArray[np.int64], absent: int) -> npt.NDArray[Any]:
    """Entries by clip number; `absent` for numbers beyond the end."""
    return np.append(array, np.array([absent], array.dtype))[at]


def _differing(
    index: Index,
    inputs: npt.NDArray[np.uint64],
    file: npt.NDArray[Any],
    at: npt.NDArray[np.int64],
    columns: ManifestColumns,
    legacy: Legacy,
) -> dict[str, npt.NDArray[np.bool_]]:
    """By input, which results were made from another one than the clip has now."""
    differs: dict[str, npt.NDArray[np.bool_]] = {}
    kinds: dict[tuple[str, ...], list[int]] = {}
    for number, entry in enumerate(index.files):
        names = ("any",) if entry.is_legacy else entry.spec.clip_inputs
        kinds.setdefault(names, []).append(number)
    padded = np.concatenate([inputs, np.zeros((1, inputs.shape[1]), inputs.dtype)])[at]
    for names, files in kinds.items():
        is_kind = np.zeros(len(index.files) + 1, np.bool_)
        is_kind[files] = True
        of_kind = is_kind[file]
        if not of_kind.any():
            continue
        for place, name in enumerate(names):
            now = legacy() if name == "any" else columns.digests.get(name)
            if now is None:  # nobody looked
                continue
            stored = padded[:, place]
            mask = of_kind & (stored != 0) & (now != 0) & (stored != now)
            differs[name] = differs.get(name, np.zeros(len(mask), np.bool_)) | mask
    return differs


def describe_change(name: str) -> str:
    """What changed, for people.

    Args:
        name: An input's name, `any`, or `recipe`.
    """
    named = {**INPUTS, **BESIDE, RECIPE: "made by an older merflow or other engines", "any": "media, segment or text"}
    return named[name]
