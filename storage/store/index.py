"""What a store holds, in memory: compact arrays, one entry per clip and feature.

A clip has one number in all features; each feature has arrays over these numbers (`feature_rows.py`). With eight
features an entry costs about 60 bytes (`benchmarks/index.py`). Where it comes from: `index_files.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from storage.records import Failure, FeatureSpec
from storage.store.feature_rows import ABSENT, FORGOTTEN, FeatureRows, Result
from storage.store.layout import joined, shard_store
from storage.store.removals import Removal
from storage.store.shard_reader import ArrayLocation, ShardContents, spec_digest


class Location(NamedTuple):
    """Where one clip's values of one feature lie.

    Attributes:
        path: The shard file.
        start: First row.
        stop: Row after the last one.
        arrays: Where the arrays of the file lie.
    """

    path: Path
    start: int
    stop: int
    arrays: Mapping[str, ArrayLocation]


class Outcome(NamedTuple):
    """What became of one clip and feature.

    Attributes:
        state: `stored`, `failed` or `skipped`.
        reason: Why it failed or was skipped.
        attempt: How often it was tried until it failed; 1 for stored values.
    """

    state: str
    reason: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """What the index keeps of a shard file.

    Attributes:
        store: Folder of the store.
        name: Path of the file in it.
        spec: What its values are.
        digest: The spec's.
        arrays: Where its arrays lie.
        versions: Of the libraries that made them.
        is_legacy: Whether its results have one digest of all inputs.
    """

    store: Path
    name: str
    spec: FeatureSpec
    digest: str
    arrays: Mapping[str, ArrayLocation]
    versions: Mapping[str, str]
    is_legacy: bool = False

    @property
    def path(self) -> Path:
        """The file."""
        return joined(self.store, self.name)


@dataclass
class Index:
    """Every result of a store by feature and clip.

    Of several results the one of the higher generation counts, of one generation values before failures, a later
    attempt before an earlier one, and else the file whose name sorts first.

    Attributes:
        ids: Ids by clip number.
        files: The shard files by number.
        failures: Why clips have no values, by failure number.
        features: Results by feature.
        flags: What is unusual about the media of a clip, by feature and clip number.
        unreadable: Shard files that cannot be read, and why.
        dropped: Features that a removal took out.
    """

    ids: list[str] = field(default_factory=list)
    files: list[IndexedFile] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    features: dict[str, FeatureRows] = field(default_factory=dict)
    flags: dict[str, dict[int, Mapping[str, float]]] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    _numbers: dict[str, int] | None = field(default=None, repr=False)

    def add(self, shard: ShardContents) -> None:
        """Take in what one shard file holds."""
        name, width = shard.spec.name, max(1, len(shard.spec.clip_inputs))
        rows = self.features.setdefault(name, FeatureRows(width))
        file = len(self.files)
        store, path = shard_store(shard.path)
        store = self.files[0].store if self.files else store  # one path for all: a thousand equal ones take memory
        kept = (shard.spec, spec_digest(shard.spec), shard.arrays, shard.versions, shard.is_legacy)
        self.files.append(IndexedFile(store, path, *kept))
        numbers = [self._number(clip_id) for clip_id in shard.clip_ids]
        rows.reserve(len(self.ids), width)
        flags = self.flags.setdefault(name, {})
        for number, clip_id in self._stored(rows, numbers, file, shard):
            flags.pop(number, None)
            if clip_id in shard.flags:
                flags[number] = shard.flags[clip_id]
        for number, failed in zip(numbers[len(shard.rows) :], shard.failures, strict=True):
            self.failures.append(failed.failure)
            result = Result(file, ABSENT, len(self.failures) - 1, failed.generation, failed.inputs)
            if self._put(rows, number, result):
                flags.pop(number, None)
            else:
                self.failures.pop()

    def _stored(
        self, rows: FeatureRows, numbers: list[int], file: int, shard: ShardContents
    ) -> Iterator[tuple[int, str]]:
        """Take in stored clips, those without a result so far all at once; give number and id of those that count."""
        ids, found = list(shard.rows), list(shard.rows.values())
        at = np.array(numbers[: len(ids)], np.int64)
        is_new = rows.file[at] == ABSENT
        rows.set_new(at[is_new], file, [found[i] for i in np.flatnonzero(is_new)])
        for place, (number, clip_id, row) in enumerate(zip(at.tolist(), ids, found, strict=True)):
            result = Result(file, row.start, row.stop, row.generation, row.inputs)
            if is_new[place] or self._put(rows, number, result):
                yield number, clip_id

    def _put(self, rows: FeatureRows, number: int, result: Result) -> bool:
        """Keep a result if it counts more than what the clip has."""
        if rows.file[number] != ABSENT:
            file, start, stop, generation = (
                int(array[number]) for array in (rows.file, rows.start, rows.stop, rows.generation)
            )
            old = Result(file, start, stop, generation, ())
            rank, other = self._rank(result), self._rank(old)
            if rank < other or (rank == other and self.files[result.file].name >= self.files[old.file].name):
                return False
        rows.set(number, result)
        return True

    def _rank(self, result: Result) -> tuple[int, bool, int]:
        is_stored = result.start >= 0
        return result.generation, is_stored, 0 if is_stored else self.failures[result.stop].attempt

    def remove(self, removals: Iterable[Removal]) -> None:
        """Take away what removals say; those of all calls before count no more."""
        self.dropped.clear()
        for rows in self.features.values():
            rows.removed[:] = 0
        for removal in removals:
            self.dropped.update(removal.features)
            for name, rows in self.features.items():
                ids = removal.clips if removal.kind == "forget" else removal.failures.get(name, ())
                numbers = [self.numbers[i] for i in ids if i in self.numbers]
                is_dropped = removal.kind == "drop" and name in removal.features
                rows.remove(None if is_dropped else numbers, removal.generation, is_retry=removal.kind == "retry")

    @property
    def numbers(self) -> dict[str, int]:
        """Clip numbers by id."""
        if self._numbers is None:
            self._numbers = {clip_id: number for number, clip_id in enumerate(self.ids)}
        return self._numbers

    @property
    def highest_generation(self) -> int:
        """Of all results."""
        return max((rows.highest_generation for rows in self.features.values()), default=0)

    def specs_of(self, feature: str) -> list[FeatureSpec]:
        """What values of a feature are, each recipe once, in order of their files; empty without any result.

        Args:
            feature: Name of the feature.
        """
        rows = self.features.get(feature)
        if rows is None:
            return []
        used = np.unique(rows.file[(rows.file >= 0) & (rows.removed != FORGOTTEN)]).tolist()
        if not used and feature not in self.dropped:  # every clip was taken out, or none was ever put in
            used = [number for number, file in enumerate(self.files) if file.spec.name == feature]
        return list({self.files[i].digest: self.files[i].spec for i in used}.values())

    def versions_of(self, feature: str) -> list[Mapping[str, str]]:
        """Each set of library versions that stored values of a feature were made with.

        Args:
            feature: Name of the feature.
        """
        rows = self.features.get(feature)
        used = [] if rows is None else np.unique(rows.file[(rows.start >= 0) & (rows.removed == 0)]).tolist()
        found: list[Mapping[str, str]] = []
        for versions in (self.files[i].versions for i in used):
            if versions not in found:
                found.append(versions)
        return found

    def location(self, feature: str, clip_id: str) -> Location | None:
        """Where a clip's values lie; None if it has none.

        Args:
            feature: Name of the feature.
            clip_id: The clip.
        """
        entry = self._entry(feature, clip_id)
        if entry is None or entry[0].start[entry[1]] < 0:
            return None
        rows, number = entry
        file = self.files[rows.file[number]]
        return Location(file.path, int(rows.start[number]), int(rows.stop[number]), file.arrays)

    def file_of(self, feature: str, clip_id: str, *, with_retried: bool = False) -> Path | None:
        """The shard file that has what counts of a clip, values or a failure; None where it has neither.

        Args:
            feature: Name of the feature.
            clip_id: The clip.
            with_retried: Whether failures count that are to be tried again: they say how often a clip was tried.
        """
        rows, number = self.features.get(feature), self.numbers.get(clip_id)
        if rows is None or number is None:
            return None
        has = rows.has_result(number) or (with_retried and rows.is_retried(number))
        return self.files[int(rows.file[number])].path if has else None

    def is_retried(self, feature: str, clip_id: str) -> bool:
        """Whether a clip has a failure that is to be tried again.

        Args:
            feature: Name of the feature.
            clip_id: The clip.
        """
        rows, number = self.features.get(feature), self.numbers.get(clip_id)
        return rows is not None and number is not None and rows.is_retried(number)

    def failure(self, feature: str, clip_id: str) -> Failure | None:
        """Why a clip has no values; None if it has values or is still to be tried.

        Args:
            feature: Name of the feature.
            clip_id: The clip.
        """
        entry = self._entry(feature, clip_id)
        if entry is None or entry[0].start[entry[1]] >= 0:
            return None
        return self.failures[int(entry[0].stop[entry[1]])]

    def outcome(self, feature: str, clip_id: str) -> Outcome | None:
        """What became of one clip and feature; None if it is missing.

        Args:
            feature: Name of the feature.
            clip_id: The clip.
        """
        if self.location(feature, clip_id) is not None:
            return Outcome("stored")
        failure = self.failure(feature, clip_id)
        return None if failure is None else Outcome(failure.state, failure.reason, failure.attempt)

    def all_failures(self) -> Iterator[Failure]:
        """Every failure that counts, in order of feature and clip."""
        for _, rows in sorted(self.features.items()):
            is_failure = (rows.file >= 0) & (rows.start < 0) & (rows.removed == 0)
            found = [self.failures[i] for i in rows.stop[is_failure].tolist()]
            yield from sorted(found, key=lambda failure: failure.clip_id)

    def flags_of(self, feature: str, clip_id: str) -> Mapping[str, float]:
        """What is unusual about the media that a clip's values were made from.

        Args:
            feature: Name of the feature.
            clip_id: The clip.
        """
        return self.flags.get(feature, {}).get(self.numbers.get(clip_id, ABSENT), {})

    def _entry(self, feature: str, clip_id: str) -> tuple[FeatureRows, int] | None:
        rows, number = self.features.get(feature), self.numbers.get(clip_id)
        return None if rows is None or number is None or not rows.has_result(number) else (rows, number)

    def _number(self, clip_id: str) -> int:
        number = self.numbers.setdefault(clip_id, len(self.ids))
        if number == len(self.ids):
            self.ids.append(clip_id)
        return number
