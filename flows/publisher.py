"""Publishes the finished clips of a shard in parts, so that a death costs little.

A part is published at the latest `every` seconds after the one before, or when its values reach 64 MiB; its files are
called `<shard>-p000`, `-p001`, ... Each holds the same clips for every feature that they were extracted for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.errors import RunError
from flows.places import store_unwritable
from storage.records import Features, FeatureSpec
from storage.store.files import exists, free_bytes
from storage.store.layout import marker_path, shard_path
from storage.store.publication import ShardFeature, publish_shard
from storage.store.shard_reader import ShardContents, read_contents
from storage.store.shard_writer import Entry

PART_BYTES = 64 << 20
RESERVE_BYTES = 200 << 20


def part_name(shard: str, number: int) -> str:
    """Name of one part of a shard.

    Args:
        shard: Id of the shard.
        number: Of the part, from 0.
    """
    return f"{shard}-p{number:03d}"


def published_parts(store: Path, specs: Sequence[FeatureSpec], shard: str) -> tuple[list[ShardContents], int]:
    """What a shard has published already, asked by the names of its own files alone.

    Args:
        store: Folder of the store.
        specs: Its features.
        shard: Id of the shard.

    Returns:
        What its files hold, and the number of the next part.
    """
    contents: list[ShardContents] = []
    number = 0
    while there := [path for s in specs if exists(path := shard_path(store, s, part_name(shard, number)))]:
        contents += [read_contents(path) for path in there]
        number += 1
    return contents, number


class Publisher:
    """Publishes parts of one shard; a thread of its own keeps the time.

    Args:
        store: Folder of the store.
        shard: Id of the shard.
        specs: The run's features by name.
        attributes: Gives the provenance of a feature.
        every: Seconds after which finished clips are published at the latest.
        number: Number of the next part.

    Attributes:
        seconds: Wall seconds that writing took.
    """

    def __init__(
        self,
        store: Path,
        shard: str,
        specs: Mapping[str, FeatureSpec],
        attributes: Callable[[str], Mapping[str, Any]],
        every: float,
        number: int = 0,
    ) -> None:
        self._store, self._shard, self._specs, self._attributes = store, shard, specs, attributes
        self._every, self._number = every, number
        self._entries: dict[str, list[Entry]] = {}
        self._bytes = 0
        self._changed = threading.Condition()
        self._last = time.monotonic()
        self._error: BaseException | None = None
        self._closed = False
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._keep_time, name="merflow-publish", daemon=True)
        self._thread.start()

    def add(self, entries: Mapping[str, Entry]) -> None:
        """A finished clip.

        Args:
            entries: What became of it, by feature.

        Raises:
            RunError: If a part could not be published.
        """
        with self._changed:
            self._raise()
            for name, entry in entries.items():
                self._entries.setdefault(name, []).append(entry)
                self._bytes += entry.outcome.values.nbytes if isinstance(entry.outcome, Features) else 0
            if self._bytes >= PART_BYTES:
                self._publish()
                self._raise()

    def publish(self) -> None:
        """Publish now.

        Raises:
            RunError: If that fails.
        """
        with self._changed:
            self._raise()
            self._publish()
            self._raise()

    def close(self) -> None:
        """Publish what is left.

        Raises:
            RunError: If a part could not be published.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
            if self._error is None:
                self._publish()
        self._thread.join()
        self._raise()

    def _keep_time(self) -> None:
        with self._changed:
            while not self._closed and self._error is None:
                left = self._last + self._every - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                else:
                    self._publish()

    def _publish(self) -> None:
        begin = self._last = time.monotonic()
        entries, self._entries, self._bytes = self._entries, {}, 0
        if not entries:
            return
        try:
            features = [ShardFeature(self._specs[n], e, self._attributes(n)) for n, e in entries.items()]
            publish_part(self._store, part_name(self._shard, self._number), features)
        except BaseException as error:  # noqa: BLE001  # raised on the thread that extracts
            self._error = error
        self._number += 1
        self.seconds += time.monotonic() - begin

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def publish_part(store: Path, name: str, features: Sequence[ShardFeature]) -> None:
    """Publish files of a store that must stay writable.

    Args:
        store: Folder of the store.
        name: Name of the files.
        features: What they hold.

    Raises:
        RunError: If the store is gone, full or read-only, or little space is left; what was published stays.
    """
    if not exists(marker_path(store)):
        raise RunError(f"{store}: the store is not there any more; put it back, the same command resumes")
    try:
        free = free_bytes(store)
        if free < RESERVE_BYTES:
            raise RunError(
                f"{store}: {free >> 20} MiB free, a run leaves {RESERVE_BYTES >> 20} MiB to others; free some. What "
                f"was stored before is safe; the same command resumes"
            )
        publish_shard(store, name, features)
    except OSError as error:
        raise store_unwritable(store, error) from error
