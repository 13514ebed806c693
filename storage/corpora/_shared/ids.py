"""Ids of clips: a function of a clip's own name alone, safe for files. Adding rows never renames others."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


def safe_id(name: str) -> str:
    """The id of a clip of this name.

    Characters that an id must not have become `_`, and then a digest of the true name is appended, so that names that
    differ in such characters only have different ids. The two Unicode spellings of one name have one id.

    Args:
        name: The corpus's own name.

    >>> safe_id("clip_1.a-b"), safe_id("my clip")
    ('clip_1.a-b', 'my_clip-837888e6')
    """
    composed = unicodedata.normalize("NFC", name)
    cleaned = _UNSAFE.sub("_", composed)
    if cleaned == composed and cleaned.strip("."):
        return cleaned
    # File names that are not UTF-8 come in as surrogates; writing the manifest refuses them by name.
    digest = hashlib.sha256(composed.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{cleaned if cleaned.strip('.') else '_' * len(cleaned)}-{digest}"


def segment_name(name: str, start: float | None, end: float | None, channel: int | None, track: int | None) -> str:
    """Name of a part of a file, where the corpus gives the part none.

    Args:
        name: Of the file.
        start: Second at which it starts.
        end: Second at which it ends.
        channel: Audio channel, if only one is used.
        track: Audio track, if one is chosen.

    >>> segment_name("film", 1.5, None, None, None)
    'film_1.5-end'
    """
    if start is not None or end is not None:
        name = f"{name}_{start or 0:.12g}-{'end' if end is None else f'{end:.12g}'}"
    name += "" if track is None else f"_track{track}"
    return name if channel is None else f"{name}_channel{channel}"
