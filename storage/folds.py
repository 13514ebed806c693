"""Splits that do not leak: folds with disjoint speakers or groups and balanced labels, and what official ones leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from storage.clip import Clip
from storage.errors import StoreError
from storage.manifest import Manifest, write_manifest
from storage.wording import counted

By = Literal["speaker", "group"]
KEYS: tuple[By, ...] = ("speaker", "group")


@dataclass(frozen=True)
class Fold:
    """One fold of a table.

    Attributes:
        clips: How many clips are in it.
        groups: How many speakers or groups.
        labels: How many clips have which label.
    """

    clips: int
    groups: int
    labels: Mapping[str, int] = field(default_factory=dict)


def leaks(manifest: Manifest) -> list[str]:
    """Speakers and groups that are in more than one split, a line for each of the two kinds that has some.

    Args:
        manifest: The clips.
    """
    splits: dict[By, dict[str, dict[str, None]]] = {by: {} for by in KEYS}
    for clip in manifest:
        for by in KEYS:
            key = getattr(clip, by)
            if key is not None and clip.split is not None:
                splits[by].setdefault(key, {})[clip.split] = None
    lines = []
    for by, found in splits.items():
        several = {key: list(names) for key, names in found.items() if len(names) > 1}
        if several:
            first = ", ".join(f"{key} ({', '.join(names)})" for key, names in list(several.items())[:5])
            more = f" and {len(several) - 5} more" if len(several) > 5 else ""
            lines.append(f"{len(several)} of {counted(len(found), by)} in several splits: {first}{more}")
    return lines


def make_folds(path: Path, by: By, folds: int, seed: int, name: str) -> list[Fold]:
    """Divide the clips of a manifest into folds of disjoint speakers or groups, with labels as even as these allow.

    The manifest is written anew with each clip's fold in `folds[name]`; clips without a speaker (or group) get none.

    Args:
        path: The manifest.
        by: What must not be divided.
        folds: How many.
        seed: Of the shuffle; the same seed gives the same folds.
        name: Of the table of folds.

    Raises:
        StoreError: If no clip has a speaker (or group), or there are fewer of them than folds.
    """
    manifest = Manifest.open(path)
    keys = [getattr(clip, by) for clip in manifest]
    known = np.flatnonzero([key is not None for key in keys])
    groups = np.array([keys[row] for row in known], object)
    if not len(groups):
        other = next((key for key in KEYS if key != by and any(getattr(c, key) is not None for c in manifest)), None)
        remedy = f"; clips have a {other}: --by {other}" if other else ""
        raise StoreError(f"{path}: no clip has a {by}, which folds could keep apart{remedy}")
    if len(set(groups)) < folds:
        raise StoreError(f"{path}: {counted(len(set(groups)), by)} for {folds} folds: give --folds of at most that")
    labels = np.array([clip.label or clip.label_raw or "" for clip in manifest], object)[known]
    most = max(Counter(labels.tolist()).values())
    if most < folds:
        raise StoreError(
            f"{path}: no label has as many clips as there are folds ({most} of {folds}): give fewer --folds"
        )
    fold_of: dict[int, str] = {}
    made = []
    for number, rows in enumerate(_divided(labels, groups, folds, seed)):
        fold_of |= dict.fromkeys(known[rows].tolist(), str(number))
        counts = Counter(labels[rows].tolist())
        made.append(Fold(len(rows), len(set(groups[rows])), dict(counts.most_common())))

    def with_folds() -> Iterator[Clip]:
        for row, clip in enumerate(manifest):
            table = {key: fold for key, fold in clip.folds.items() if key != name}
            yield replace(clip, folds=table | ({name: fold_of[row]} if row in fold_of else {}))

    write_manifest(path, with_folds(), manifest.roots, manifest.corpus)
    return made


def _divided(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> Iterator[np.ndarray]:
    """Rows of each fold."""
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A label with fewer clips than folds cannot be in all of them: the table of counts shows it.
        warnings.filterwarnings("ignore", message="The least populated class")
        yield from (rows for _, rows in splitter.split(np.zeros(len(labels)), labels, groups))


def use_folds(path: Path, name: str, test: str, validation: str | None) -> Counter[str]:
    """Make splits of a table of folds: one fold is test, one may be val, the others are train.

    Args:
        path: The manifest, which is written anew.
        name: Of the table.
        test: The fold that becomes test.
        validation: The fold that becomes val, if any.

    Returns:
        Clips by split; clips that the table does not have keep no split, under an empty name.

    Raises:
        StoreError: If the manifest has no such table, or the table no such fold.
    """
    manifest = Manifest.open(path)
    tables: dict[str, dict[str, None]] = {}
    for clip in manifest:
        for table, fold in clip.folds.items():
            tables.setdefault(table, {})[fold] = None
    if name not in tables:
        raise StoreError(f"{path}: no table of folds {name!r}; tables: {', '.join(tables) or 'none'}")
    for wanted in (test, validation):
        if wanted is not None and wanted not in tables[name]:
            raise StoreError(f"{path}: {name} has no fold {wanted}; folds: {', '.join(sorted(tables[name]))}")
    splits: dict[str, str] = (
        dict.fromkeys(tables[name], "train") | ({} if validation is None else {validation: "val"}) | {test: "test"}
    )
    counts: Counter[str] = Counter()

    def with_splits() -> Iterator[Clip]:
        for clip in manifest:
            chosen = splits.get(clip.folds.get(name, ""))
            counts[chosen or ""] += 1
            yield replace(clip, split=chosen)

    write_manifest(path, with_splits(), manifest.roots, manifest.corpus)
    return counts


def label_counts(manifest: Manifest) -> dict[tuple[str | None, str | None], int]:
    """How many clips have which raw label and which normalised one, the most frequent first.

    Args:
        manifest: The clips.
    """
    counts = Counter((clip.label_raw, clip.label) for clip in manifest)
    return dict(counts.most_common())
