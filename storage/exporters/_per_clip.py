"""What exports of one file per clip share: one vector of a clip, its label in a consumer's words, its npy file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from storage.errors import RunError
from storage.exporters._base import some
from storage.records import Clip, Features, FeatureSpec

if TYPE_CHECKING:
    from storage.store import FeatureStore

# Extractors whose features have one row per picture, in the order in which they are asked for a clip's pictures.
PER_PICTURE = ("action_units", "openface", "faces")


def pooled(features: Features) -> npt.NDArray[np.float32] | None:
    """(D,) float32 mean of the valid rows, summed in float64; None if there are none."""
    valid = features.values if features.valid.all() else features.values[features.valid]  # most need no copy
    if not len(valid):
        return None
    mean: npt.NDArray[np.float32] = valid.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def write_npy(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array in the format's version 1, which every NumPy reads; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)


def word_of(clip: Clip, words: Iterable[str]) -> str | None:
    """A clip's label in a consumer's words: merflow's own label or the corpus's; None if neither is one of them."""
    raw = (clip.label_raw or "").strip()
    return next((word for word in (clip.label, raw, raw.lower()) if word in set(words)), None)


def require_labels(store: FeatureStore, words: Sequence[str], hint: str) -> None:
    """Check that every clip's label is one of a consumer's words.

    Args:
        store: Where the clips are.
        words: The consumer's.
        hint: Which option says what else to do.

    Raises:
        RunError: Names the clips, their labels and the words.
    """
    strange = [
        f"{clip.id} ({'no label' if clip.label_raw is None else repr(clip.label_raw)})"
        for clip in store.clips()
        if word_of(clip, words) is None
    ]
    if strange:
        raise RunError(f"{len(strange)} clips, label: expected one of {', '.join(words)}; got {some(strange)}; {hint}")


def picture_feature(store: FeatureStore, options: Mapping[str, str]) -> FeatureSpec:
    """The feature whose rows count a clip's pictures: `frames_feature`, or the first that is known to.

    Raises:
        RunError: If the store has none; says how to get one.
    """
    asked = options.get("frames_feature")
    chosen = [s for e in PER_PICTURE for s in store.specs.values() if s.extractor == e and s.level == "frame"]
    if asked is not None:
        chosen = [s for s in store.specs.values() if s.name == asked]
    if not chosen:
        raise RunError(
            f"{store.path}: no feature {asked or 'with a row per picture'}, which says how many pictures a clip has; "
            f"extract faces, or name one with --opt frames_feature=NAME"
        )
    return chosen[0]
