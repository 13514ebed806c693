"""What a store holds, what failed and why, what is missing: read from the store alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.clip import Clip
from storage.errors import StoreError
from storage.records import Failure, Features, FeatureSpec
from storage.store.states import State, States
from storage.store.store import FeatureStore
from storage.store.survey import Survey, restricted, stale_lines
from storage.store.versions import mixed_versions


@dataclass(slots=True)
class Counts:
    """How many planned items are in which state; the states always add up to `planned`."""

    planned: int = 0
    stored: int = 0
    failed: int = 0
    skipped: int = 0
    stale: int = 0
    missing: int = 0

    @classmethod
    def of(cls, states: npt.NDArray[np.uint8]) -> Counts:
        """Count states.

        Args:
            states: Any shape of `State`.
        """
        numbers = {state.name.lower(): int((states == state).sum()) for state in State}
        return cls(planned=states.size, **numbers)


@dataclass(slots=True)
class Status:
    """State of a store.

    Attributes:
        pairs: Every planned (clip, feature) has exactly one state.
        clips: A clip is stored when all its features are stored or skipped, failed when one failed, else missing when
            one is missing, else stale.
        features: The same as `pairs`, per feature.
        failures: Every pair that failed or was skipped by rule, and why.
        synthetic: Features made with random weights.
        flags: How many clips have what unusual media, by the flags' names.
        mixed: Features whose values were made with several versions of a library, and which versions.
        stale: A line for each feature with stale values: which clips first, and what changed.
        unreadable: Shard files that cannot be read, and why.
        last_run: State of the last run: `running`, `finished`, `interrupted`, `failed` or `crashed`.
    """

    pairs: Counts = field(default_factory=Counts)
    clips: Counts = field(default_factory=Counts)
    features: dict[str, Counts] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    synthetic: list[str] = field(default_factory=list)
    flags: Counter[str] = field(default_factory=Counter)
    mixed: dict[str, str] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    last_run: str = ""

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
            "unreadable": self.unreadable,
            "last_run": self.last_run,
        }


def planned_features(store: FeatureStore) -> list[str]:
    """Features that any run of this store planned, in order of first mention."""
    return list(dict.fromkeys(name for run in store.runs() for name in run["features"]))


def read_status(
    store: FeatureStore,
    features: Sequence[str] | None = None,
    asked: npt.NDArray[np.bool_] | None = None,
) -> Status:
    """Count every planned (clip, feature).

    Args:
        store: The store.
        features: Names of features; those that any run planned by default.
        asked: (n,) bool over the store's manifest, the clips to count; all by default.

    Raises:
        StoreError: If nothing was run into this store yet.
    """
    names = planned_features(store) if features is None else list(features)
    survey = Survey(store)
    chosen = np.ones(len(survey.columns), np.bool_) if asked is None else asked
    found = {name: survey.states(name) for name in names}
    states = np.column_stack([s.state[chosen] for s in found.values()] or [np.zeros((int(chosen.sum()), 0), np.uint8)])
    runs = store.runs()
    return Status(
        pairs=Counts.of(states),
        clips=Counts.of(of_clips(states)),
        features={name: Counts.of(s.state[chosen]) for name, s in found.items()},
        failures=_failures(store, survey, names, chosen, is_all=asked is None),
        synthetic=[name for name, spec in store.specs.items() if spec.synthetic],
        flags=_flags(store, found, chosen),
        mixed={name: text for name in store.specs if (text := mixed_versions(store.versions(name)))},
        stale=stale_lines(survey, [(name, restricted(s, chosen)) for name, s in found.items()]),
        unreadable={path.name: why for path, why in store.index.unreadable.items()},
        last_run=str(runs[-1].get("state", "")) if runs else "",
    )


def of_clips(states: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """One state for each clip, of those of its features.

    Args:
        states: (n, f) `State`.
    """
    clips = np.full(len(states), State.SKIPPED, np.uint8)
    for state in (State.STORED, State.STALE, State.MISSING, State.FAILED):
        clips[(states == state).any(axis=1)] = state
    return clips


def _failures(
    store: FeatureStore, survey: Survey, names: Sequence[str], chosen: npt.NDArray[np.bool_], *, is_all: bool
) -> list[Failure]:
    if is_all:
        return store.failures
    failures = [f for f in store.failures if f.feature in names]
    is_asked = survey.has([f.clip_id for f in failures], chosen)
    return [f for f, asked in zip(failures, is_asked, strict=True) if asked]


def _flags(store: FeatureStore, found: Mapping[str, States], chosen: npt.NDArray[np.bool_]) -> Counter[str]:
    """How many clips have what unusual media."""
    clips: dict[str, set[int]] = {}
    for name, states in found.items():
        flags = store.index.flags.get(name, {})
        if flags:
            for number in set(states.number[chosen].tolist()) & flags.keys():
                for flag in flags[number]:
                    clips.setdefault(flag, set()).add(number)
    return Counter({flag: len(numbers) for flag, numbers in clips.items()})


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
    flags: Mapping[str, float]


def inspect_clip(store: FeatureStore, clip_id: str) -> tuple[Clip, list[Inspection], list[Failure]]:
    """Summarise every feature of one clip.

    Args:
        store: The store.
        clip_id: The clip.

    Raises:
        StoreError: If the store does not know the clip.
    """
    clip = find_clip(store, clip_id)
    stored = [(spec, name) for name, spec in store.specs.items() if store.has(clip_id, name)]
    rows = [_summary(spec, store.get(clip_id, name), store.flags(clip_id, name)) for spec, name in stored]
    failures = [store.index.failure(name, clip_id) for name in store.specs]
    return clip, rows, [failure for failure in failures if failure is not None]


def find_clip(store: FeatureStore, clip_id: str) -> Clip:
    """A clip of a store.

    Args:
        store: The store.
        clip_id: The clip.

    Raises:
        StoreError: If the store does not know the clip; names the closest one.
    """
    ids = store.manifest.ids()
    if clip_id not in ids:
        near = get_close_matches(clip_id, ids, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`merflow clips` lists them"
        raise StoreError(f"{store.path}: no clip {clip_id!r}; {hint}")
    (clip,) = store.manifest.take(np.array([ids.index(clip_id)]))
    return clip


def known_of(clip: Clip) -> dict[str, Any]:
    """What a corpus says of a clip, without what is empty and what is about its files.

    Args:
        clip: The clip.
    """
    said = {f.name: getattr(clip, f.name) for f in fields(clip) if f.name not in {"files", "fingerprint", "root"}}
    return {name: value for name, value in said.items() if value not in (None, (), {}, False)}


def _summary(spec: FeatureSpec, features: Features, flags: Mapping[str, float]) -> Inspection:
    values = features.values[features.valid].astype(np.float64)
    mean, deviation, low, high = (
        (float(np.mean(values)), float(np.std(values)), float(np.min(values)), float(np.max(values)))
        if values.size
        else (None, None, None, None)
    )
    begin, end = (float(features.times[0, 0]), float(features.times[-1, 1])) if len(features.times) else (0.0, 0.0)
    shape = (features.values.shape[0], features.values.shape[1])
    share = float(features.valid.mean()) if features.valid.size else 0.0
    numbers = (mean, deviation, low, high)
    return Inspection(spec.name, shape, begin, end, share, *numbers, spec.source, spec.synthetic, dict(flags))
