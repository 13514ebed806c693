"""Shard files that are open for reading: a few per process, the least used ones closed."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from storage.store.index import Location
from storage.store.shard_reader import ShardReader

OPEN_FILES = 64


class OpenFiles:
    """Opens shard files as they are asked for."""

    def __init__(self) -> None:
        self._readers: OrderedDict[tuple[int, Path], ShardReader] = OrderedDict()

    def reader(self, location: Location) -> ShardReader:
        """The reader of the file that holds a clip's values.

        Args:
            location: Where they lie.

        Raises:
            StoreError: If the file cannot be opened.
        """
        # Per process, for a fork would share their place in the file; few, for a process may not open thousands.
        key = (os.getpid(), location.path)
        if key not in self._readers:
            while len(self._readers) >= OPEN_FILES:
                self._readers.popitem(last=False)  # closed when no thread uses it any more
            self._readers[key] = ShardReader(location.path, location.arrays)
        self._readers.move_to_end(key)
        return self._readers[key]
