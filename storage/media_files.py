"""What a media file was when it was ingested, and whether it still is."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_of(path: Path) -> str:
    """Size, modification time and inode of a file: while they are the same, so are its bytes."""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def record_of(path: Path, sha256: str) -> str:
    """What a manifest keeps of a media file.

    Args:
        path: The file.
        sha256: Of its bytes.
    """
    return f"{sha256} {state_of(path)}"


def has_changed(path: Path, record: str) -> bool:
    """Whether a file holds other bytes than when it was recorded; they are hashed only where its state differs.

    Args:
        path: The file.
        record: What `record_of` gave.
    """
    sha256, _, state = record.partition(" ")
    return state_of(path) != state and sha256_of(path) != sha256
