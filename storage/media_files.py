"""What a media file was when it was ingested, and whether it still is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple


class FileRecord(NamedTuple):
    """What a manifest keeps of a media file.

    Attributes:
        sha256: Of its bytes, hexadecimal.
        state: Size, modification time and inode: while they are the same, so are its bytes.
        seconds: Probed length; None where it could not be probed, or an older merflow did not keep it.
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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(path: Path) -> str:
    """Size, modification time and inode of a file: while they are the same, so are its bytes."""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def has_changed(path: Path, record: str) -> bool:
    """Whether a file holds other bytes than when it was recorded; they are hashed only where its state differs.

    Args:
        path: The file.
        record: What the manifest keeps of it.
    """
    known = FileRecord.parse(record)
    return state_of(path) != known.state and sha256_of(path) != known.sha256
