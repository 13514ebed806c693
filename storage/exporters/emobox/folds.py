"""Folds without leaks: clips of one speaker or group are never divided between the splits of a fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from configs.errors import RunError
from storage.clip import Clip

Fold = tuple[int, str]
"""Number of a fold, from 1, and the split of a clip in it."""
_HELD_OUT = 5


def folds_by(unit: str, clips: Iterable[Clip], n_folds: int) -> dict[str, list[Fold]]:
    """Fold and split of each clip: part k of equal parts is the test of fold k, the next part its valid.

    Args:
        unit: `speaker` or `group`.
        clips: The clips.
        n_folds: Number of folds, from 3.

    Returns:
        `(fold from 1, split)` of each fold, by clip id.

    Raises:
        RunError: If a clip has no such unit, or there are fewer units than folds.
    """
    units: dict[str, str] = {}
    for clip in clips:
        name = getattr(clip, unit)
        if name is None:
            raise RunError(f"clip {clip.id} has no {unit}; --opt by=split, speaker or group: choose another")
        units[clip.id] = name
    parts = equal_parts(Counter(units.values()), n_folds)
    if len(parts) < n_folds:
        raise RunError(f"option folds: expected no more than the {len(parts)} {unit}s of the clips, got {n_folds}")
    return {i: [(k + 1, _role(parts[name], k, n_folds)) for k in range(n_folds)] for i, name in units.items()}


def _role(part: int, fold: int, n_folds: int) -> str:
    return {fold: "test", (fold + 1) % n_folds: "valid"}.get(part, "train")


def one_fold(three: Mapping[str, Sequence[str]], clips: Iterable[Clip]) -> tuple[dict[str, list[Fold]], list[str]]:
    """One fold of given splits; where `valid` is empty, a fifth of `train` is held out.

    Args:
        three: Ids of `train`, `valid` and `test`.
        clips: The clips.

    Returns:
        Fold and split of each clip, and a line about what was held out.

    Raises:
        RunError: If there is no train or no test, or a clip would be in two splits, or train cannot be divided.
    """
    for split in ("train", "test"):
        if not three[split]:
            raise RunError(f"split {split}: expected clips, got none; --opt splits=train:train,val:test says which")
    folds = {clip_id: [(1, split)] for split, ids in three.items() for clip_id in ids}
    if len(folds) < sum(map(len, three.values())):
        raise RunError("option splits: expected each split once, got one that is used twice: a fold must not leak")
    if three["valid"]:
        return folds, []
    wanted = set(three["train"])
    units = {clip.id: clip.group or clip.speaker or clip.id for clip in clips if clip.id in wanted}
    parts = equal_parts(Counter(units.values()), _HELD_OUT)
    if len(parts) < 2:
        raise RunError("split valid: none, and all of train is one group or speaker; --opt splits=... names one")
    held_out = [clip_id for clip_id, name in units.items() if parts[name] == 0]
    folds |= {clip_id: [(1, "valid")] for clip_id in held_out}
    return folds, [f"valid: none in the corpus; {len(held_out)} of {len(wanted)} clips of train held out"]


def equal_parts(sizes: Mapping[str, int], n_parts: int) -> dict[str, int]:
    """Part of each unit, from 0, so that the parts are about equally large: the largest first, to the smallest part.

    Args:
        sizes: Size of each unit.
        n_parts: Number of parts.
    """
    loads = [0] * n_parts
    parts = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        parts[name] = loads.index(min(loads))
        loads[parts[name]] += sizes[name]
    return parts
