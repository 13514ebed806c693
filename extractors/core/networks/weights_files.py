"""Files that hold weights: one, or several shards with an index, as large models come; and their SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from configs.errors import RunError
from configs.home import home
from configs.weights import WEIGHT_FILES, Weights
from storage import media_files

INDEX_FILES = tuple(f"{name}.index.json" for name in WEIGHT_FILES)
"""Names of the index of weights in several files, `{"weight_map": {parameter: file}}`."""


def find_weights_file(folder: Path, names: Sequence[str] = WEIGHT_FILES) -> Path | None:
    """The weights file of a folder, or the index of its shards; None if there is neither.

    Args:
        folder: Where to look.
        names: Names that a single file may have, the preferred one first.

    Raises:
        RunError: If the index is damaged, or names a shard that is not there.
    """
    found = next((folder / name for name in (*names, *INDEX_FILES) if (folder / name).is_file()), None)
    if found is not None and found.name in INDEX_FILES:
        missing = [name for name in shards_of(found) if not (folder / name).is_file()]
        if missing:
            raise RunError(f"weights {folder}: {len(missing)} shards missing, first {missing[0]}; pull them again")
    return found


def read_json(path: Path) -> dict[str, Any]:
    """Settings in a JSON file.

    Raises:
        RunError: If it is not one.
    """
    try:
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: not JSON: {error}") from error
    return settings


def shards_of(index: Path) -> list[str]:
    """Names of the files that an index names, sorted.

    Raises:
        RunError: If it is damaged, or a name leads out of the folder.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise RunError(f"{index}: not an index of weights: {error}") from error
    outside = next((name for name in names if Path(name).name != name), None)
    if outside is not None or not names:
        raise RunError(f"{index}: expected names of files beside it, got {outside or 'none'}")
    return names


def weights_sha256(file: Path) -> str:
    """SHA-256 of a weights file; of an index, that of its own and its shards' hashes in order."""
    if file.name not in INDEX_FILES:
        return sha256_of(file)
    parts = [sha256_of(file), *(sha256_of(file.parent / name) for name in shards_of(file))]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes in hex; computed once per process while size and time of change stay the same."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int) -> str:  # noqa: ARG001  # size and time are the cache's key
    return media_files.sha256_of(path)


def url_path(weights: Weights) -> Path:
    """Where a checkpoint that is named by its address lies once it is pulled.

    Args:
        weights: With `url` and `sha256`.
    """
    name = str(weights.url).partition("?")[0].rstrip("/").rpartition("/")[2] or "weights"
    return home() / "weights" / "files" / str(weights.sha256) / name
