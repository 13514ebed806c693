"""Whether the rows of a stored feature have times of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.store.store import FeatureStore


def has_clock(store: FeatureStore, feature: str) -> bool:
    """Whether rows of a feature have times of their own; tokens of a transcript all have that of the whole clip.

    Args:
        store: Where it is.
        feature: Its name.
    """
    spec = store.specs[feature]
    if spec.modality != "text" or spec.level != "frame":
        return True
    several = next((i for i in store.clip_ids(feature) if store.length(i, feature) > 1), None)
    if several is None:
        return True
    times = store.get(several, feature).times
    return bool((times != times[0]).any())
