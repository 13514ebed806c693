"""Tells what a store lacks: clips that are not stored, and modalities that are stored for different clips."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from storage.store.states import State
from storage.store.store import FeatureStore
from storage.store.survey import Survey
from storage.store.versions import mixed_versions


def notes(store: FeatureStore) -> Iterator[str]:
    """Tell what is not stored: each clip has one state per feature.

    Yields:
        One line per feature that is not stored for every clip, one per feature that was made with several versions of
        a library, and one if modalities are stored for different clips.
    """
    if not store.has_manifest:
        return
    survey = Survey(store)
    n_clips = len(survey.columns)
    by_modality: dict[str, npt.NDArray[np.bool_]] = {}
    for name, spec in store.specs.items():
        states = survey.states(name)
        stored = states.state == State.STORED
        if stored.sum() < n_clips:
            others = (State.FAILED, State.SKIPPED, State.STALE, State.MISSING)
            counts = ", ".join(f"{states.count(s)} {s.name.lower()}" for s in others if states.count(s))
            yield f"{name}: {int(stored.sum())} of {n_clips} clips stored, {counts}"
        if mixed := mixed_versions(store.versions(name)):
            yield f"{name}: made with several versions: {mixed}"
        has_values = stored | (states.state == State.STALE)
        by_modality[spec.modality] = by_modality.get(spec.modality, has_values) & has_values
    every = np.logical_and.reduce([np.ones(n_clips, np.bool_), *by_modality.values()])
    if any((stored != every).any() for stored in by_modality.values()):
        counts = ", ".join(f"{modality} {int(stored.sum())}" for modality, stored in by_modality.items())
        yield f"modalities are stored for different clips: {counts}; {int(every.sum())} of {n_clips} clips have all"
