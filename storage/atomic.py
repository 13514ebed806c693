"""Publish a file whole or not at all.

A file is written under a temporary name in its own folder, flushed to disk, and renamed. A reader, or a
machine that loses power, sees the old state or the new one and nothing between.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.home import host_name, process_lives
from configs.paths import is_remote
from storage.remote import uploading

_PREFIX = ".tmp-"


_EXCHANGE, _HERE = 2, -100  # RENAME_EXCHANGE and AT_FDCWD of Linux


@contextmanager
def publish(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; rename it to `path` if the block succeeds.

    Args:
        path: Final path of a file or folder, or the address of an object. What exists is replaced; callers that must
            never overwrite choose unique names (shards) or refuse beforehand (exports).

    Yields:
        A path in the same folder (on this machine, for an object) that does not exist yet. The block may create a file
        or a folder there.
    """
    if is_remote(path):
        with uploading(path) as temporary:
            yield temporary
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / temporary_name()
    try:
        yield temporary
        for file in [temporary] if temporary.is_file() else sorted(temporary.rglob("*")):
            if file.is_file():
                _sync(file)
        if path.is_dir():
            _exchange(temporary, path)
        else:
            os.replace(temporary, path)
        _sync(path.parent)
    finally:
        _remove(temporary)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders of one place: in one step where the system can (Linux), else in two."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if rename is not None and rename(_HERE, os.fsencode(new), _HERE, os.fsencode(old), _EXCHANGE) == 0:
        return
    aside = old.parent / temporary_name()
    old.rename(aside)
    try:
        new.rename(old)
    except BaseException:
        aside.rename(old)
        raise
    aside.rename(new)  # where the caller removes it


def temporary_name() -> str:
    """A new name for a file that is being written; `sweep` knows from it whose it is."""
    return f"{_PREFIX}{host_name()}-{os.getpid()}-{os.urandom(4).hex()}"


def write_text(path: Path, text: str) -> None:
    """Write a small text file (UTF-8, line ends as given) whole or not at all.

    Args:
        path: File to write.
        text: Its content.
    """
    with publish(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def sweep(folder: Path) -> list[Path]:
    """Remove temporary files left under `folder` by processes of this machine that no longer run.

    Returns:
        What was removed. Files of living processes and of other machines are left alone.
    """
    if is_remote(folder):  # an object is there whole or not at all
        return []
    removed = []
    for path in folder.rglob(f"{_PREFIX}*"):
        host, _, rest = path.name.removeprefix(_PREFIX).rpartition("-")[0].rpartition("-")
        if host == host_name() and rest.isdigit() and not process_lives(int(rest)):
            _remove(path)
            removed.append(path)
    return removed


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
