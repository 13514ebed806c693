"""The seam through which every file of a store is opened, listed and published.

No other module of this package opens, lists, links or renames a file, so that another place than a file system needs
another implementation of these few functions only.
"""

from __future__ import annotations

import filecmp
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import h5py

from storage.atomic import publish, sweep, write_text
from storage.errors import StoreError

__all__ = [
    "create_hdf5",
    "exists",
    "is_empty_folder",
    "link_or_copy",
    "list_files",
    "open_binary",
    "open_hdf5",
    "publish",
    "read_json",
    "same_bytes",
    "sweep",
    "write_text",
]


def exists(path: Path) -> bool:
    """Whether there is a file or folder."""
    return path.exists()


def is_empty_folder(path: Path) -> bool:
    """Whether a folder does not exist yet, or holds nothing but unfinished files.

    Raises:
        StoreError: If there is a file instead.
    """
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
    return sorted(folder.glob(pattern))


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def open_binary(path: Path) -> io.BufferedReader:
    """Open a file for reading bytes.

    Raises:
        StoreError: If it cannot be opened.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error}") from error


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading, without file locks (network file systems).

    Raises:
        StoreError: If it is not a whole HDF5 file.
    """
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise StoreError(f"{path}: not a readable HDF5 file: {error}") from error


def create_hdf5(path: Path, *, for_old_readers: bool = False) -> h5py.File:
    """Create an HDF5 file at a temporary path that `publish` gave, without file locks (network file systems).

    Args:
        path: The file.
        for_old_readers: Whether HDF5 libraries older than 1.10 can read it, as exports need.
    """
    return h5py.File(path, "w", libver=None if for_old_readers else "latest", locking=False)


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes.

    Args:
        one: A file.
        other: Another file; it may be missing.
    """
    return other.exists() and filecmp.cmp(one, other, shallow=False)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that never changes a second place: a hard link, or a copy where the file system has no links.

    Args:
        source: The file.
        target: Its second place; the folder is made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
