"""Media files that an earlier manifest knows: what was hashed and probed once is not hashed and probed again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from storage.errors import StoreError
from storage.identity import hash64
from storage.manifest import Manifest
from storage.manifest_files import MediaRecord
from storage.media_files import FileRecord


class KnownFiles:
    """Records of media files by their path, a hundred bytes each.

    Args:
        records: Paths relative to the media folder, with what a manifest keeps of them.
    """

    def __init__(self, records: Iterable[tuple[str, FileRecord]] = ()) -> None:
        rows = (
            (hash64(path), hash64(record.state), record.seconds, bytes.fromhex(record.sha256))
            for path, record in records
            if record.seconds is not None
        )
        kind = [("path", np.uint64), ("state", np.uint64), ("seconds", np.float64), ("sha256", "V32")]
        table = np.fromiter(rows, dtype=kind)  # a list of a million rows would take three hundred megabytes
        self._table = table[np.argsort(table["path"], kind="stable")]
        self._paths = np.ascontiguousarray(self._table["path"])

    @classmethod
    def of_manifest(cls, path: Path, root: Path) -> KnownFiles:
        """Records of an earlier manifest of the same media folder; none if there is no such one.

        Args:
            path: Where the manifest may be.
            root: The media folder.
        """
        try:
            manifest = Manifest.open(path)
            same = manifest.roots and next(iter(manifest.roots.values())).absolute() == root.absolute()
            return cls(_records(manifest.media_records())) if same else cls()
        except (StoreError, ValueError):
            return cls()

    def find(self, path: str, state: str) -> FileRecord | None:
        """What is known of a file; None if it is not known in this state.

        Args:
            path: Relative to the media folder.
            state: What `state_of` gives now.
        """
        if not len(self._table):
            return None
        wanted = hash64(path)
        at = int(np.searchsorted(self._paths, np.uint64(wanted)))
        if at == len(self._table):
            return None
        found, known_state, seconds, digest = self._table[at].item()
        if found != wanted or known_state != hash64(state):
            return None
        return FileRecord(bytes(digest).hex(), state, seconds)


def _records(rows: Iterable[MediaRecord]) -> Iterator[tuple[str, FileRecord]]:
    last: tuple[str, str] | None = None
    for video, audio, files in rows:
        for kind, path in (("video", video), ("audio", audio)):
            record = files.get(kind)
            if path is not None and record is not None and (path, record) != last:
                last = (path, record)
                yield path, FileRecord.parse(record)
