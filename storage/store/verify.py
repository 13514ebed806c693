"""Finds damage in a store by re-reading every byte. Missing work is no damage: `gaps.py` tells it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from storage.errors import StoreError
from storage.identity import hash64
from storage.manifest import Manifest
from storage.records import Failure, Features, FeatureSpec
from storage.store.files import exists, list_files
from storage.store.index import Index
from storage.store.layout import SHARD_FILES, is_in_place, manifest_path
from storage.store.removals import Removal, read_removals
from storage.store.shard_reader import ShardContents, spec_digest
from storage.store.shard_writer import checked_contents

Progress = Callable[[int, int], None]


def problems(store: Path, progress: Progress | None = None) -> Iterator[str]:
    """Re-read every byte of the store in a folder, also of one that is too damaged to be opened.

    Args:
        store: Its folder.
        progress: Called after each file with how many were read, and how many there are.

    Yields:
        One line per problem: unreadable file, wrong shape, non-finite value, checksum, a file in the wrong place, a
        clip that the manifest does not know, or that is stored twice in one generation with different values.
    """
    known: set[str] | None = None
    try:
        if exists(manifest_path(store)):
            known = set(Manifest.open(manifest_path(store)).ids())
        taken_out = list(read_removals(store).values())
    except StoreError as error:
        yield str(error)
        taken_out = []
    first: dict[tuple[str, int, int], tuple[int, str, str]] = {}
    files = list_files(store, SHARD_FILES)
    for number, path in enumerate(files):
        shard, checksums, damage = checked_contents(path)
        yield from damage
        if progress is not None:
            progress(number + 1, len(files))
        if shard is None or damage:
            continue
        if not is_in_place(shard.path, shard.spec):
            place = f"features/{shard.spec.name}/{shard.spec.digest}"
            yield f"{shard.path.name}: expected in {place}, found in {shard.path.parent}"
        digest = spec_digest(shard.spec)
        if known is not None:
            yield from _unknown(shard, known, taken_out)
        for clip_id, checksum in checksums.items():
            key = shard.spec.name, hash64(clip_id), shard.rows[clip_id].generation
            other, expected, recipe = first.setdefault(key, (number, checksum, digest))
            if checksum != expected or digest != recipe:
                where = f"{path.name}: clip {clip_id}, feature {shard.spec.name}"
                what = "values" if digest == recipe else f"values, of recipe {recipe} and not {digest},"
                yield f"{where}: {files[other].name} holds other {what} for it"


class Results(Protocol):
    """What a store says of its clips: a `FeatureStore`, which this module is below."""

    @property
    def index(self) -> Index:
        """What became of each clip and feature."""

    @property
    def specs(self) -> Mapping[str, FeatureSpec]:
        """What each feature's numbers are."""

    @property
    def failures(self) -> Sequence[Failure]:
        """Clips without values."""

    def has(self, clip_id: str, feature: str) -> bool:
        """Whether a clip has values.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """

    def get(self, clip_id: str, feature: str) -> Features:
        """A clip's values.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """


def results_digest(store: Results) -> str:
    """SHA-256 over everything that a store says of its clips, whatever its files are called or hold beside.

    Over (clip, feature, digest, values, times, valid) of what is stored and (clip, feature, state, reason) of what is
    not, in order of clip and feature: two stores with the same results have the same one.

    Args:
        store: The store.

    Raises:
        StoreError: If a file cannot be read.
    """
    whole = hashlib.sha256()
    failures = {(failure.clip_id, failure.feature): failure for failure in store.failures}
    for clip_id in sorted(store.index.ids):
        for name in sorted(store.specs):
            failure = failures.get((clip_id, name))
            if store.has(clip_id, name):
                features = store.get(clip_id, name)
                whole.update(f"{clip_id} {name} {store.specs[name].digest} stored\n".encode())
                for array in (features.values, features.times, features.valid):
                    whole.update(np.ascontiguousarray(array).tobytes())
            elif failure is not None:
                whole.update(f"{clip_id} {name} {failure.state} {failure.reason}\n".encode())
    return whole.hexdigest()


def _unknown(shard: ShardContents, known: set[str], taken_out: list[Removal]) -> Iterator[str]:
    """Clips of a file that the manifest does not know, and that nobody took out."""
    generations = {clip_id: row.generation for clip_id, row in shard.rows.items()}
    generations |= {failed.failure.clip_id: failed.generation for failed in shard.failures}
    for clip_id, generation in generations.items():
        if clip_id in known:
            continue
        if not any(_takes(removal, shard.spec.name, clip_id, generation) for removal in taken_out):
            yield f"{shard.path.name}: clip {clip_id} is not in the manifest"


def _takes(removal: Removal, feature: str, clip_id: str, generation: int) -> bool:
    if generation >= removal.generation:
        return False
    return clip_id in removal.clips or feature in removal.features
