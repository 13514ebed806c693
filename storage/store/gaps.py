"""Tells what a store lacks: clips that are not stored, and modalities that are stored for different clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from storage.store.store import FeatureStore
from storage.store.versions import mixed_versions


def notes(store: FeatureStore) -> Iterator[str]:
    """Tell what is not stored: each clip of the manifest is stored, failed, skipped or missing, once per feature.

    Yields:
        One line per feature that is not stored for every clip, one per feature that was made with several versions of
        a library, and one if modalities are stored for different clips.
    """
    if not store.has_manifest:
        return
    ids = [clip.id for clip in store.clips()]
    for name in store.specs:
        states = Counter(outcome.state if (outcome := store.outcome_of(i, name)) else "missing" for i in ids)
        if states["stored"] < len(ids):
            others = ", ".join(f"{states[s]} {s}" for s in ("failed", "skipped", "missing") if states[s])
            yield f"{name}: {states['stored']} of {len(ids)} clips stored, {others}"
        if mixed := mixed_versions(store.versions(name)):
            yield f"{name}: made with several versions: {mixed}"
    by_modality: dict[str, set[str]] = {}
    for name, spec in store.specs.items():
        stored = {i for i in ids if store.has(i, name)}
        by_modality[spec.modality] = by_modality.get(spec.modality, stored) & stored
    every = set(ids).intersection(*by_modality.values())
    if any(stored != every for stored in by_modality.values()):
        counts = ", ".join(f"{modality} {len(stored)}" for modality, stored in by_modality.items())
        yield f"modalities are stored for different clips: {counts}; {len(every)} of {len(ids)} clips have all"
