"""The feature store: a folder of shard files, and the truth about what is done.

Numbers of different settings never mix under one feature name; those that an older merflow made, or that were made from
other inputs than a clip has now, are stale (`states.py`). Everything is known per clip; which clips shared a shard does
not matter. Readers may open a store anywhere, read-only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.paths import as_path
from storage.clip import Clip
from storage.errors import StoreError
from storage.manifest import Manifest
from storage.records import Failure, Features, FeatureSpec
from storage.store.files import exists, is_empty_folder, read_json, write_text
from storage.store.index import Location, Outcome
from storage.store.index_files import fold, load_index, update_index
from storage.store.layout import STORE_FORMAT, manifest_path, marker_path
from storage.store.open_files import OpenFiles
from storage.store.publication import ShardFeature, publish_shard
from storage.store.recipes import require_same_settings
from storage.store.removals import Removal, read_removals, write_removal
from storage.store.runs import read_runs, wanted_digests
from storage.store.shard_writer import Entry
from storage.store.verify import problems
from storage.store.views import StoreViews, of_split


class FeatureStore(StoreViews):
    """A feature store on disk. Pickles as its path; each process opens its own files.

    Args:
        path: The store's folder.

    Attributes:
        index: What is stored, as arrays; for code that asks about all clips at once.

    Raises:
        StoreError: If there is no store, or one of a format this version does not know.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = as_path(path)
        marker = marker_path(self.path)
        if not exists(marker):
            raise StoreError(f"{self.path}: not a feature store (no {marker.name})")
        version = read_json(marker).get("format")
        if version != STORE_FORMAT:
            raise StoreError(f"{self.path}: expected store format {STORE_FORMAT}, got {version}")
        self._files = OpenFiles()
        self.index = load_index(self.path)
        self._settle()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the path alone, so that no open file crosses to another process."""
        return (FeatureStore, (self.path,))

    @classmethod
    def create(cls, path: str | Path) -> FeatureStore:
        """Open the store at `path`, making an empty one if the folder is new or empty.

        Raises:
            StoreError: If the folder holds something that is not a store.
        """
        folder = as_path(path)
        if not exists(marker_path(folder)):
            if not is_empty_folder(folder):
                raise StoreError(f"{folder}: not empty and not a feature store; choose a new folder")
            write_text(marker_path(folder), json.dumps({"format": STORE_FORMAT, "made_by": "merflow"}) + "\n")
        return cls(folder)

    def refresh(self) -> None:
        """Take in what was published or taken out since the store was opened."""
        update_index(self.index, self.path)
        self._settle()

    def _settle(self) -> None:
        """Take away what removals say, and settle which recipe of each feature counts."""
        self._removals = read_removals(self.path)
        self.index.remove(self._removals.values())
        self._specs = {}
        recipes = {name: specs for name in sorted(self.index.features) if (specs := self.index.specs_of(name))}
        wanted = wanted_digests(self.runs()) if any(len(specs) > 1 for specs in recipes.values()) else {}
        for name, specs in recipes.items():
            current = [spec for spec in specs if spec.digest == wanted.get(name)] if name in wanted else []
            self._specs[name] = (current or specs)[-1]

    @property
    def generation(self) -> int:
        """That of results published now: those of a lower one count less."""
        return max([self.index.highest_generation, *(removal.generation for removal in self._removals.values())])

    @property
    def specs(self) -> dict[str, FeatureSpec]:
        """What each feature's numbers are, by feature name."""
        return dict(self._specs)

    @property
    def failures(self) -> list[Failure]:
        """Clips without values for a feature: failed, or skipped by rule; in order of feature and clip."""
        return list(self.index.all_failures())

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
        return iter(self.manifest) if split is None else of_split(self.manifest, split, self.path)

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
        return self.index.location(feature, clip_id) is not None

    def outcome_of(self, clip_id: str, feature: str) -> Outcome | None:
        """What became of one clip and feature; None if it is missing.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """
        return self.index.outcome(feature, clip_id)

    def get(self, clip_id: str, feature: str) -> Features:
        """Read one clip's values, times and mask.

        Args:
            clip_id: The clip.
            feature: Name of the feature.

        Raises:
            StoreError: If the clip has none; the message says why it failed or that it is missing.
        """
        location = self._location(clip_id, feature)
        try:
            reader = self._files.reader(location)
        except StoreError:
            self.refresh()  # `compact` may have joined the file with others
            location = self._location(clip_id, feature)
            reader = self._files.reader(location)
        return reader.rows(location.start, location.stop, self._specs[feature].columns)

    def flags(self, clip_id: str, feature: str) -> Mapping[str, float]:
        """What is unusual about the media that a clip's values were made from, such as `{"holes": 2}`.

        The names are explained in `docs/media.md`.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """
        return self.index.flags_of(feature, clip_id)

    def versions(self, feature: str) -> list[Mapping[str, str]]:
        """Each set of library versions, and `device`, that stored values of a feature were made with."""
        return self.index.versions_of(feature)

    def length(self, clip_id: str, feature: str) -> int:
        """Number of rows of one clip, without reading them; raises what `get` does.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """
        location = self._location(clip_id, feature)
        return location.stop - location.start

    def _location(self, clip_id: str, feature: str) -> Location:
        if (location := self.index.location(feature, clip_id)) is not None:
            return location
        self._spec(feature)
        failed = self.index.failure(feature, clip_id)
        why = f"{failed.reason}: {failed.message}" if failed else "no such clip, or not extracted yet"
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

    def put(self, shard: str, spec: FeatureSpec, entries: Sequence[Entry], attributes: Mapping[str, Any]) -> Path:
        """Publish one shard file: whole or not at all, never over another.

        Args:
            shard: Unique id of the shard.
            spec: What the values are.
            entries: Values or failure of each clip.
            attributes: Provenance; plain JSON types.

        Raises:
            StoreError: If the store holds numbers of other settings under this name; names the first that differs.
        """
        self.require(spec)
        (contents,) = publish_shard(self.path, shard, [ShardFeature(spec, entries, attributes)])
        self.index.add(contents)
        self._settle()
        return contents.path

    def require(self, spec: FeatureSpec) -> None:
        """Check that a feature's numbers may go into this store, see `recipes.require_same_settings`."""
        require_same_settings(self.path, self.index.specs_of(spec.name), spec)

    def remove(self, removal: Removal) -> None:
        """Take results away, for good: they count no more, and `compact` removes them from the disk.

        Args:
            removal: What is taken away.
        """
        write_removal(self.path, removal)
        self._settle()

    def runs(self) -> list[dict[str, Any]]:
        """Records of all runs, oldest first."""
        return read_runs(self.path)

    def save_index(self) -> None:
        """Write what is known as the store's index, so that it opens at once; the shard files stay the truth."""
        fold(self.index, self.path)

    def verify(self) -> Iterator[str]:
        """Re-read every stored byte; one line per problem. Missing work is no problem: see `storage.store.gaps`."""
        return problems(self.path)

    def _spec(self, feature: str) -> FeatureSpec:
        if feature not in self._specs:
            raise StoreError(f"{self.path}: no feature {feature!r}; features: {', '.join(self._specs) or 'none yet'}")
        return self._specs[feature]


def open_store(path: str | Path) -> FeatureStore:
    """Open a feature store for reading.

    Args:
        path: The store's folder.

    Raises:
        StoreError: If there is no store there.
    """
    return FeatureStore(as_path(path))
