"""Which clips, columns and rows of a store an export sees: options for them, and the store as they leave it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from configs.plugins import CommaList, Pairs, Section
from storage.choice import Where, chosen_ids
from storage.clip import Clip
from storage.exporters._shared.selection import abbreviate
from storage.records import Features, FeatureSpec
from storage.store.index import Outcome
from storage.store.store import FeatureStore
from storage.vocabulary.openface_columns import OPENFACE_PRESETS
from storage.vocabulary.speech import SPEECH_COLUMNS, is_speech_at, speech_intervals
from storage.wording import counted, having

_NOT_TRIMMED = "faces"  # its rows count a clip's frames
_KNOWN_CLIPS = 64


class Chosen(Section):
    """Which clips.

    Attributes:
        clips: Only these clips: a file with one id a line, or a pattern over ids, such as s01_*.
        split: Only clips of these splits, separated by commas.
        where: Only clips for which this holds, such as quality.face_share > 0.5 and label in ('happy', 'sad'): fields
            of a clip, labels.NAME, dimensions.NAME, about.NAME, and FEATURE.COLUMN of features with a row per clip.
    """

    clips: str | None = None
    split: CommaList = ()
    where: str | None = None


class Columns(Section):
    """Which columns.

    Attributes:
        columns: Only these columns of a feature, such as action_units:AU*_r,action_units:pose_*; each may be a pattern.
        preset: OpenFace's columns alone, in its order, of features that have them: openface-35 (17 intensities and 18
            presences of action units), openface-669 (all but the shape model's), openface-709 (all).
    """

    columns: Pairs = ()
    preset: Literal["openface-35", "openface-669", "openface-709"] | None = None


class Trim(Section):
    """Which rows.

    Attributes:
        trim: Feature with voice activity: rows whose middle lies outside of speech are left out, times are kept. Rows
            of faces are not, for they count a clip's frames.
    """

    trim: str | None = None


class ChosenStore(FeatureStore):
    """A store with some of its clips, columns and rows, for the time of an export.

    Args:
        store: The store.
        ids: Ids of the clips; all if None.
        columns: Places of the columns to keep, by feature.
        trim: Feature with voice activity, whose speech is kept; None keeps all rows.
    """

    def __init__(
        self,
        store: FeatureStore,
        ids: Sequence[str] | None,
        columns: Mapping[str, npt.NDArray[np.intp]],
        trim: str | None,
    ) -> None:
        self.__dict__.update(store.__dict__)
        self._store, self._columns, self._trim = store, columns, trim
        self._chosen = None if ids is None else set(ids)
        self._narrowed = {name: _with_columns(spec, columns.get(name)) for name, spec in store.specs.items()}
        self._speech = lru_cache(_KNOWN_CLIPS)(self._find_speech)

    @property
    def specs(self) -> dict[str, FeatureSpec]:
        """What each feature's numbers are, with the chosen columns."""
        return dict(self._narrowed)

    def clips(self, split: str | None = None) -> Iterator[Clip]:
        """The chosen clips, see `FeatureStore.clips`."""
        return (clip for clip in self._store.clips(split) if self._chosen is None or clip.id in self._chosen)

    def has(self, clip_id: str, feature: str) -> bool:
        """Whether a clip has rows of a feature that are kept.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """
        if not self._store.has(clip_id, feature):
            return False
        return not self._is_trimmed(feature) or bool(self._kept(clip_id, self._store.get(clip_id, feature)).any())

    def outcome_of(self, clip_id: str, feature: str) -> Outcome | None:
        """See `FeatureStore.outcome_of`.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """
        return self._store.outcome_of(clip_id, feature)

    def get(self, clip_id: str, feature: str) -> Features:
        """The chosen rows and columns, see `FeatureStore.get`.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """
        found, chosen = self._store.get(clip_id, feature), self._columns.get(feature)
        if chosen is not None:
            names = tuple(found.columns[i] for i in chosen) if found.columns else ()
            found = replace(found, values=np.ascontiguousarray(found.values[:, chosen]), columns=names)
        if not self._is_trimmed(feature):
            return found
        kept = self._kept(clip_id, found)
        return replace(found, values=found.values[kept], times=found.times[kept], valid=found.valid[kept])

    def length(self, clip_id: str, feature: str) -> int:
        """Rows that are kept of one clip.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """
        if not self._is_trimmed(feature):
            return self._store.length(clip_id, feature)
        return int(self._kept(clip_id, self._store.get(clip_id, feature)).sum())

    def without_speech(self) -> list[str]:
        """Ids of the chosen clips of which nothing is kept, for they have no speech or it is not known."""
        return [clip.id for clip in self.clips() if not len(self._speech(clip.id))]

    def _is_trimmed(self, feature: str) -> bool:
        spec = self._store.specs.get(feature)
        if self._trim is None or spec is None:
            return False
        return spec.level == "frame" and spec.extractor != _NOT_TRIMMED

    def _find_speech(self, clip_id: str) -> npt.NDArray[np.float64]:
        trim = self._trim or ""
        if not self._store.has(clip_id, trim):
            return np.empty((0, 2))
        return speech_intervals(self._store.get(clip_id, trim))

    def _kept(self, clip_id: str, found: Features) -> npt.NDArray[np.bool_]:
        """(T,) bool: the rows whose middle lies in speech."""
        return is_speech_at(found.times.mean(axis=1), self._speech(clip_id))


def choose(store: FeatureStore, options: Chosen) -> tuple[FeatureStore, list[str] | None, list[str]]:
    """The store as an export's options narrow it.

    Args:
        store: The store.
        options: The export's options: `Chosen`, and `Columns` and `Trim` where the format has them.

    Returns:
        The store itself where nothing is narrowed; ids of the clips, None for all; and a line about each thing that
        was left out.

    Raises:
        RunError: If an option names what there is not, or no clip is left.
    """
    columns = _chosen_columns(store, options) if isinstance(options, Columns) else {}
    trim = options.trim if isinstance(options, Trim) else None
    if trim is not None:
        _check_trim(store, trim)
    ids = _chosen_clips(store, options)
    if ids is None and not columns and trim is None:
        return store, None, []
    chosen = ChosenStore(store, ids, columns, trim)
    lines = [] if ids is None else [f"{counted(len(ids), 'clip')} of {len(store.manifest)}, as told"]
    silent = [] if trim is None else chosen.without_speech()
    if silent:
        lines.append(f"trim: {having(len(silent), 'clip')} no speech: {abbreviate(silent)}")
    return chosen, ids, lines


def _chosen_clips(store: FeatureStore, options: Chosen) -> list[str] | None:
    if options.clips is None and not options.split and options.where is None:
        return None
    where = None if options.where is None else Where(options.where, store)
    clips = list(store.clips())
    splits = {clip.split for clip in clips}
    unknown = [name for name in options.split if name not in splits]
    if unknown:
        names = ", ".join(sorted(name for name in splits if name is not None)) or "none"
        raise RunError(f"option split: no clip is of split {unknown[0]!r}; splits: {names}")
    named = None if options.clips is None else set(chosen_ids([clip.id for clip in clips], options.clips))
    found = [
        clip.id
        for clip in clips
        if (named is None or clip.id in named)
        and (not options.split or clip.split in options.split)
        and (where is None or where.holds(clip))
    ]
    if not found:
        told = (f"{name}={value}" for name in ("clips", "split", "where") if (value := getattr(options, name)))
        raise RunError(f"{store.path}: no clip is left by {' and '.join(map(str, told))}")
    return found


def _chosen_columns(store: FeatureStore, options: Columns) -> dict[str, npt.NDArray[np.intp]]:
    chosen = _of_preset(store, options.preset) if options.preset is not None else {}
    named: dict[str, set[int]] = {}
    for feature, pattern in options.columns:
        spec = store.specs.get(feature)
        if spec is None:
            raise RunError(f"option columns: no feature {feature!r}; features: {', '.join(store.specs) or 'none yet'}")
        places = [i for i, name in enumerate(spec.columns) if fnmatch.fnmatchcase(name, pattern)]
        if not places:
            first = ", ".join(spec.columns[:5])
            raise RunError(f"option columns: feature {feature} has no column {pattern!r}; its first are {first}")
        named.setdefault(feature, set()).update(places)
    return chosen | {feature: np.array(sorted(places), np.intp) for feature, places in named.items()}


def _of_preset(store: FeatureStore, preset: str) -> dict[str, npt.NDArray[np.intp]]:
    wanted = OPENFACE_PRESETS[preset]
    having_them = [spec for spec in store.specs.values() if wanted[0] in spec.columns]
    if not having_them:
        raise RunError(f"option preset: {preset}: no feature has the column {wanted[0]}; extract action_units")
    chosen = {}
    for spec in having_them:
        places = {name: i for i, name in enumerate(spec.columns)}
        absent = [name for name in wanted if name not in places]
        if absent:
            raise RunError(f"option preset: {preset}: feature {spec.name} lacks {len(absent)} columns, as {absent[0]}")
        chosen[spec.name] = np.array([places[name] for name in wanted], np.intp)
    return chosen


def _with_columns(spec: FeatureSpec, places: npt.NDArray[np.intp] | None) -> FeatureSpec:
    if places is None:
        return spec
    width = len(spec.columns)

    def of(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(values[i] for i in places.tolist()) if len(values) == width else values

    return replace(spec, columns=of(spec.columns), units=of(spec.units), centre_offsets=of(spec.centre_offsets))


def _check_trim(store: FeatureStore, trim: str) -> None:
    spec = store.specs.get(trim)
    if spec is None or spec.columns != SPEECH_COLUMNS:
        what = "no such feature" if spec is None else "has no voice activity"
        raise RunError(f"option trim: {trim}: {what}; extract voice_activity, and name the feature here")
