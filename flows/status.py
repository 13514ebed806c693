"""What a store holds, what failed and why, what is missing: read from the store alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from storage.errors import StoreError
from storage.records import Failure, Features, FeatureSpec
from storage.store.store import FeatureStore
from storage.store.versions import mixed_versions


@dataclass(slots=True)
class Counts:
    """How many planned items are in which state; the states always add up to `planned`."""

    planned: int = 0
    stored: int = 0
    failed: int = 0
    skipped: int = 0
    missing: int = 0

    def add(self, state: str) -> None:
        """Count one item."""
        self.planned += 1
        setattr(self, state, getattr(self, state) + 1)


@dataclass(slots=True)
class Status:
    """State of a store.

    Attributes:
        pairs: Every planned (clip, feature) has exactly one state.
        clips: A clip is stored when all its features are stored or skipped, failed when one failed, else missing.
        features: The same as `pairs`, per feature.
        failures: Every pair that failed or was skipped by rule, and why.
        synthetic: Features made with random weights.
        flags: How many clips have what unusual media, by the flags' names.
        mixed: Features whose values were made with several versions of a library, and which versions.
    """

    pairs: Counts = field(default_factory=Counts)
    clips: Counts = field(default_factory=Counts)
    features: dict[str, Counts] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    synthetic: list[str] = field(default_factory=list)
    flags: Counter[str] = field(default_factory=Counter)
    mixed: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 only if everything planned is stored or skipped by rule, else 1."""
        return int(self.pairs.stored + self.pairs.skipped != self.pairs.planned)

    def to_dict(self) -> dict[str, Any]:
        """The documented JSON of `merflow status --json`."""
        failures = [asdict(f) for f in self.failures if f.state == "failed"]
        keys = ("clip_id", "feature", "reason", "message")
        return asdict(self.pairs) | {
            "clips": asdict(self.clips),
            "features": {name: asdict(counts) for name, counts in self.features.items()},
            "failures": [{k: f[k] for k in keys} for f in failures],
            "synthetic": self.synthetic,
            "flags": dict(sorted(self.flags.items())),
            "mixed_versions": self.mixed,
        }


def planned_features(store: FeatureStore) -> list[str]:
    """Features that any run of this store planned, in order of first mention."""
    return list(dict.fromkeys(name for run in store.runs() for name in run["features"]))


def read_status(store: FeatureStore) -> Status:
    """Count every planned (clip, feature).

    Raises:
        StoreError: If nothing was run into this store yet.
    """
    names = planned_features(store)
    status = Status(features={name: Counts() for name in names}, failures=store.failures)
    status.synthetic = [name for name, spec in store.specs.items() if spec.synthetic]
    status.mixed = {name: text for name in store.specs if (text := mixed_versions(store.versions(name)))}
    for clip in store.clips():
        states = set()
        status.flags.update({flag for name in names for flag in store.flags(clip.id, name)})
        for name in names:
            outcome = store.outcome_of(clip.id, name)
            state = outcome.state if outcome is not None else "missing"
            status.features[name].add(state)
            status.pairs.add(state)
            states.add(state)
        status.clips.add(next((s for s in ("failed", "missing", "stored") if s in states), "skipped"))
    return status


def by_clip(failures: list[Failure]) -> Iterator[tuple[str, str, str, list[str]]]:
    """Group failures for people: each clip and reason once, with the features it cost.

    Yields:
        Clip id, reason, message, feature names.
    """
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for failure in sorted(failures, key=lambda f: f.clip_id):
        grouped.setdefault((failure.clip_id, failure.reason, failure.message), []).append(failure.feature)
    for (clip_id, reason, message), features in grouped.items():
        yield clip_id, reason, message, features


def reasons(failures: list[Failure]) -> Counter[str]:
    """How often each reason occurs."""
    return Counter(f.reason for f in failures)


@dataclass(frozen=True, slots=True)
class Inspection:
    """Summary numbers of one clip's feature; NaN rows are left out of them."""

    feature: str
    shape: tuple[int, int]
    begin: float
    end: float
    valid: float
    mean: float | None
    deviation: float | None
    low: float | None
    high: float | None
    source: str
    synthetic: bool


def inspect_clip(store: FeatureStore, clip_id: str) -> tuple[list[Inspection], list[Failure]]:
    """Summarise every feature of one clip.

    Args:
        store: The store.
        clip_id: The clip.

    Raises:
        StoreError: If the store does not know the clip.
    """
    if not any(clip.id == clip_id for clip in store.clips()):
        raise StoreError(f"{store.path}: no clip {clip_id!r}; `merflow status` lists what failed")
    rows = [_summary(spec, store.get(clip_id, name)) for name, spec in store.specs.items() if store.has(clip_id, name)]
    return rows, [f for f in store.failures if f.clip_id == clip_id]


def _summary(spec: FeatureSpec, features: Features) -> Inspection:
    values = features.values[features.valid].astype(np.float64)
    mean, deviation, low, high = (
        (float(np.mean(values)), float(np.std(values)), float(np.min(values)), float(np.max(values)))
        if values.size
        else (None, None, None, None)
    )
    begin, end = (float(features.times[0, 0]), float(features.times[-1, 1])) if len(features.times) else (0.0, 0.0)
    shape = (features.values.shape[0], features.values.shape[1])
    share = float(features.valid.mean()) if features.valid.size else 0.0
    return Inspection(spec.name, shape, begin, end, share, mean, deviation, low, high, spec.source, spec.synthetic)
