"""Joins small shard files into large ones, and leaves out what counts no more. Whole or not at all, beside readers.

A new file is published under a new name before those that it replaces are removed. What both hold meanwhile is the
same, so that a crash between the two costs nothing. Bytes of values are copied as they are.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from storage.digests import canonical_json
from storage.store.files import list_files, remove, size_of
from storage.store.layout import SHARD_FILES, shard_path
from storage.store.removals import Removal, read_removals, write_removal
from storage.store.runs import refuse_live_run
from storage.store.shard_reader import ShardContents, ShardReader, read_contents, spec_digest
from storage.store.shard_writer import Entry, attributes_of, entries_of, write_shard_file
from storage.store.store import FeatureStore
from storage.store.tidy import tidy_runs

FULL_BYTES = 256 << 20
FULL_CLIPS = 20_000
MOST_FILES = 1000
_PROVENANCE = ("versions", "libraries", "device")


@dataclass(frozen=True, slots=True)
class _Part:
    """A shard file, with the clips of it that count."""

    contents: ShardContents
    wanted: frozenset[str]
    attributes: dict[str, Any]
    bytes: int

    @property
    def is_whole(self) -> bool:
        return len(self.wanted) == len(self.contents.clip_ids)


def compact(store: FeatureStore, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Join small shard files, and remove what was superseded or taken out.

    Args:
        store: The store.
        progress: Called after each group of files with how many are done, and how many there are.

    Returns:
        Lines that tell a person what was done.

    Raises:
        StoreError: If a run is going on, or a shard file cannot be read; what was joined before that stays.
    """
    refuse_live_run(store.path)
    before = list_files(store.path, SHARD_FILES)
    size = sum(map(size_of, before))
    groups = list(_groups(_parts(store, before)))
    for number, group in enumerate(groups):
        _join(store.path, group)
        if progress is not None:
            progress(number + 1, len(groups))
    store.refresh()
    _settle_removals(store)
    store.refresh()
    store.save_index()
    old = tidy_runs(store.path)
    after = list_files(store.path, SHARD_FILES)
    saved = (size - sum(map(size_of, after))) >> 20
    lines = [f"{len(before)} shard files became {len(after)}, {saved} MiB less"]
    return [*lines, f"notes of {old} old or dead runs removed"] if old else lines


def compact_if_many(store: FeatureStore) -> None:
    """Compact a store that has more than a thousand files of some feature.

    Args:
        store: The store.
    """
    counts: dict[str, int] = defaultdict(int)
    for file in store.index.files:
        counts[file.spec.name] += 1
    if max(counts.values(), default=0) > MOST_FILES:
        compact(store)


def _parts(store: FeatureStore, files: Sequence[Path]) -> Iterator[_Part]:
    for path in files:
        contents = read_contents(path)
        name = contents.spec.name
        wanted = frozenset(i for i in contents.clip_ids if store.index.file_of(name, i, with_retried=True) == path)
        yield _Part(contents, wanted, attributes_of(path), size_of(path))


def _groups(parts: Iterator[_Part]) -> Iterator[list[_Part]]:
    """Files that become one: of one recipe, made with the same versions, up to a full file; only where that helps."""
    waiting: dict[tuple[str, ...], list[_Part]] = defaultdict(list)
    for part in parts:
        if part.is_whole and _is_full([part]):
            continue
        made_with = canonical_json({name: part.attributes.get(name) for name in _PROVENANCE})
        contents = part.contents
        key = (contents.spec.name, spec_digest(contents.spec), str(contents.is_legacy), made_with)
        waiting[key].append(part)
        if _is_full(waiting[key]):
            yield waiting.pop(key)
    for group in waiting.values():
        if len(group) > 1 or not group[0].is_whole:
            yield group


def _is_full(parts: Sequence[_Part]) -> bool:
    return sum(p.bytes for p in parts) >= FULL_BYTES or sum(len(p.wanted) for p in parts) >= FULL_CLIPS


def _join(store: Path, group: Sequence[_Part]) -> None:
    """Publish one file with all that counts, then remove those that it replaces."""
    spec = group[0].contents.spec
    entries = [entry for part in group for entry in _entries(part)]
    if entries:
        first = group[0].attributes
        runs = sorted({run for part in group for run in str(part.attributes.get("run", "")).split(",") if run})
        attributes = {name: first[name] for name in _PROVENANCE if name in first} | {"run": ",".join(runs)}
        if errors := [p.attributes["largest_error"] for p in group if "largest_error" in p.attributes]:
            attributes["largest_error"] = max(errors)
        target = shard_path(store, spec, f"compact-{secrets.token_hex(6)}")
        write_shard_file(target, spec, entries, attributes)
    for part in group:
        remove(part.contents.path)


def _entries(part: _Part) -> list[Entry]:
    contents = part.contents
    with closing(ShardReader(contents.path, contents.arrays)) as reader:
        return list(entries_of(contents, reader, part.wanted))


def _settle_removals(store: FeatureStore) -> None:
    """Remove removals that nothing is left to be taken away by; keep of the others what still says something."""
    for path, removal in read_removals(store.path).items():
        left = _left(store, removal)
        if left != removal:
            if left is not None:
                write_removal(store.path, left)
            remove(path)


def _left(store: FeatureStore, removal: Removal) -> Removal | None:
    if removal.kind != "retry":
        return None
    failures = {
        name: kept
        for name, ids in removal.failures.items()
        if (kept := [i for i in ids if store.index.is_retried(name, i)])
    }
    return replace(removal, failures=failures) if failures else None
