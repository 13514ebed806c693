"""Join stores that were made with the same recipes, such as those of several machines, into a new one.

What several stores hold for one clip and feature is taken from one of them: the first given that has values, else the
first that has a failure. Shard files are linked (or copied where the file system has no links); one that holds what
another store provides is written anew without that. Media paths become absolute where the stores' media folders differ.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from storage.atomic import publish
from storage.errors import StoreError
from storage.manifest import write_manifest
from storage.records import Clip, FeatureSpec, digest_of
from storage.shard_file import Entry, write_shard_file
from storage.shard_reader import Index, ShardReader, open_shard_file, read_index, shard_paths
from storage.store import FeatureStore

_MEDIA = ("video", "audio")
_OWN_ATTRIBUTES = ("format", "feature", "digest")


def merge(stores: Sequence[Path], destination: Path) -> list[str]:
    """Write a new store that holds what all of the given ones hold.

    Args:
        stores: Folders of stores; where several have the same, earlier ones come first.
        destination: Folder of the new store; must not exist.

    Returns:
        Lines that tell a person what was joined.

    Raises:
        StoreError: If the destination exists, a feature's numbers differ in their recipe, or a clip differs in
            anything but the place of its media; names the first field that differs. Nothing is written then.
    """
    if destination.exists():
        raise StoreError(f"{destination}: exists already; merging makes a new store, choose a new name")
    opened = [FeatureStore(path) for path in stores]
    _refuse_other_recipes(opened)
    indexes = [[read_index(path) for path in shard_paths(store.path)] for store in opened]
    held = [{(i.spec.name, clip_id): clip_id in i.rows for i in own for clip_id in _clip_ids(i)} for own in indexes]
    owners = _owners(held)
    with publish(destination) as temporary:
        FeatureStore.create(temporary)
        n_clips = _write_clips(opened, temporary)
        files = Counter(_take(index, n, owners, temporary) for n, own in enumerate(indexes) for index in own)
        for number, store in enumerate(opened):
            for record in sorted(store.path.glob("runs/*.json")):
                _place(record, temporary / "runs" / record.name, number)
    shards = ", ".join(f"{count} {how}" for how, count in sorted(files.items())) or "none"
    lines = [
        f"{len(opened)} stores, {n_clips} clips, {len({name for name, _ in owners})} features; shard files: {shards}"
    ]
    repeated = sum(map(len, held)) - len(owners)
    return lines + ([f"{repeated} results were in several stores and are kept once"] if repeated else [])


def _refuse_other_recipes(stores: Sequence[FeatureStore]) -> None:
    known: dict[str, tuple[FeatureStore, FeatureSpec]] = {}
    for store in stores:
        for name, spec in store.specs.items():
            other, first = known.setdefault(name, (store, spec))
            if spec.digest != first.digest:
                difference = first.first_difference(spec)
                raise StoreError(f"feature {name}: recipes differ in {difference} ({other.path} against {store.path})")


def _write_clips(stores: Sequence[FeatureStore], folder: Path) -> int:
    manifests = [store.manifest for store in stores]
    roots = {manifest.root.resolve() for manifest in manifests}
    root = manifests[0].root if len(roots) == 1 else folder
    corpus = "+".join(dict.fromkeys(manifest.corpus for manifest in manifests))
    return write_manifest(folder / "manifest.parquet", _clips(stores, absolute=len(roots) > 1), root, corpus)


def _clips(stores: Sequence[FeatureStore], *, absolute: bool) -> Iterator[Clip]:
    """Clips of all stores, each once, in order."""
    seen: dict[str, tuple[int, str]] = {}
    for number, store in enumerate(stores):
        root = store.manifest.root.absolute()
        for clip in store.clips():
            digest = digest_of(_compared(clip))
            first, expected = seen.setdefault(clip.id, (number, digest))
            if digest != expected:
                _refuse_other_clip(clip, store, stores[first])
            if first == number:
                yield replace(clip, **_absolute(clip, root)) if absolute else clip


def _compared(clip: Clip) -> dict[str, Any]:
    return {name: value for name, value in asdict(clip).items() if name not in _MEDIA}


def _absolute(clip: Clip, root: Path) -> dict[str, Any]:
    paths = {name: getattr(clip, name) for name in _MEDIA}
    return {name: str(root / path) for name, path in paths.items() if path is not None and "://" not in path}


def _refuse_other_clip(clip: Clip, store: FeatureStore, other: FeatureStore) -> NoReturn:
    theirs = _compared(next(c for c in other.clips() if c.id == clip.id))
    ours = _compared(clip)
    field = next(name for name in ("fingerprint", *ours) if ours[name] != theirs[name])
    raise StoreError(
        f"clip {clip.id}: {field} is {theirs[field]!r} in {other.path} and {ours[field]!r} in {store.path}; "
        f"stores can be merged only where a clip id means the same clip"
    )


def _clip_ids(index: Index) -> list[str]:
    return [*index.rows, *(failure.clip_id for failure, _ in index.failures)]


def _owners(held: Sequence[Mapping[tuple[str, str], bool]]) -> dict[tuple[str, str], int]:
    """Number of the store that provides each (feature, clip), given what each holds: True for values."""
    owners: dict[tuple[str, str], int] = {}
    for wanted in (True, False):
        for number, states in enumerate(held):
            for key, is_value in states.items():
                if is_value == wanted:
                    owners.setdefault(key, number)
    return owners


def _take(index: Index, number: int, owners: Mapping[tuple[str, str], int], folder: Path) -> str:
    """Give the new store what it needs of one shard file; say how."""
    name, clips = index.spec.name, _clip_ids(index)
    wanted = {clip_id for clip_id in clips if owners[name, clip_id] == number}
    target = folder / "features" / name / index.spec.digest / index.path.name
    if not wanted:
        return "not needed"
    if len(wanted) < len(clips):
        _rewrite(index, _free(target, number), wanted)
        return "written anew"
    _place(index.path, target, number)
    return "taken whole"


def _rewrite(index: Index, target: Path, wanted: Set[str]) -> None:
    with closing(open_shard_file(index.path)) as file:
        found = {key: value for key, value in file.attrs.items() if key not in _OWN_ATTRIBUTES}
    attributes = {key: value.item() if isinstance(value, np.generic) else value for key, value in found.items()}
    with closing(ShardReader(index.path, index.places)) as reader:
        entries = [Entry(i, f, reader.rows(start, stop)) for i, (start, stop, f) in index.rows.items() if i in wanted]
    entries += [Entry(failure.clip_id, f, failure) for failure, f in index.failures if failure.clip_id in wanted]
    write_shard_file(target, index.spec, entries, attributes)


def _free(target: Path, number: int) -> Path:
    """The name, or another one if an earlier store has used it."""
    return target.with_stem(f"{target.stem}_store{number + 1}") if target.exists() else target


def _place(source: Path, target: Path, number: int) -> None:
    """Link or copy a file that never changes; nothing to do if the same one is there already."""
    if target.exists() and filecmp.cmp(source, target, shallow=False):
        return
    free = _free(target, number)
    free.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, free)
    except OSError:
        shutil.copyfile(source, free)
