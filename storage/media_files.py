"""Where a clip's media files may lie, what each was when it was ingested, and whether it still is."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from configs.paths import is_address, is_remote
from storage.remote import local_copy, state_of_object
from storage.vocabulary.media_suffixes import IMAGE_SUFFIXES

_NUMBER = re.compile(r"(\d+)")
_LFS_HEAD = b"version https://git-lfs"


class FileRecord(NamedTuple):
    """What a manifest keeps of a media file.

    Attributes:
        sha256: Of its bytes, hexadecimal.
        state: Size, modification time and inode: while they are the same, so are its bytes.
        seconds: Probed length; of images their number; None where it could not be probed, or an older merflow did
            not keep it.
    """

    sha256: str
    state: str
    seconds: float | None = None

    def __str__(self) -> str:
        """As manifests have it."""
        return f"{self.sha256} {self.state} {'-' if self.seconds is None else repr(self.seconds)}"

    @classmethod
    def parse(cls, text: str) -> FileRecord:
        """The inverse of `str`."""
        sha256, *rest = text.split(" ")
        seconds = float(rest[3]) if len(rest) > 3 and rest[3] != "-" else None
        return cls(sha256, " ".join(rest[:3]), seconds)


def leaves_root(name: str) -> bool:
    """Whether a path of a manifest leads out of its media folder: absolute, or with `..` at its beginning.

    Args:
        name: As a clip has it.

    >>> leaves_root("a/../b.mp4"), leaves_root("../b.mp4"), leaves_root("/etc/b.mp4")
    (False, True, True)
    """
    normal = os.path.normpath(name)
    return normal.startswith(("/", "../")) or normal == ".."


def refusal_of(name: str) -> str:
    """Why a path of a manifest is not looked at; empty where it is.

    Args:
        name: As a clip has it.
    """
    if is_address(name):
        return "the address of something that is not a file; fetch it, and name the file"
    return "outside of its media folder" if leaves_root(name) else ""


def is_image(name: str | None) -> bool:
    """Whether a path is that of a single image, by its suffix."""
    return name is not None and name.lower().endswith(IMAGE_SUFFIXES)


def is_images(path: Path) -> bool:
    """Whether a clip's frames are files of their own: a folder of them, or one image."""
    return is_image(path.name) or (not is_remote(path) and path.is_dir())


def image_files(path: Path) -> list[Path]:
    """The images of a clip in the order of their numbers: `2.jpg` before `10.jpg`.

    Args:
        path: A folder of images, or one image.
    """
    if is_remote(path) or not path.is_dir():
        return [path]
    names = (entry.name for entry in os.scandir(path) if entry.is_file())
    wanted = [n for n in names if not n.startswith(".") and is_image(n)]
    return [path / name for name in sorted(wanted, key=natural_order)]


def natural_order(name: str) -> list[tuple[bool, int, str]]:
    """A sort key by which numbers in names count as numbers."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _NUMBER.split(name)]


class NoFileError(OSError):
    """A pipe, a socket or a device: opening it may wait for ever.

    Args:
        path: Where it is.
    """

    def __init__(self, path: str) -> None:
        super().__init__(errno.EINVAL, "a pipe, a socket or a device, not a file", path)


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is what git-LFS leaves where the real one was not fetched."""
    with local_copy(path).open("rb") as file:
        return file.read(len(_LFS_HEAD)) == _LFS_HEAD


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal; of a folder of images, of their names and theirs."""
    if not is_remote(path) and path.is_dir():
        names = "".join(f"{sha256_of(file)} {file.name}\n" for file in image_files(path))
        return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()
    with local_copy(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(path: Path | str) -> str:
    """Size, modification time and inode of a file: while they are the same, so are its bytes.

    Of a folder of images the sum of their sizes, the latest of all their times, and the folder's inode; of an object
    its size and version.

    Raises:
        NoFileError: If it is a pipe, a socket or a device.
        OSError: If there is nothing that can be asked.
    """
    if is_remote(path):
        return state_of_object(path)
    found = os.stat(path)  # noqa: PTH116  # a text will do: a path object costs as much as asking
    if stat.S_ISREG(found.st_mode):
        return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"
    if not stat.S_ISDIR(found.st_mode):
        raise NoFileError(f"{path}")
    images = [file.stat() for file in image_files(Path(path))]
    latest = max([found.st_mtime_ns, *(image.st_mtime_ns for image in images)])
    return f"{sum(image.st_size for image in images)} {latest} {found.st_ino}"


def has_changed(path: Path, record: str) -> bool:
    """Whether a file holds other bytes than when it was recorded; they are hashed only where its state differs.

    Args:
        path: The file.
        record: What the manifest keeps of it.
    """
    known = FileRecord.parse(record)
    return state_of(path) != known.state and sha256_of(path) != known.sha256
