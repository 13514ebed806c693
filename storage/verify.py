"""What is wrong with a store, and what is worth knowing of it. Damage and missing work are told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import StoreError
from storage.manifest import Manifest
from storage.shard_file import check_shard_file, checksums_of
from storage.shard_reader import Index, read_index, shard_paths

if TYPE_CHECKING:
    from storage.store import FeatureStore


def problems(store: Path) -> Iterator[str]:
    """Re-read every byte of the store in a folder, also of one that is too damaged to be opened.

    Yields:
        One line per problem: unreadable file, wrong shape, non-finite value, checksum, a file in the wrong place, a
        feature with two recipes, a clip that the manifest does not know or that is stored twice with different values.
    """
    known: set[str] | None = None
    if (store / "manifest.parquet").exists():
        try:
            known = {clip.id for clip in Manifest.open(store / "manifest.parquet")}
        except StoreError as error:
            yield str(error)
    recipes: dict[str, str] = {}
    first: dict[tuple[str, str], tuple[Path, str]] = {}
    for path in shard_paths(store):
        if found := check_shard_file(path):
            yield from found
            continue
        index = read_index(path)
        yield from _misplaced(index, recipes)
        ids = [*index.rows, *(failure.clip_id for failure, _ in index.failures)]
        if known is not None:
            yield from (f"{path.name}: clip {i} is not in the manifest" for i in ids if i not in known)
        for clip_id, checksum in checksums_of(path).items():
            other, expected = first.setdefault((index.spec.name, clip_id), (path, checksum))
            if checksum != expected:
                yield f"{path.name}: clip {clip_id}, feature {index.spec.name}: {other.name} holds other values for it"


def _misplaced(index: Index, recipes: dict[str, str]) -> Iterator[str]:
    name, digest = index.spec.name, index.spec.digest
    if (index.path.parent.parent.name, index.path.parent.name) != (name, digest):
        yield f"{index.path.name}: expected in features/{name}/{digest}, found in {index.path.parent}"
    if recipes.setdefault(name, digest) != digest:
        yield f"{index.path.name}: feature {name} has digest {digest} here and {recipes[name]} in other files"


def notes(store: FeatureStore) -> Iterator[str]:
    """Tell what is not stored: each clip of the manifest is stored, failed, skipped or missing, once per feature.

    Yields:
        One line per feature that is not stored for every clip, and one if modalities are stored for different clips.
    """
    if not store.has_manifest:
        return
    ids = [clip.id for clip in store.clips()]
    for name in store.specs:
        states = Counter(outcome.state if (outcome := store.outcome_of(i, name)) else "missing" for i in ids)
        if states["stored"] < len(ids):
            others = ", ".join(f"{states[s]} {s}" for s in ("failed", "skipped", "missing") if states[s])
            yield f"{name}: {states['stored']} of {len(ids)} clips stored, {others}"
    by_modality: dict[str, set[str]] = {}
    for name, spec in store.specs.items():
        stored = {i for i in ids if store.has(i, name)}
        by_modality[spec.modality] = by_modality.get(spec.modality, stored) & stored
    every = set(ids).intersection(*by_modality.values())
    if any(stored != every for stored in by_modality.values()):
        counts = ", ".join(f"{modality} {len(stored)}" for modality, stored in by_modality.items())
        yield f"modalities are stored for different clips: {counts}; {len(every)} of {len(ids)} clips have all"
