"""Publishes what became of a shard: one file per feature, whole or not at all, and a note for the index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from storage.records import FeatureSpec
from storage.store.index_files import log_publication
from storage.store.layout import shard_path
from storage.store.shard_reader import ShardContents
from storage.store.shard_writer import Entry, write_shard_file


class ShardFeature(NamedTuple):
    """One feature of a shard.

    Attributes:
        spec: What the values are.
        entries: Values or failure of each clip.
        attributes: Provenance; plain JSON types.
    """

    spec: FeatureSpec
    entries: Sequence[Entry]
    attributes: Mapping[str, Any]


def publish_shard(store: Path, shard: str, features: Iterable[ShardFeature]) -> list[ShardContents]:
    """Publish the files of one shard; needs neither the store's index nor a list of its files.

    Args:
        store: Folder of the store.
        shard: Unique id of the shard.
        features: Its features.

    Returns:
        What the files hold.

    Raises:
        StoreError: If a file exists, or what was read back differs from what was written.
    """
    published = []
    for spec, entries, attributes in features:
        published.append(write_shard_file(shard_path(store, spec, shard), spec, entries, attributes))
    with suppress(OSError):  # a note only: whoever opens the store reads the shard files instead
        log_publication(store, shard, published)
    return published
