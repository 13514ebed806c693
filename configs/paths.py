"""Paths as people give them."""

from __future__ import annotations

import re
from pathlib import Path

from configs.errors import ConfigError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}")


def local_path(given: str | Path) -> Path:
    """The path with `~` expanded, and `file://` taken off.

    Args:
        given: What a person gave.

    Raises:
        ConfigError: If it is an address of some other kind: it would become a folder of that name.
    """
    found = _URL.match(str(given))
    if found is None:
        return Path(given).expanduser()
    if found[1].lower() == "file":
        return Path("/", str(given)[found.end() :].lstrip("/"))
    raise ConfigError(
        f"{found[1]}://{str(given)[found.end() :].lstrip('/')}: merflow reads and writes files and folders, not "
        f"{found[1]} addresses; mount it (s3fs, rclone, gcsfuse) or copy it, and give that path"
    )


def is_address(given: str) -> bool:
    """Whether a text is the address of something that is not a file.

    Args:
        given: As it stands in a table.
    """
    found = _URL.match(given)
    return found is not None and found[1].lower() != "file"
