"""The seam through which every file of a store is opened, listed and published.

No other module of this package opens, lists, links or renames a file: the store may lie in a folder or, where each
function has its second branch, in object storage (`storage.remote`).
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.paths import is_remote
from storage.atomic import publish, sweep, temporary_name, write_text
from storage.errors import StoreError
from storage.remote import BLOCK_BYTES, RemoteLines, find_files, local_copy, names_below, reaching

if TYPE_CHECKING:
    import h5py

_HDF5_CACHE = 1 << 20
__all__ = [
    "create_hdf5",
    "exists",
    "free_bytes",
    "is_empty_folder",
    "link_or_copy",
    "list_files",
    "open_append",
    "open_binary",
    "open_hdf5",
    "open_lines",
    "publish",
    "read_json",
    "read_text",
    "remove",
    "remove_folder",
    "remove_if_empty",
    "same_bytes",
    "shard_names",
    "size_of",
    "sweep",
    "write_small",
    "write_text",
]


def exists(path: Path) -> bool:
    """Whether there is a file or folder."""
    if is_remote(path):
        with reaching(path) as (fs, key):
            return bool(fs.exists(key))
    return path.exists()


def is_empty_folder(path: Path) -> bool:
    """Whether a folder does not exist yet, or holds nothing but unfinished files.

    Raises:
        StoreError: If there is a file instead.
    """
    if is_remote(path):
        return not names_below(path)
    if not path.exists():
        return True
    if not path.is_dir():
        raise StoreError(f"{path}: expected a folder for the store, found a file")
    return all(entry.name.startswith(".tmp-") for entry in path.iterdir())


def list_files(folder: Path, pattern: str) -> list[Path]:
    """Published files that match a pattern, sorted.

    Args:
        folder: Where to look.
        pattern: A glob pattern relative to it.
    """
    return find_files(folder, pattern) if is_remote(folder) else sorted(folder.glob(pattern))


def shard_names(folder: Path) -> set[str]:
    """Shard files two levels below a folder, as paths that start with its name.

    Plain directory reads: a pattern costs ten times as much with ten thousand files.

    Args:
        folder: `features` of a store; it may be missing.
    """
    if is_remote(folder):
        return {f"{folder.name}/{n}" for n in names_below(folder) if n.count("/") == 2 and n.endswith(".h5")}
    found: set[str] = set()
    for feature in _folders(folder):
        for digest in _folders(feature.path):
            prefix = f"{folder.name}/{feature.name}/{digest.name}/"
            with os.scandir(digest.path) as entries:
                found.update(prefix + e.name for e in entries if e.name.endswith(".h5") and not e.name.startswith("."))
    return found


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted; none where it is missing."""
    if is_remote(folder):
        return sorted({name.partition("/")[0] for name in names_below(folder) if "/" in name})
    return [entry.name for entry in _folders(folder)]


def _folders(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if e.is_dir()), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []


def write_small(path: Path, text: str) -> None:
    """Write a small derived file whole or not at all, without waiting for the disk: it can be made again.

    Args:
        path: The file; the folder is made.
        text: Its content.
    """
    if is_remote(path):
        with reaching(path) as (fs, key):
            fs.pipe_file(key, text.encode())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / temporary_name()
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def remove(path: Path) -> None:
    """Remove a file; one that is gone is no error."""
    if is_remote(path):
        with suppress(FileNotFoundError), reaching(path) as (fs, key):
            fs.rm_file(key)
        return
    path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder with all it holds; one that is gone is no error."""
    if is_remote(path):
        with suppress(FileNotFoundError), reaching(path) as (fs, key):
            fs.rm(key, recursive=True)
    elif path.exists():
        shutil.rmtree(path)


def remove_if_empty(path: Path) -> None:
    """Remove a folder that holds nothing; one that does, or is gone, is no error."""
    if not is_remote(path):  # where there is nothing, there is no folder either
        with suppress(OSError):
            path.rmdir()


def size_of(path: Path) -> int:
    """Bytes of a file."""
    if is_remote(path):
        with reaching(path) as (fs, key):
            return int(fs.size(key))
    return path.stat().st_size


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(_content(path))


def open_binary(path: Path) -> io.BufferedReader:
    """Open a file for reading bytes.

    Raises:
        StoreError: If it cannot be opened.
    """
    try:
        return _opened(path) if is_remote(path) else path.open("rb")
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error}") from error


def open_append(path: Path) -> io.FileIO:
    """Open a file to which lines are added, each at once in the hands of the system: it outlives this process.

    Args:
        path: The file, of this machine; the folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab", buffering=0)


def open_lines(path: Path) -> RemoteLines:
    """The same for an object."""
    return RemoteLines(path)


def read_text(path: Path) -> str:
    """Text of a small file; none if there is no such file."""
    try:
        return _content(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _content(path: Path) -> bytes:
    if not is_remote(path):
        return path.read_bytes()
    with reaching(path) as (fs, key):
        return bytes(fs.cat_file(key))


def _opened(path: Path) -> Any:
    """An object, read in blocks of which a few are kept."""
    with reaching(path) as (fs, key):
        return fs.open(key, "rb", block_size=BLOCK_BYTES, cache_type="blockcache")


def free_bytes(folder: Path) -> int:
    """Bytes that can still be written below a folder; of object storage nobody knows an end."""
    return sys.maxsize if is_remote(folder) else shutil.disk_usage(folder).free


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading, without file locks (network file systems).

    Raises:
        StoreError: If it is not a whole HDF5 file.
    """
    import h5py  # a fifth of what `import merflow` would take

    try:
        file = h5py.File(_opened(path), "r") if is_remote(path) else h5py.File(path, "r", locking=False)
    except OSError as error:
        raise StoreError(f"{path}: not a readable HDF5 file: {error}") from error
    cache = file.id.get_mdc_config()
    cache.set_initial_size, cache.initial_size, cache.min_size, cache.max_size = True, *(_HDF5_CACHE,) * 3
    file.id.set_mdc_config(cache)  # its own 32 MiB are 440 in truth: what thousands of groups are is read once
    return file


def create_hdf5(path: Path, *, for_old_readers: bool = False) -> h5py.File:
    """Create an HDF5 file at a temporary path that `publish` gave, without file locks (network file systems).

    Args:
        path: The file.
        for_old_readers: Whether HDF5 libraries older than 1.10 can read it, as exports need.
    """
    import h5py

    return h5py.File(path, "w", libver=None if for_old_readers else "latest", locking=False)


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes.

    Args:
        one: A file.
        other: Another file; it may be missing.
    """
    import filecmp

    return exists(other) and filecmp.cmp(local_copy(one), local_copy(other), shallow=False)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that never changes a second place: a hard link, or a copy where the file system has no links.

    Args:
        source: The file.
        target: Its second place; the folder is made.
    """
    if is_remote(target) or is_remote(source):
        with publish(target) as temporary:
            shutil.copyfile(local_copy(source), temporary)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
