"""Names in tar shards, for the writer and the validator."""

from __future__ import annotations

INDEX_FILE = "shards.json"
PARTS = ("", ".times", ".valid")
"""What of a feature each of its members holds: values, times, mask."""


def key_of(clip_id: str) -> str:
    """A clip's key: its id, with `%2E` for each dot.

    >>> key_of("a.1")
    'a%2E1'
    """
    return clip_id.replace(".", "%2E")


def member_of(key: str, feature: str, part: str) -> str:
    """Name of one member of a sample.

    Args:
        key: The clip's key; empty for the name without it.
        feature: Name of the feature.
        part: One of `PARTS`.
    """
    return f"{key}.{feature}{part}.npy".removeprefix(".")
