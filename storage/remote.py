"""Object storage: what a path of this machine and an address do alike, and copies of remote files, within a bound.

Everything goes through fsspec. An object is written whole or not at all, and is there for all who look as soon as the
writing has ended. Files that are read as a whole (media, manifests) are copied to this machine once and kept until the
copies take more than `MERFLOW_CACHE_GB` (20): then those that were used least recently go, but none that was used in
the last ten minutes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from configs.errors import RunError
from configs.home import writable_home
from configs.paths import is_remote

_GIGABYTES, _LATELY, _ABANDONED = 20.0, 600.0, 86_400.0
_TEMPORARY = ".tmp-"
BLOCK_BYTES = 1 << 18
_SILENCE = 10.0
_SILENT: dict[str, tuple[float, str]] = {}  # when a bucket did not answer, and what is said of it


class UnreachableError(RunError, OSError):
    """Object storage does not answer, after its package's own retries: the end of a run, and no clip is to blame."""


@contextmanager
def reaching(path: Any) -> Iterator[tuple[Any, str]]:
    """The file system of an address and its name there; what goes wrong on the way is an `OSError` that says where.

    Args:
        path: The address.

    Raises:
        OSError: If there is no such object, or no permission.
        UnreachableError: If the storage does not answer; for ten seconds then nothing more is asked of it.
    """
    bucket = f"{path.protocol}://{path.path.partition('/')[0]}"
    since, why = _SILENT.get(bucket, (-_SILENCE, ""))
    if time.monotonic() - since < _SILENCE:
        raise UnreachableError(why)
    try:
        yield path.fs, path.path
    except (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError):
        raise
    except (ArithmeticError, LookupError, TypeError, AttributeError, NameError, AssertionError):
        raise  # a mistake of ours
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        why = f"{path}: cannot be reached: {type(error).__name__}: {said}. The same command resumes"
        _SILENT[bucket] = time.monotonic(), why
        raise UnreachableError(why) from error


def is_folder(path: Path) -> bool:
    """Whether there is a folder of this machine, or an object whose name begins with an address."""
    if not is_remote(path):
        return path.is_dir()
    with reaching(path) as (fs, key):
        return bool(fs.isdir(key))


def find_files(folder: Any, pattern: str) -> list[Any]:
    """Objects below an address that match a pattern, sorted.

    Args:
        folder: The address.
        pattern: A glob pattern relative to it; a `*` matches within one name.
    """
    parts = pattern.split("/")
    fixed = folder.joinpath(*parts[:-1]) if not any("*" in part for part in parts[:-1]) else folder
    skipped = len(parts) - 1 if fixed is not folder else 0
    found = (name.split("/") for name in names_below(fixed))
    rest = parts[skipped:]
    kept = [n for n in found if len(n) == len(rest) and all(map(fnmatchcase, n, rest))]
    return [fixed.joinpath(*name) for name in sorted(kept)]


def names_below(folder: Any) -> list[str]:
    """Names of all objects below an address, relative to it."""
    prefix = folder.path.rstrip("/") + "/"
    with reaching(folder) as (fs, key):
        try:
            return [name.removeprefix(prefix) for name in fs.find(key) if name.startswith(prefix)]
        except FileNotFoundError:
            return []


def state_of_object(path: Any) -> str:
    """Size and version of an object: while they are the same, so are its bytes.

    Raises:
        FileNotFoundError: If there is none.
    """
    with reaching(path) as (fs, key):
        info = fs.info(key)
    if info["type"] != "file":
        raise FileNotFoundError(errno.ENOENT, "no such object", str(path))
    version = info.get("ETag") or info.get("etag") or info.get("md5Hash") or info.get("LastModified") or "-"
    return f"{info['size']} {str(version).strip(chr(34)).replace(' ', '_')} 0"


def local_copy(path: Path) -> Path:
    """A file of this machine with the bytes of a path: the path itself, or a kept copy of what an address names.

    Args:
        path: A path of this machine, or an address.

    Raises:
        OSError: If it cannot be fetched.
    """
    if not is_remote(path):
        return path
    size, version, _ = state_of_object(path).split(" ")
    folder = _copies() / hashlib.sha256(f"{path} {size} {version}".encode()).hexdigest()[:32]
    kept = folder / path.name
    if kept.exists():
        os.utime(kept)
        return kept
    with _scratch() as temporary:
        fetched = temporary / path.name
        with reaching(path) as (fs, key):
            fs.get_file(key, str(fetched))
        if fetched.stat().st_size != int(size):
            raise UnreachableError(f"{path}: expected {size} bytes, got {fetched.stat().st_size}")
        _make_room(int(size))
        folder.mkdir(exist_ok=True)
        os.replace(fetched, kept)
    return kept


@contextmanager
def uploading(path: Any) -> Iterator[Path]:
    """A path of this machine to write to, which becomes the object if the block succeeds.

    Args:
        path: The address; a file that is there is replaced in one step, a folder is not.
    """
    with _scratch() as temporary:
        written = temporary / path.name
        yield written
        with reaching(path) as (fs, key):
            if written.is_dir():
                with suppress(FileNotFoundError):
                    fs.rm(key, recursive=True)
                fs.put(f"{written}/", f"{key}/", recursive=True)
            else:
                fs.put_file(str(written), key)


class RemoteLines:
    """An object to which lines are added: it is written anew with each, for objects cannot grow.

    Args:
        path: The address.
    """

    def __init__(self, path: Any) -> None:
        self._path, self._content = path, b""

    def write(self, lines: bytes) -> int:
        """Add lines.

        Raises:
            OSError: If the object cannot be written.
        """
        self._content += lines
        with reaching(self._path) as (fs, key):
            fs.pipe_file(key, self._content)
        return len(lines)

    def close(self) -> None:
        """Nothing is left to write."""


def _copies() -> Path:
    folder = writable_home() / "copies"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _scratch() -> Iterator[Path]:
    import tempfile  # here, for it is no part of reading a store on a disk

    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=_copies()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_room(wanted: int) -> None:
    """Remove the copies that were used least recently until so many bytes fit, and what killed processes left."""
    now = time.time()
    most = float(os.environ.get("MERFLOW_CACHE_GB", _GIGABYTES)) * 1e9
    kept = []
    for folder in _copies().iterdir():
        with suppress(OSError, StopIteration):
            if not folder.name.startswith(_TEMPORARY):
                about = next(folder.iterdir()).stat()
                kept.append((about.st_mtime, about.st_size, folder))
            elif now - folder.stat().st_mtime > _ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)
    held = sum(size for _, size, _ in kept)
    for used, size, folder in sorted(kept):
        if held + wanted <= most or now - used < _LATELY:
            return
        shutil.rmtree(folder, ignore_errors=True)
        held -= size
