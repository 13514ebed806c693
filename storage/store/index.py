"""What a store holds, in memory: compact arrays, one entry per clip and feature.

A clip has one number in all features; each feature has arrays over these numbers. With eight
features it costs about 65 bytes per clip and feature, names included (`benchmarks/index.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage.errors import StoreError
from storage.records import Failure, FeatureSpec
from storage.store.shard_reader import ArrayLocation, ShardContents

_ABSENT = -1
_FIRST_SIZE = 64


class Location(NamedTuple):
    """Where one clip's values of one feature lie.

    Attributes:
        path: The shard file.
        start: First row.
        stop: Row after the last one.
        fingerprint: Digest of the media, segment and text that they were made from.
    """

    path: Path
    start: int
    stop: int
    fingerprint: str


class Outcome(NamedTuple):
    """What became of one clip and feature.

    Attributes:
        state: `stored`, `failed` or `skipped`.
        fingerprint: Of the media it was made from.
        reason: Why it failed or was skipped.
        attempt: How often it was tried until it failed; 1 for stored values.
    """

    state: str
    fingerprint: str
    reason: str = ""
    attempt: int = 1


class _FeatureArrays:
    """One feature's entries by clip number.

    Attributes:
        file: Number of the shard file; -1 without an entry.
        start: First row, or -1 for a failure.
        stop: Row after the last one, or the failure's number.
        fingerprint: Number of the fingerprint.
    """

    def __init__(self) -> None:
        self.file = np.full(_FIRST_SIZE, _ABSENT, np.int32)
        self.start = np.full(_FIRST_SIZE, _ABSENT, np.int64)
        self.stop = np.full(_FIRST_SIZE, _ABSENT, np.int64)
        self.fingerprint = np.full(_FIRST_SIZE, _ABSENT, np.int32)

    def reserve(self, size: int) -> None:
        if size > len(self.file):
            more = max(size, len(self.file) + len(self.file) // 2) - len(self.file)
            for name in ("file", "start", "stop", "fingerprint"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.full(more, _ABSENT, array.dtype)]))

    def set(self, number: int, file: int, start: int, stop: int, fingerprint: int) -> None:
        self.file[number], self.start[number] = file, start
        self.stop[number], self.fingerprint[number] = stop, fingerprint

    def is_stored(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.start >= 0)


class Index:
    """Every outcome of a store by feature and clip; the first stored values of a clip win, and win over failures."""

    def __init__(self) -> None:
        self.specs: dict[str, FeatureSpec] = {}
        self.locations: dict[Path, Mapping[str, ArrayLocation]] = {}
        self._clips: dict[str, int] = {}
        self._files: list[Path] = []
        self._fingerprints: dict[str, int] = {}
        self._fingerprint_texts: list[str] = []
        self._failures: list[Failure] = []
        self._features: dict[str, _FeatureArrays] = {}
        self._flags: dict[tuple[str, int], Mapping[str, float]] = {}
        self._versions: dict[str, list[Mapping[str, str]]] = {}

    def __contains__(self, path: Path) -> bool:
        return path in self.locations

    def add(self, shard: ShardContents) -> None:
        """Take in what one shard file holds.

        Raises:
            StoreError: If its feature has another recipe in the files before; names the first field that differs.
        """
        name = shard.spec.name
        spec = self.specs.setdefault(name, shard.spec)
        if spec is not shard.spec and spec.digest != shard.spec.digest:
            difference = spec.first_difference(shard.spec)
            raise StoreError(f"{shard.path}: feature {name} differs from its other shards: {difference}")
        self.locations[shard.path] = shard.arrays
        file, arrays = len(self._files), self._features.setdefault(name, _FeatureArrays())
        self._files.append(shard.path)
        numbers = [self._clip_number(clip_id) for clip_id in shard.clip_ids]
        arrays.reserve(len(self._clips))
        if shard.rows and shard.versions not in (known := self._versions.setdefault(name, [])):
            known.append(shard.versions)
        for number, (clip_id, (start, stop, fingerprint)) in zip(numbers, shard.rows.items(), strict=False):
            if arrays.start[number] < 0:
                arrays.set(number, file, start, stop, self._fingerprint_number(fingerprint))
                if clip_id in shard.flags:
                    self._flags[name, number] = shard.flags[clip_id]
        for number, (failure, fingerprint) in zip(numbers[len(shard.rows) :], shard.failures, strict=True):
            if arrays.start[number] < 0:
                arrays.set(number, file, _ABSENT, len(self._failures), self._fingerprint_number(fingerprint))
                self._failures.append(failure)

    def location(self, feature: str, clip_id: str) -> Location | None:
        """Where a clip's values lie; None if it has none.

        Args:
            feature: Name of the feature.
            clip_id: The clip.
        """
        entry = self._entry(feature, clip_id)
        if entry is None or entry[0].start[entry[1]] < 0:
            return None
        arrays, number = entry
        path, fingerprint = self._files[arrays.file[number]], self._fingerprint_texts[arrays.fingerprint[number]]
        return Location(path, int(arrays.start[number]), int(arrays.stop[number]), fingerprint)

    def failure(self, feature: str, clip_id: str) -> tuple[Failure, str] | None:
        """Why a clip has no values, and the fingerprint of what was tried; None if it has values or was not tried.

        Args:
            feature: Name of the feature.
            clip_id: The clip.
        """
        entry = self._entry(feature, clip_id)
        if entry is None or entry[0].start[entry[1]] >= 0:
            return None
        arrays, number = entry
        return self._failures[arrays.stop[number]], self._fingerprint_texts[arrays.fingerprint[number]]

    def outcome(self, feature: str, clip_id: str) -> Outcome | None:
        """What became of one clip and feature; None if it is missing.

        Args:
            feature: Name of the feature.
            clip_id: The clip.
        """
        if (location := self.location(feature, clip_id)) is not None:
            return Outcome("stored", location.fingerprint)
        if (failed := self.failure(feature, clip_id)) is not None:
            failure, fingerprint = failed
            return Outcome(failure.state, fingerprint, failure.reason, failure.attempt)
        return None

    def flags(self, feature: str, clip_id: str) -> Mapping[str, float]:
        """What is unusual about the media that a clip's values were made from.

        Args:
            feature: Name of the feature.
            clip_id: The clip.
        """
        return self._flags.get((feature, self._clips.get(clip_id, -1)), {})

    def versions(self, feature: str) -> list[Mapping[str, str]]:
        """Each set of library versions that stored values of a feature were made with."""
        return self._versions.get(feature, [])

    def failures(self) -> list[Failure]:
        """Every failure that no values replace, in order of feature and clip."""
        failures: list[Failure] = []
        for arrays in self._features.values():
            is_failure = (arrays.file >= 0) & ~arrays.is_stored()
            failures += [self._failures[i] for i in arrays.stop[is_failure]]
        return sorted(failures, key=lambda failure: (failure.feature, failure.clip_id))

    def _entry(self, feature: str, clip_id: str) -> tuple[_FeatureArrays, int] | None:
        arrays, number = self._features.get(feature), self._clips.get(clip_id)
        if arrays is None or number is None or number >= len(arrays.file) or arrays.file[number] < 0:
            return None
        return arrays, number

    def _clip_number(self, clip_id: str) -> int:
        return self._clips.setdefault(clip_id, len(self._clips))

    def _fingerprint_number(self, fingerprint: str) -> int:
        number = self._fingerprints.setdefault(fingerprint, len(self._fingerprint_texts))
        if number == len(self._fingerprint_texts):
            self._fingerprint_texts.append(fingerprint)
        return number
