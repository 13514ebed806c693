"""Ids of clips: made of a corpus's own names, safe for files, and unique over the corpus."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from storage.corpora._shared.report import IngestReport


def safe_id(name: str) -> str:
    """A name with every character that an id must not have replaced by `_`."""
    cleaned = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return cleaned if cleaned.strip(".") else "_" * max(1, len(cleaned))


def unique_ids(names: Sequence[Sequence[str]], keys: Sequence[str], report: IngestReport) -> list[str]:
    """One id for each item, unique over all of them.

    Args:
        names: For each item its names, from the preferred one to the most precise one.
        keys: For each item what no other item has, such as its path.
        report: Collisions are added to its `duplicates`.

    Returns:
        For each item its first name, made safe, that no other item has too. Items that collide all move on to their
        next name; the last resort is the first name with a digest of the key.
    """
    choices = [[*map(safe_id, n), f"{safe_id(n[0])}-{_short_digest(k)}"] for n, k in zip(names, keys, strict=True)]
    level = [0] * len(names)
    while True:
        ids = [c[i] for c, i in zip(choices, level, strict=True)]
        counts = Counter(ids)
        movable = [k for k, taken in enumerate(ids) if counts[taken] > 1 and level[k] + 1 < len(choices[k])]
        if not movable:
            break
        for k in movable:
            level[k] += 1
    moved = [k for k, at in enumerate(level) if at]
    report.duplicates += [f"{choices[k][0]}: more than one item has this id; {keys[k]} is {ids[k]}" for k in moved]
    return ids


def _short_digest(text: str) -> str:
    # File names that are not UTF-8 come in as surrogates; writing the manifest refuses them by name.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
