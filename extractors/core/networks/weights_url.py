"""Checkpoints that live outside a hub, fetched by their address: resumed where a download broke off, and hashed."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from configs.errors import RunError
from configs.weights import Weights
from extractors.core.networks.weights_files import sha256_of, url_path
from extractors.core.networks.weights_record import mismatch

_BLOCK = 1 << 20
_RESERVE = 1 << 28  # bytes that are left free on the disk
Progress = Callable[[int, int | None], None]


def fetch(weights: Weights, progress: Progress | None = None) -> Path:
    """Fetch a checkpoint by its address; nothing where it is there already.

    Args:
        weights: With `url` and `sha256`.
        progress: Called now and then with the bytes that are here and how many there are.

    Raises:
        RunError: If the address cannot be read, the disk is too small, or what came has another hash.
    """
    target = url_path(weights)
    if target.is_file() and sha256_of(target) == weights.sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    try:
        _download(str(weights.url), part, progress)
    except (OSError, ValueError) as error:
        here = part.stat().st_size if part.exists() else 0
        kept = f"; {here} bytes are kept, the same command goes on from there" if here else ""
        raise RunError(f"weights {weights.url}: {' '.join(str(error).split())}{kept}") from error
    found = sha256_of(part)
    if found != weights.sha256:
        part.unlink()
        raise mismatch(str(weights.url), target.name, str(weights.sha256), found)
    os.replace(part, target)
    return target


def _download(url: str, part: Path, progress: Progress | None) -> None:
    here = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={here}-"} if here else {})  # noqa: S310  stated
    opener = urllib.request.build_opener()  # of now: `urlopen` keeps the proxies of its first call
    try:
        response = opener.open(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # all of it is here
            raise
        return
    with response:
        goes_on = response.status == 206
        length = response.headers.get("Content-Length")
        total = None if length is None else int(length) + (here if goes_on else 0)
        free = shutil.disk_usage(part.parent).free - _RESERVE
        needed = 0 if total is None else total - (here if goes_on else 0)
        if needed > free:
            raise RunError(
                f"weights {url}: {needed >> 20} MiB are needed in {part.parent}, {max(free, 0) >> 20} are free"
            )
        with part.open("ab" if goes_on else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                if progress is not None:
                    progress(file.tell(), total)
            if total is not None and file.tell() < total:
                raise OSError(f"the connection broke off at {file.tell()} of {total} bytes")
