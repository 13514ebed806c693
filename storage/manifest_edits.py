"""Changes of a store's manifest, column by column: a manifest adopted, clips taken out, media folders moved.

Clips keep their place; new ones come at the end. Nothing is written where nothing changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.paths import as_path, is_remote
from storage.atomic import publish
from storage.errors import StoreError
from storage.manifest import FORMAT, Manifest, free_name, header_of, write_manifest
from storage.manifest_files import DIGESTS, FIELDS, KEY, parquet_header, parquet_schema
from storage.remote import is_folder, local_copy

if TYPE_CHECKING:
    import pyarrow as pa

_REMEMBERED = 64


def adopt(path: Path, incoming: Manifest) -> bool:
    """Take the clips of a manifest into a store's: known ones are updated in place, new ones come at the end.

    A clip whose id the store does not know, but whose `source_id` and inputs are those of a clip that the manifest
    lacks, keeps the id that it has in the store.

    Args:
        path: The store's manifest; made where there is none.
        incoming: The manifest.

    Returns:
        Whether anything was written.
    """
    digest = _digest_of(incoming)
    if not path.exists():
        write_manifest(path, incoming, _absolute(incoming.roots), incoming.corpus, adopted=[digest])
        return True
    if digest in Manifest.open(path).adopted:
        return False
    with tempfile.TemporaryDirectory() as folder:
        _join(_current_form(path), _as_parquet(incoming, Path(folder)), incoming, digest)
    return True


def take_out(path: Path, ids: Iterable[str]) -> int:
    """Take clips out of a store's manifest.

    Args:
        path: The manifest.
        ids: Ids of the clips; others are no error.

    Returns:
        How many were in it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    manifest = _current_form(path)
    gone = pa.array(list(ids), pa.string())
    table = _table(path)
    kept = table.filter(pc.invert(pc.is_in(table.column("id"), gone)))
    if len(kept) < len(table):
        _write(path, kept, header_of(path, manifest.roots, manifest.corpus))
    return len(table) - len(kept)


def relocate(path: Path, roots: Mapping[str, Path]) -> None:
    """Say where the media folders of a store's manifest are now.

    Args:
        path: The manifest.
        roots: The folders that moved, by name.
    """
    manifest = _current_form(path)
    _write(path, _table(path), header_of(path, {**manifest.roots, **roots}, manifest.corpus))


def _join(manifest: Manifest, incoming_file: Path, incoming: Manifest, digest: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    old, new = _table(manifest.path), _table(incoming_file)
    match = np.array(pc.index_in(old.column("id"), new.column("id")).fill_null(-1).to_numpy(), np.int64, copy=True)
    is_new = np.ones(len(new), bool)
    is_new[match[match >= 0]] = False
    renamed = _recognised(old, new, np.flatnonzero(match < 0), np.flatnonzero(is_new))
    for row, at in renamed.items():
        match[row], is_new[at] = at, False
    roots, names = _joined_roots(manifest, incoming, old, match)
    new = _with_roots(new, names)
    known = np.flatnonzero(match >= 0)
    updated = new.take(pa.array(match[known]))
    # A clip that is recognised keeps the id under which its results are stored.
    updated = updated.set_column(0, updated.schema.field("id"), old.column("id").take(pa.array(known)))
    has_changed = not old.take(pa.array(known)).equals(updated)
    joined = pa.concat_tables([old, updated, new.filter(pa.array(is_new))])
    order = np.arange(len(joined))
    order[known] = len(old) + np.arange(len(known))
    order = np.concatenate([order[: len(old)], np.arange(len(old) + len(known), len(joined))])
    adopted = [digest] if has_changed else [*manifest.adopted, digest][-_REMEMBERED:]
    corpus = "+".join(dict.fromkeys([*manifest.corpus.split("+"), *incoming.corpus.split("+")]))
    _write(manifest.path, joined.take(pa.array(order)), header_of(manifest.path, roots, corpus, adopted))


def _recognised(old: pa.Table, new: pa.Table, lost: Any, fresh: Any) -> dict[int, int]:
    """Rows of the store's manifest whose clips have another id in the new one, with their row there."""
    if not len(lost) or not len(fresh):
        return {}
    here, there = _names(old, lost), _names(new, fresh)
    return {row: there[key] for key, row in here.items() if key in there}


def _names(table: pa.Table, rows: Any) -> dict[tuple[Any, ...], int]:
    """Row of each clip by its corpus's name and its inputs; those of several clips are left out."""
    import pyarrow as pa

    some = table.select(["source_id", *DIGESTS.values()]).take(pa.array(rows))
    found: dict[tuple[Any, ...], int] = {}
    several = set()
    for row, values in zip(rows.tolist(), zip(*(c.to_pylist() for c in some.columns), strict=True), strict=True):
        if values[0] is not None and found.setdefault(values, row) != row:
            several.add(values)
    return {key: row for key, row in found.items() if key not in several}


def _joined_roots(
    manifest: Manifest, incoming: Manifest, old: pa.Table, match: Any
) -> tuple[dict[str, Path], dict[str, str]]:
    """All media folders, and the name that each of the new manifest's has among them.

    A folder of a known name that lies elsewhere has moved if the old one is gone or all its clips are in the new
    manifest; else it is another folder, and gets a name of its own.
    """
    roots = dict(_absolute(manifest.roots))
    names: dict[str, str] = {}
    first = next(iter(roots))
    owners = [name or first for name in old.column("root").to_pylist()] if len(incoming.roots) else []
    for name, folder in _absolute(incoming.roots).items():
        same = next((n for n, f in roots.items() if _same(f, folder)), None)
        chosen = same or name
        if same is None and name in roots:
            is_left = any(owner == name and at < 0 for owner, at in zip(owners, match.tolist(), strict=True))
            chosen = free_name(name, roots) if is_left and is_folder(roots[name]) and is_folder(folder) else name
        if chosen not in roots or is_folder(folder):  # a folder that is gone was moved, and the store may know where
            roots[chosen] = folder
        names[name] = chosen
    return roots, names


def _same(one: Path, other: Path) -> bool:
    if one == other or is_remote(one) or is_remote(other):
        return one == other
    return os.path.realpath(one) == os.path.realpath(other)


def _with_roots(table: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """The table with every clip's media folder under its new name."""
    import pyarrow as pa

    first = next(iter(names))
    column = table.column("root").to_pylist()
    renamed = pa.array([names[name or first] for name in column], pa.string())
    return table.set_column(table.schema.get_field_index("root"), "root", renamed)


def _absolute(roots: Mapping[str, Path]) -> dict[str, Path]:
    return {name: folder.absolute() for name, folder in roots.items()}


def _current_form(path: Path) -> Manifest:
    """The store's manifest, written anew where an older merflow made it."""
    manifest = Manifest.open(path)
    if parquet_header(path)["format"] != FORMAT:
        write_manifest(path, manifest, manifest.roots, manifest.corpus)
        manifest = Manifest.open(path)
    return manifest


def _as_parquet(incoming: Manifest, folder: Path) -> Path:
    if incoming.path.suffix == ".parquet" and parquet_header(incoming.path)["format"] == FORMAT:
        return incoming.path
    path = folder / "incoming.parquet"
    write_manifest(path, incoming, incoming.roots, incoming.corpus)
    return path


def _table(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(local_copy(path)) as source:
        return source.read(columns=[*FIELDS, *DIGESTS.values()]).replace_schema_metadata(None)


def _write(path: Path, table: pa.Table, header: dict[str, Any]) -> None:
    import pyarrow.parquet as pq

    schema = parquet_schema(header)
    with publish(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        writer.write_table(table.cast(schema.remove_metadata()).replace_schema_metadata({KEY: json.dumps(header)}))


def _digest_of(manifest: Manifest) -> str:
    """Digest of a manifest's bytes and of where its media are."""
    with local_copy(manifest.path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(json.dumps({name: str(folder) for name, folder in _absolute(manifest.roots).items()}).encode())
    return digest.hexdigest()


def roots_named(manifest: Manifest, pairs: Iterable[str]) -> dict[str, Path]:
    """Media folders that moved, from `OLD=NEW`: OLD is a folder's name, or where it was.

    Args:
        manifest: The store's manifest.
        pairs: What was given.

    Raises:
        StoreError: If there is no such media folder, or the new place is not a folder.
    """
    moved: dict[str, Path] = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        folder = as_path(new).absolute()
        matching = dict(_moved(manifest, old, folder)) if equals and new else {}
        if not matching:
            known = ", ".join(f"{name}={root}" for name, root in manifest.roots.items())
            raise StoreError(f"{pair}: expected OLD=NEW, OLD one of the media folders: {known}")
        missing = next((root for root in matching.values() if not is_folder(root)), None)
        if missing is not None:
            raise StoreError(f"{pair}: {missing}: no such folder")
        moved |= matching
    return moved


def _moved(manifest: Manifest, old: str, new: Path) -> Iterator[tuple[str, Path]]:
    if old in manifest.roots:
        yield old, new
        return
    before = as_path(old).absolute()
    for name, root in _absolute(manifest.roots).items():
        if root.is_relative_to(before):
            yield name, new / root.relative_to(before)
