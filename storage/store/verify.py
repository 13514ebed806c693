"""Finds damage in a store by re-reading every byte. Missing work is no damage: `gaps.py` tells it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from storage.errors import StoreError
from storage.manifest import Manifest
from storage.store.files import exists, list_files
from storage.store.layout import SHARD_FILES, is_in_place, manifest_path
from storage.store.shard_reader import ShardContents, read_contents
from storage.store.shard_writer import check_shard_file, checksums_of


def problems(store: Path) -> Iterator[str]:
    """Re-read every byte of the store in a folder, also of one that is too damaged to be opened.

    Yields:
        One line per problem: unreadable file, wrong shape, non-finite value, checksum, a file in the wrong place, a
        feature with two recipes, a clip that the manifest does not know or that is stored twice with different values.
    """
    manifest_ids: set[str] | None = None
    if exists(manifest_path(store)):
        try:
            manifest_ids = {clip.id for clip in Manifest.open(manifest_path(store))}
        except StoreError as error:
            yield str(error)
    recipes: dict[str, str] = {}
    first: dict[tuple[str, str], tuple[Path, str]] = {}
    for path in list_files(store, SHARD_FILES):
        if damage := check_shard_file(path):
            yield from damage
            continue
        shard = read_contents(path)
        yield from _misplaced(shard, recipes)
        if manifest_ids is not None:
            yield from (
                f"{path.name}: clip {i} is not in the manifest" for i in shard.clip_ids if i not in manifest_ids
            )
        for clip_id, checksum in checksums_of(path).items():
            other, expected = first.setdefault((shard.spec.name, clip_id), (path, checksum))
            if checksum != expected:
                yield f"{path.name}: clip {clip_id}, feature {shard.spec.name}: {other.name} holds other values for it"


def _misplaced(shard: ShardContents, recipes: dict[str, str]) -> Iterator[str]:
    name, digest = shard.spec.name, shard.spec.digest
    if not is_in_place(shard.path, shard.spec):
        yield f"{shard.path.name}: expected in features/{name}/{digest}, found in {shard.path.parent}"
    if recipes.setdefault(name, digest) != digest:
        yield f"{shard.path.name}: feature {name} has digest {digest} here and {recipes[name]} in other files"
