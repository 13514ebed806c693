"""Paths as people give them: of this machine, or addresses of object storage (`s3://bucket/folder`, `gs://...`)."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import cast

from configs.errors import ConfigError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}")
STORAGES = {"s3": "s3fs", "gs": "gcsfs"}
"""Schemes of object storage, with the package that speaks each: the extra of the scheme's name brings it."""


def as_path(given: str | Path) -> Path:
    """The path with `~` expanded, and `file://` taken off; an address of object storage as a path of fsspec.

    An address is no `pathlib.Path`, but is used like one: the functions of `storage.remote` and `storage.store.files`
    read and write both.

    Args:
        given: What a person gave.

    Raises:
        ConfigError: If it is an address of some other kind: it would become a folder of that name.
    """
    if is_remote(given):
        return cast("Path", given)
    found = _URL.match(str(given))
    if found is None:
        return Path(given).expanduser()
    scheme, rest = found[1].lower(), str(given)[found.end() :].lstrip("/")
    if scheme == "file":
        return Path("/", rest)
    if scheme not in STORAGES:
        known = ", ".join(f"{name}://" for name in STORAGES)
        raise ConfigError(
            f"{scheme}://{rest}: merflow reads and writes files, folders and object storage ({known}), not {scheme} "
            f"addresses; mount it or copy it, and give that path"
        )
    try:
        import_module(STORAGES[scheme])
    except ImportError as error:
        raise ConfigError(f"{scheme}://{rest}: needs a package: pip install merflow[{scheme}]") from error
    from upath import UPath

    # Listings are asked for each time: other runs write to the same place.
    return cast("Path", UPath(f"{scheme}://{rest.rstrip('/')}", use_listings_cache=False))


def local_path(given: str | Path) -> Path:
    """The same, for what must lie on a disk of this machine, such as exports and reports.

    Args:
        given: What a person gave.

    Raises:
        ConfigError: If it is an address.
    """
    path = as_path(given)
    if is_remote(path):
        raise ConfigError(f"{path}: expected a place on this machine's disk; write it there, and copy it")
    return path


def is_remote(path: object) -> bool:
    """Whether a path is an address of object storage, as `as_path` makes them."""
    return not isinstance(path, str | Path) and hasattr(type(path), "fs")


def is_address(given: str) -> bool:
    """Whether a text is the address of something that is not a file.

    Args:
        given: As it stands in a table.
    """
    found = _URL.match(given)
    return found is not None and found[1].lower() != "file"
