"""Languages that a model was trained on, as its own card says: `language:` at the head of `README.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CARD = "README.md"
_EVERY = {"multilingual", "multi", "code"}


def languages_of(folder: Path | None) -> frozenset[str]:
    """Two-letter codes of a model's languages; empty where nothing is said, or where it is for many.

    Args:
        folder: Folder of the model; None for random weights.
    """
    if folder is None or not (folder / CARD).is_file():
        return frozenset()
    parts = (folder / CARD).read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    try:
        about: Any = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except yaml.YAMLError:
        return frozenset()
    said = about.get("language") if isinstance(about, dict) else None
    named = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    codes = {str(name).lower().split("-")[0] for name in named if isinstance(name, str)}
    return frozenset() if codes & _EVERY else frozenset(codes)
