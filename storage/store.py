"""The feature store: a folder of shard files, and the truth about what is done.

```
store/  store.json  manifest.parquet  runs/<run>.json  features/<feature>/<digest>/<shard>.h5
```

One feature name has one digest in one store: numbers of different recipes never mix under one name. Everything
is known per clip; which clips shared a shard does not matter. Readers may open a store anywhere, read-only.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from storage.atomic import sweep, write_text
from storage.errors import StoreError
from storage.manifest import Manifest
from storage.records import Clip, Failure, Features, FeatureSpec
from storage.shard_file import Entry, write_shard_file
from storage.shard_reader import Index, Place, ShardReader, read_index, shard_paths
from storage.verify import notes, problems

FORMAT = 1
OPEN_FILES = 64


class Outcome(NamedTuple):
    """What became of one clip and feature.

    Attributes:
        state: `stored`, `failed` or `skipped`.
        fingerprint: Of the media it was made from.
        reason: Why it failed or was skipped.
    """

    state: str
    fingerprint: str
    reason: str = ""


class FeatureStore:
    """A feature store on disk. Pickles as its path; each process opens its own files.

    Args:
        path: The store's folder.

    Raises:
        StoreError: If there is no store, or one of a format this version does not know.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        marker = self.path / "store.json"
        if not marker.is_file():
            raise StoreError(f"{self.path}: not a feature store (no store.json)")
        found = json.loads(marker.read_text(encoding="utf-8")).get("format")
        if found != FORMAT:
            raise StoreError(f"{self.path}: expected store format {FORMAT}, got {found}")
        self._readers: OrderedDict[tuple[int, Path], ShardReader] = OrderedDict()
        self._places: dict[Path, Mapping[str, Place]] = {}
        self._specs: dict[str, FeatureSpec] = {}
        self._where: dict[tuple[str, str], tuple[Path, int, int, str]] = {}
        self._failures: dict[tuple[str, str], tuple[Failure, str]] = {}
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
        if folder.exists() and not folder.is_dir():
            raise StoreError(f"{folder}: expected a folder for the store, found a file")
        if not (folder / "store.json").exists():
            if folder.is_dir() and any(not p.name.startswith(".tmp-") for p in folder.iterdir()):
                raise StoreError(f"{folder}: not empty and not a feature store; choose a new folder")
            write_text(folder / "store.json", json.dumps({"format": FORMAT, "made_by": "merflow"}) + "\n")
        return cls(folder)

    def refresh(self) -> None:
        """Take in shard files that were published since the store was opened."""
        for path in shard_paths(self.path):
            if path not in self._places:
                self._add(read_index(path))

    def _add(self, index: Index) -> None:
        name = index.spec.name
        known = self._specs.setdefault(name, index.spec)
        if known is not index.spec and known.digest != index.spec.digest:
            raise StoreError(
                f"{index.path}: feature {name} differs from its other shards: {known.first_difference(index.spec)}"
            )
        self._places[index.path] = index.places
        for clip_id, (start, stop, fingerprint) in index.rows.items():
            self._where.setdefault((name, clip_id), (index.path, start, stop, fingerprint))
            self._failures.pop((name, clip_id), None)
        for failure, fingerprint in index.failures:
            if (name, failure.clip_id) not in self._where:
                self._failures[name, failure.clip_id] = (failure, fingerprint)

    @property
    def specs(self) -> dict[str, FeatureSpec]:
        """What each feature's numbers are, by feature name."""
        return dict(sorted(self._specs.items()))

    @property
    def failures(self) -> list[Failure]:
        """Clips without values for a feature: failed, or skipped by rule; in order of feature and clip."""
        return [self._failures[key][0] for key in sorted(self._failures)]

    @property
    def has_manifest(self) -> bool:
        """Whether anything was run into this store yet."""
        return (self.path / "manifest.parquet").is_file()

    @property
    def manifest(self) -> Manifest:
        """The clips this store is about.

        Raises:
            StoreError: If nothing has been run into this store yet.
        """
        return Manifest.open(self.path / "manifest.parquet")

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
            known = ", ".join(sorted(name for name in splits if name is not None)) or "none"
            raise StoreError(f"{self.path}: no clip of split {split!r}; splits: {known}")

    def clip_ids(self, feature: str) -> list[str]:
        """Ids of the clips that have values for a feature, in manifest order.

        Raises:
            StoreError: If the store has no such feature.
        """
        self._spec(feature)
        return [clip.id for clip in self.clips() if (feature, clip.id) in self._where]

    def has(self, clip_id: str, feature: str) -> bool:
        """Whether a clip has values for a feature."""
        return (feature, clip_id) in self._where

    def outcome_of(self, clip_id: str, feature: str) -> Outcome | None:
        """What became of one clip and feature; None if it is missing."""
        if (found := self._where.get((feature, clip_id))) is not None:
            return Outcome("stored", found[3])
        if (failure := self._failures.get((feature, clip_id))) is not None:
            return Outcome(failure[0].state, failure[1], failure[0].reason)
        return None

    def get(self, clip_id: str, feature: str) -> Features:
        """Read one clip's values, times and mask.

        Raises:
            StoreError: If the clip has none; the message says why it failed or that it is missing.
        """
        path, start, stop = self._place(clip_id, feature)
        return self._reader(path).rows(start, stop)

    def length(self, clip_id: str, feature: str) -> int:
        """Number of rows of one clip, without reading them; raises what `get` does."""
        _, start, stop = self._place(clip_id, feature)
        return stop - start

    def _place(self, clip_id: str, feature: str) -> tuple[Path, int, int]:
        if (found := self._where.get((feature, clip_id))) is not None:
            return found[:3]
        self._spec(feature)
        failure = self._failures.get((feature, clip_id))
        why = f"{failure[0].reason}: {failure[0].message}" if failure else "no such clip, or not extracted yet"
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
        path = self.path / "features" / spec.name / spec.digest / f"{shard}.h5"
        write_shard_file(path, spec, entries, attributes)
        self._add(read_index(path))
        return path

    def require(self, spec: FeatureSpec) -> None:
        """Check that a feature's numbers may go into this store.

        Raises:
            StoreError: If the store holds other numbers under this name; names the first field that differs.
        """
        known = self._specs.get(spec.name)
        if known is not None and known.digest != spec.digest:
            raise StoreError(
                f"{self.path}: feature {spec.name} is already stored with another recipe "
                f"({known.first_difference(spec)}); use a new store, or give this one its own `feature:` name"
            )

    def write_run(self, run: str, record: dict[str, Any]) -> None:
        """Write or replace the record of one run (`runs/<run>.json`)."""
        write_text(self.path / "runs" / f"{run}.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")

    def runs(self) -> list[dict[str, Any]]:
        """Records of all runs, oldest first."""
        return [json.loads(p.read_text(encoding="utf-8")) for p in sorted(self.path.glob("runs/*.json"))]

    def sweep(self) -> list[Path]:
        """Remove unfinished files of processes that died."""
        return sweep(self.path)

    def verify(self) -> Iterator[str]:
        """Re-read every stored byte; one line per problem. Missing work is no problem: `notes` tells it."""
        return problems(self.path)

    def notes(self) -> Iterator[str]:
        """What is not stored, and where modalities differ in their clips: one line each; none of it is damage."""
        return notes(self)

    def _spec(self, feature: str) -> FeatureSpec:
        if feature not in self._specs:
            raise StoreError(f"{self.path}: no feature {feature!r}; features: {', '.join(self.specs) or 'none yet'}")
        return self._specs[feature]

    def _reader(self, path: Path) -> ShardReader:
        # Per process, for a fork would share their place in the file; few, for a process may not open thousands.
        key = (os.getpid(), path)
        if key not in self._readers:
            while len(self._readers) >= OPEN_FILES:
                self._readers.popitem(last=False)  # closed when no thread uses it any more
            self._readers[key] = ShardReader(path, self._places[path])
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
