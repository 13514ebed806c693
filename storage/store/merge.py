"""Join stores that were made with the same recipes, such as those of several machines, into a new one.

What several stores hold for one clip and feature is taken from one of them: the first given that has values, else the
first that has a failure. Shard files are linked (or copied where the file system has no links); one that holds what
another store provides, or what a store no longer counts, is written anew without that. Media folders keep their names
where these tell them apart.
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
from storage.identity import INPUTS, input_digests
from storage.manifest import Manifest, free_name, write_manifest
from storage.records import FeatureSpec
from storage.store.files import exists, link_or_copy, list_files, publish, same_bytes
from storage.store.layout import RUN_RECORDS, SHARD_FILES, manifest_path, run_path, shard_path
from storage.store.shard_reader import ShardContents, ShardReader, read_contents
from storage.store.shard_writer import attributes_of, checksums_of, entries_of, write_shard_file
from storage.store.store import FeatureStore
from storage.store.versions import mixed_versions

_NOT_COMPARED = ("video", "audio", "files", "root", "fingerprint")
Held = dict[tuple[str, str], tuple[bool, Path]]


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
    held = [_held(store, own) for store, own in zip(opened, shards, strict=True)]
    owners = _owners(held)
    different = list(_different(opened, shards, held))
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
        files = Counter(_take(shard, n, owners, held[n], temporary) for n, own in enumerate(shards) for shard in own)
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


def _held(store: FeatureStore, shards: Sequence[ShardContents]) -> Held:
    """Each result that counts in a store: whether it is values, and the shard file that has it."""
    held: Held = {}
    for shard in shards:
        for clip_id in shard.clip_ids:
            path = store.index.file_of(shard.spec.name, clip_id)
            if path == shard.path:
                held[shard.spec.name, clip_id] = (clip_id in shard.rows, path)
    return held


def _different(
    stores: Sequence[FeatureStore], shards: Sequence[Sequence[ShardContents]], held: Sequence[Held]
) -> Iterator[tuple[tuple[str, str], FeatureStore, FeatureStore]]:
    """Each (clip, feature) of which two stores hold different values, with the two."""
    seen: dict[tuple[str, str], tuple[FeatureStore, str]] = {}
    for store, own, counting in zip(stores, shards, held, strict=True):
        for shard in own:
            for clip_id, checksum in checksums_of(shard.path).items():
                key = (clip_id, shard.spec.name)
                if counting.get((shard.spec.name, clip_id), (False, None))[1] != shard.path:
                    continue
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
    roots, names = _roots(manifests)
    corpus = "+".join(dict.fromkeys(manifest.corpus for manifest in manifests))
    return write_manifest(manifest_path(folder), _clips(stores, names), roots, corpus)


def _roots(manifests: Sequence[Manifest]) -> tuple[dict[str, Path], list[dict[str | None, str]]]:
    """All media folders by name, and for each manifest the name of each of its own among them."""
    roots: dict[str, Path] = {}
    names: list[dict[str | None, str]] = []
    for manifest in manifests:
        own: dict[str | None, str] = {}
        for name, folder in manifest.roots.items():
            place = folder.resolve()
            chosen = next((n for n, f in roots.items() if f == place), None)
            chosen = free_name(name, roots) if chosen is None else chosen
            roots[chosen] = place
            own[name] = chosen
        own[None] = next(iter(own.values()))
        names.append(own)
    return roots, names


def _clips(stores: Sequence[FeatureStore], names: Sequence[Mapping[str | None, str]]) -> Iterator[Clip]:
    """Clips of all stores, each once, in order."""
    seen: dict[str, tuple[int, str]] = {}
    for number, store in enumerate(stores):
        for clip in store.clips():
            digest = digest_of(_compared(clip))
            first, expected = seen.setdefault(clip.id, (number, digest))
            if digest != expected:
                _refuse_other_clip(clip, store, stores[first])
            if first == number:
                yield replace(clip, root=names[number][clip.root])


def _compared(clip: Clip) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(clip).items() if name not in _NOT_COMPARED}
    return {"inputs": input_digests(clip), **fields}


def _refuse_other_clip(clip: Clip, store: FeatureStore, other: FeatureStore) -> NoReturn:
    theirs = _compared(next(c for c in other.clips() if c.id == clip.id))
    ours = _compared(clip)
    changed = next(name for name in ours if ours[name] != theirs[name])
    if changed == "inputs":
        inputs = [INPUTS[name] for name in INPUTS if ours["inputs"][name] != theirs["inputs"][name]]
        how = f"{' and '.join(inputs)} differ between {other.path} and {store.path}"
    else:
        how = f"{changed} is {theirs[changed]!r} in {other.path} and {ours[changed]!r} in {store.path}"
    raise StoreError(f"clip {clip.id}: {how}; stores can be merged only where a clip id means the same clip")


def _owners(held: Sequence[Held]) -> dict[tuple[str, str], int]:
    """Number of the store that provides each (feature, clip), given what each holds."""
    owners: dict[tuple[str, str], int] = {}
    for wanted in (True, False):
        for number, states in enumerate(held):
            for key, (is_value, _) in states.items():
                if is_value == wanted:
                    owners.setdefault(key, number)
    return owners


def _take(shard: ShardContents, number: int, owners: Mapping[tuple[str, str], int], held: Held, folder: Path) -> str:
    """Give the new store what it needs of one shard file; say how."""
    name, clips = shard.spec.name, shard.clip_ids
    counting = [i for i in clips if held.get((name, i), (False, None))[1] == shard.path]
    wanted = {clip_id for clip_id in counting if owners[name, clip_id] == number}
    target = shard_path(folder, shard.spec, shard.path.stem)
    if not wanted:
        return "not needed"
    if len(wanted) < len(clips):
        _rewrite(shard, _free(target, number), wanted)
        return "written anew"
    _copy(shard.path, target, number)
    return "taken whole"


def _rewrite(shard: ShardContents, target: Path, wanted: Set[str]) -> None:
    with closing(ShardReader(shard.path, shard.arrays)) as reader:
        entries = list(entries_of(shard, reader, wanted))
    write_shard_file(target, shard.spec, entries, attributes_of(shard.path))


def _free(target: Path, number: int) -> Path:
    """The name, or another one if an earlier store has used it."""
    return target.with_stem(f"{target.stem}_store{number + 1}") if exists(target) else target


def _copy(source: Path, target: Path, number: int) -> None:
    """Link or copy a file that never changes; nothing to do if the same one is there already."""
    if not same_bytes(source, target):
        link_or_copy(source, _free(target, number))
