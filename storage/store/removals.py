"""What a person took out of a store: small files beside the shard files, and part of its truth as they are.

A removal states a generation. It takes away results of lower generations: of some clips (`forget`), of whole features
(`drop`), or failures that are to be tried again (`retry`). Results of its own generation or a higher one stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from storage.errors import StoreError
from storage.store.files import list_files, read_json, write_text
from storage.store.layout import REMOVAL_FILES, removal_path


@dataclass(frozen=True)
class Removal:
    """One decision of a person.

    Attributes:
        kind: `forget` (everything of these clips), `drop` (everything of these features) or `retry` (failures).
        generation: Results of lower generations are taken away.
        clips: Ids, for `forget`.
        features: Names, for `drop`.
        failures: Ids by feature, for `retry`.
    """

    kind: Literal["forget", "drop", "retry"]
    generation: int
    clips: Sequence[str] = ()
    features: Sequence[str] = ()
    failures: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_removals(store: Path) -> dict[Path, Removal]:
    """Every removal of a store, by its file.

    Raises:
        StoreError: If a file is not one: what it takes away would come back.
    """
    return {path: _read(path) for path in list_files(store, REMOVAL_FILES)}


def write_removal(store: Path, removal: Removal) -> Path:
    """Publish a removal; give its file.

    Args:
        store: Folder of the store.
        removal: What is taken away.
    """
    import secrets

    path = removal_path(store, f"{removal.generation:06d}-{removal.kind}-{secrets.token_hex(3)}")
    write_text(path, json.dumps({k: v for k, v in asdict(removal).items() if v}, ensure_ascii=False) + "\n")
    return path


def _read(path: Path) -> Removal:
    try:
        values: dict[str, Any] = read_json(path)
        return Removal(**values)
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path}: damaged, or not a removal: {error}") from error
