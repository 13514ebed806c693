"""The feature store: a folder of shard files, and the truth about what is done.

One feature name has one digest in one store: numbers of different recipes never mix under one name. Everything
is known per clip; which clips shared a shard does not matter. Readers may open a store anywhere, read-only.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.clip import Clip
from storage.errors import StoreError
from storage.manifest import Manifest
from storage.records import Failure, Features, FeatureSpec
from storage.store.files import exists, is_empty_folder, list_files, read_json, sweep, write_text
from storage.store.index import Index, Location, Outcome
from storage.store.layout import (
    RUN_RECORDS,
    SHARD_FILES,
    STORE_FORMAT,
    manifest_path,
    marker_path,
    run_path,
    shard_path,
)
from storage.store.shard_reader import ShardReader, read_contents
from storage.store.shard_writer import Entry, write_shard_file
from storage.store.verify import problems

OPEN_FILES = 64


class FeatureStore:
    """A feature store on disk. Pickles as its path; each process opens its own files.

    Args:
        path: The store's folder.

    Raises:
        StoreError: If there is no store, or one of a format this version does not know.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        marker = marker_path(self.path)
        if not exists(marker):
            raise StoreError(f"{self.path}: not a feature store (no {marker.name})")
        version = read_json(marker).get("format")
        if version != STORE_FORMAT:
            raise StoreError(f"{self.path}: expected store format {STORE_FORMAT}, got {version}")
        self._readers: OrderedDict[tuple[int, Path], ShardReader] = OrderedDict()
        self._index = Index()
        self.refresh()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the path alone, so that no open file crosses to another process."""
        return (FeatureStore, (self.path,))

    @classmethod
    def create(cls, path: str | Path) -> FeatureStore:
        """Open the store at `path`, making an empty one if the folder is new or empty.

        Raises:
            StoreError: If the folder holds something that is not a store.
        """
        folder = Path(path)
        if not exists(marker_path(folder)):
            if not is_empty_folder(folder):
                raise StoreError(f"{folder}: not empty and not a feature store; choose a new folder")
            write_text(marker_path(folder), json.dumps({"format": STORE_FORMAT, "made_by": "merflow"}) + "\n")
        return cls(folder)

    def refresh(self) -> None:
        """Take in shard files that were published since the store was opened."""
        for path in list_files(self.path, SHARD_FILES):
            if path not in self._index:
                self._index.add(read_contents(path))

    @property
    def specs(self) -> dict[str, FeatureSpec]:
        """What each feature's numbers are, by feature name."""
        return dict(sorted(self._index.specs.items()))

    @property
    def failures(self) -> list[Failure]:
        """Clips without values for a feature: failed, or skipped by rule; in order of feature and clip."""
        return self._index.failures()

    @property
    def has_manifest(self) -> bool:
        """Whether anything was run into this store yet."""
        return exists(manifest_path(self.path))

    @property
    def manifest(self) -> Manifest:
        """The clips this store is about.

        Raises:
            StoreError: If nothing has been run into this store yet.
        """
        return Manifest.open(manifest_path(self.path))

    def clips(self, split: str | None = None) -> Iterator[Clip]:
        """The clips this store is about, in manifest order.

        Args:
            split: Only clips of this split; default all clips.

        Raises:
            StoreError: If no clip is of this split; names those there are.
        """
        if split is None:
            yield from self.manifest
            return
        splits = set()
        for clip in self.manifest:
            splits.add(clip.split)
            if clip.split == split:
                yield clip
        if split not in splits:
            names = ", ".join(sorted(name for name in splits if name is not None)) or "none"
            raise StoreError(f"{self.path}: no clip of split {split!r}; splits: {names}")

    def clip_ids(self, feature: str) -> list[str]:
        """Ids of the clips that have values for a feature, in manifest order.

        Raises:
            StoreError: If the store has no such feature.
        """
        self._spec(feature)
        return [clip.id for clip in self.clips() if self.has(clip.id, feature)]

    def has(self, clip_id: str, feature: str) -> bool:
        """Whether a clip has values for a feature.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """
        return self._index.location(feature, clip_id) is not None

    def outcome_of(self, clip_id: str, feature: str) -> Outcome | None:
        """What became of one clip and feature; None if it is missing.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """
        return self._index.outcome(feature, clip_id)

    def get(self, clip_id: str, feature: str) -> Features:
        """Read one clip's values, times and mask.

        Args:
            clip_id: The clip.
            feature: Name of the feature.

        Raises:
            StoreError: If the clip has none; the message says why it failed or that it is missing.
        """
        location = self._location(clip_id, feature)
        return self._reader(location.path).rows(location.start, location.stop)

    def flags(self, clip_id: str, feature: str) -> Mapping[str, float]:
        """What is unusual about the media that a clip's values were made from, such as `{"holes": 2}`.

        The names are explained in `docs/media.md`.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """
        return self._index.flags(feature, clip_id)

    def versions(self, feature: str) -> list[Mapping[str, str]]:
        """Each set of library versions, and `device`, that stored values of a feature were made with."""
        return self._index.versions(feature)

    def length(self, clip_id: str, feature: str) -> int:
        """Number of rows of one clip, without reading them; raises what `get` does.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """
        location = self._location(clip_id, feature)
        return location.stop - location.start

    def _location(self, clip_id: str, feature: str) -> Location:
        if (location := self._index.location(feature, clip_id)) is not None:
            return location
        self._spec(feature)
        failed = self._index.failure(feature, clip_id)
        why = f"{failed[0].reason}: {failed[0].message}" if failed else "no such clip, or not extracted yet"
        raise StoreError(f"clip {clip_id}, feature {feature}: {why}")

    def iterate(
        self, features: Sequence[str] | None = None, split: str | None = None
    ) -> Iterator[tuple[Clip, dict[str, Features]]]:
        """Read clip by clip, in manifest order.

        Args:
            features: Names; default all of the store.
            split: Only clips of this split; default all clips.

        Yields:
            Each clip, with those of the features that it has, by name.

        Raises:
            StoreError: If the store lacks a feature, or no clip is of this split.
        """
        names = list(self.specs) if features is None else list(features)
        for name in names:
            self._spec(name)
        for clip in self.clips(split):
            yield clip, {name: self.get(clip.id, name) for name in names if self.has(clip.id, name)}

    def put(self, shard: str, spec: FeatureSpec, entries: Sequence[Entry], attributes: dict[str, Any]) -> Path:
        """Publish one shard file: whole or not at all, never over another.

        Args:
            shard: Unique id of the shard.
            spec: What the values are.
            entries: Values or failure of each clip.
            attributes: Provenance; plain JSON types.

        Raises:
            StoreError: If the store holds other numbers under this name; names the first field that differs.
        """
        self.require(spec)
        path = shard_path(self.path, spec, shard)
        write_shard_file(path, spec, entries, attributes)
        self._index.add(read_contents(path))
        return path

    def require(self, spec: FeatureSpec) -> None:
        """Check that a feature's numbers may go into this store.

        Raises:
            StoreError: If the store holds other numbers under this name; names the first field that differs.
        """
        stored = self._index.specs.get(spec.name)
        if stored is not None and stored.digest != spec.digest:
            raise StoreError(
                f"{self.path}: feature {spec.name} is already stored with another recipe "
                f"({stored.first_difference(spec)}); use a new store, or give this one its own `feature:` name"
            )

    def write_run(self, run: str, record: dict[str, Any]) -> None:
        """Write or replace the record of one run (`runs/<run>.json`).

        Args:
            run: Id of the run.
            record: Plain JSON types.
        """
        write_text(run_path(self.path, run), json.dumps(record, indent=2, ensure_ascii=False) + "\n")

    def runs(self) -> list[dict[str, Any]]:
        """Records of all runs, oldest first."""
        return [read_json(path) for path in list_files(self.path, RUN_RECORDS)]

    def sweep(self) -> list[Path]:
        """Remove unfinished files of processes that died."""
        return sweep(self.path)

    def verify(self) -> Iterator[str]:
        """Re-read every stored byte; one line per problem. Missing work is no problem: see `storage.store.gaps`."""
        return problems(self.path)

    def _spec(self, feature: str) -> FeatureSpec:
        if feature not in self._index.specs:
            raise StoreError(f"{self.path}: no feature {feature!r}; features: {', '.join(self.specs) or 'none yet'}")
        return self._index.specs[feature]

    def _reader(self, path: Path) -> ShardReader:
        # Per process, for a fork would share their place in the file; few, for a process may not open thousands.
        key = (os.getpid(), path)
        if key not in self._readers:
            while len(self._readers) >= OPEN_FILES:
                self._readers.popitem(last=False)  # closed when no thread uses it any more
            self._readers[key] = ShardReader(path, self._index.locations[path])
        self._readers.move_to_end(key)
        return self._readers[key]


def open_store(path: str | Path) -> FeatureStore:
    """Open a feature store for reading.

    Args:
        path: The store's folder.

    Raises:
        StoreError: If there is no store there.
    """
    return FeatureStore(path)
