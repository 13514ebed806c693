"""Join stores that were made with the same recipes, such as those of several machines, into a new one.

What several stores hold for one clip and feature is taken from one of them: the first given that has values, else the
first that has a failure. Shard files are linked (or copied where the file system has no links); one that holds what
another store provides is written anew without that. Media paths become absolute where the stores' media folders differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from storage.clip import Clip
from storage.digests import digest_of
from storage.errors import StoreError
from storage.manifest import write_manifest
from storage.records import FeatureSpec
from storage.store.files import exists, link_or_copy, list_files, publish, same_bytes
from storage.store.layout import RUN_RECORDS, SHARD_FILES, manifest_path, run_path, shard_path
from storage.store.shard_reader import ShardContents, ShardReader, open_shard_file, read_contents
from storage.store.shard_writer import Entry, checksums_of, write_shard_file
from storage.store.store import FeatureStore
from storage.store.versions import mixed_versions

_MEDIA = ("video", "audio")
_NOT_COMPARED = (*_MEDIA, "files")
_OWN_ATTRIBUTES = ("format", "feature", "digest")


def merge(stores: Sequence[Path], destination: Path, *, prefer_first: bool = False) -> list[str]:
    """Write a new store that holds what all of the given ones hold.

    Args:
        stores: Folders of stores; where several have the same, earlier ones come first.
        destination: Folder of the new store; must not exist.
        prefer_first: Whether, of different values for one clip and feature, those of the first store are taken.

    Returns:
        Lines that tell a person what was joined.

    Raises:
        StoreError: If the destination exists, a feature's numbers differ in their recipe, a clip differs in anything
            but the place of its media, or two stores hold different values for one clip and feature; names the first
            difference. Nothing is written then.
    """
    if exists(destination):
        raise StoreError(f"{destination}: exists already; merging makes a new store, choose a new name")
    opened = [FeatureStore(path) for path in stores]
    _refuse_other_recipes(opened)
    shards = [[read_contents(path) for path in list_files(store.path, SHARD_FILES)] for store in opened]
    held = [{(s.spec.name, clip_id): clip_id in s.rows for s in own for clip_id in s.clip_ids} for own in shards]
    owners = _owners(held)
    different = list(_different(opened, shards))
    if different and not prefer_first:
        (clip_id, name), first, second = different[0]
        raise StoreError(
            f"clip {clip_id}, feature {name}: {first.path} and {second.path} hold different values "
            f"({_difference(first, second, clip_id, name)}), as for {len(different)} in all; "
            f"find out why, or take those of the first store with --prefer first"
        )
    with publish(destination) as temporary:
        FeatureStore.create(temporary)
        n_clips = _write_clips(opened, temporary)
        files = Counter(_take(shard, n, owners, temporary) for n, own in enumerate(shards) for shard in own)
        for number, store in enumerate(opened):
            for record in list_files(store.path, RUN_RECORDS):
                _copy(record, run_path(temporary, record.stem), number)
    taken = ", ".join(f"{count} {how}" for how, count in sorted(files.items())) or "none"
    lines = [
        f"{len(opened)} stores, {n_clips} clips, {len({name for name, _ in owners})} features; shard files: {taken}"
    ]
    repeated = sum(map(len, held)) - len(owners)
    if repeated:
        lines.append(f"{repeated} results were in several stores and are kept once")
    if different:
        lines.append(f"{len(different)} of them differed: those of the first store are kept")
    made_with = {name: [v for store in opened for v in store.versions(name)] for name in {n for n, _ in owners}}
    mixed = {name: text for name, sets in sorted(made_with.items()) if (text := mixed_versions(sets))}
    return lines + [f"{name}: made with several versions: {text}" for name, text in mixed.items()]


def _different(
    stores: Sequence[FeatureStore], shards: Sequence[Sequence[ShardContents]]
) -> Iterator[tuple[tuple[str, str], FeatureStore, FeatureStore]]:
    """Each (clip, feature) of which two stores hold different values, with the two."""
    seen: dict[tuple[str, str], tuple[FeatureStore, str]] = {}
    for store, own in zip(stores, shards, strict=True):
        for shard in own:
            for clip_id, checksum in checksums_of(shard.path).items():
                key = (clip_id, shard.spec.name)
                first, expected = seen.setdefault(key, (store, checksum))
                if first is not store and checksum != expected:
                    yield key, first, store


def _difference(first: FeatureStore, second: FeatureStore, clip_id: str, name: str) -> str:
    """How different the values of a clip are, for people."""
    ours, theirs = first.get(clip_id, name), second.get(clip_id, name)
    if ours.values.shape != theirs.values.shape:
        return f"{len(ours.values)} and {len(theirs.values)} rows"
    if not np.array_equal(ours.valid, theirs.valid):
        return f"{int((ours.valid != theirs.valid).sum())} rows are valid in one of them only"
    largest = np.nanmax(np.abs(ours.values.astype(np.float64) - theirs.values), initial=0.0)
    times = np.abs(ours.times - theirs.times).max(initial=0.0)
    return f"by up to {largest:g}" if largest else f"times by up to {times:g} s"


def _refuse_other_recipes(stores: Sequence[FeatureStore]) -> None:
    firsts: dict[str, tuple[FeatureStore, FeatureSpec]] = {}
    for store in stores:
        for name, spec in store.specs.items():
            other, first = firsts.setdefault(name, (store, spec))
            if spec.digest != first.digest:
                difference = first.first_difference(spec)
                raise StoreError(f"feature {name}: recipes differ in {difference} ({other.path} against {store.path})")


def _write_clips(stores: Sequence[FeatureStore], folder: Path) -> int:
    manifests = [store.manifest for store in stores]
    roots = {manifest.root.resolve() for manifest in manifests}
    root = manifests[0].root if len(roots) == 1 else folder
    corpus = "+".join(dict.fromkeys(manifest.corpus for manifest in manifests))
    return write_manifest(manifest_path(folder), _clips(stores, absolute=len(roots) > 1), root, corpus)


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
    return {name: value for name, value in asdict(clip).items() if name not in _NOT_COMPARED}


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


def _owners(held: Sequence[Mapping[tuple[str, str], bool]]) -> dict[tuple[str, str], int]:
    """Number of the store that provides each (feature, clip), given what each holds: True for values."""
    owners: dict[tuple[str, str], int] = {}
    for wanted in (True, False):
        for number, states in enumerate(held):
            for key, is_value in states.items():
                if is_value == wanted:
                    owners.setdefault(key, number)
    return owners


def _take(shard: ShardContents, number: int, owners: Mapping[tuple[str, str], int], folder: Path) -> str:
    """Give the new store what it needs of one shard file; say how."""
    name, clips = shard.spec.name, shard.clip_ids
    wanted = {clip_id for clip_id in clips if owners[name, clip_id] == number}
    target = shard_path(folder, shard.spec, shard.path.stem)
    if not wanted:
        return "not needed"
    if len(wanted) < len(clips):
        _rewrite(shard, _free(target, number), wanted)
        return "written anew"
    _copy(shard.path, target, number)
    return "taken whole"


def _rewrite(shard: ShardContents, target: Path, wanted: Set[str]) -> None:
    with closing(open_shard_file(shard.path)) as file:
        kept = {key: value for key, value in file.attrs.items() if key not in _OWN_ATTRIBUTES}
    attributes = {key: value.item() if isinstance(value, np.generic) else value for key, value in kept.items()}
    with closing(ShardReader(shard.path, shard.arrays)) as reader:
        entries = [
            Entry(i, f, reader.rows(start, stop), shard.flags.get(i, {}))
            for i, (start, stop, f) in shard.rows.items()
            if i in wanted
        ]
    entries += [Entry(failure.clip_id, f, failure) for failure, f in shard.failures if failure.clip_id in wanted]
    write_shard_file(target, shard.spec, entries, attributes)


def _free(target: Path, number: int) -> Path:
    """The name, or another one if an earlier store has used it."""
    return target.with_stem(f"{target.stem}_store{number + 1}") if exists(target) else target


def _copy(source: Path, target: Path, number: int) -> None:
    """Link or copy a file that never changes; nothing to do if the same one is there already."""
    if not same_bytes(source, target):
        link_or_copy(source, _free(target, number))
