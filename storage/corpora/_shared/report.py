"""The report of what did not fit together when a corpus was read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class IngestReport:
    """What did not fit together. Every list holds one short line per item.

    Attributes:
        corpus: Name of the corpus.
        clips: Clips in the manifest.
        recognised: Name of the reader that was chosen because the folder looks like its corpus; empty where it was
            named.
        missing: Rows whose media file is not there; their clips are kept.
        extra: Media files that no clip uses.
        duplicates: Rows whose id an earlier row has; they are not taken.
        refused: Rows that cannot be clips, such as one that ends before it starts; they are not taken.
        outside: Clips whose times lie beyond their media; they are kept.
        unreadable: Media files whose header cannot be read; their clips are kept.
        unknown_labels: Raw labels with no standard name, with their number of clips.
        notes: Anything else a person should know, such as the columns that were used.
    """

    corpus: str
    clips: int = 0
    recognised: str = ""
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unknown_labels: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Empty the lists, before a corpus is read again."""
        for items in self.findings().values():
            items.clear()

    def findings(self) -> dict[str, list[str]]:
        """The lists by a title that reads well after a number; empty ones too."""
        return {
            "missing media files": self.missing,
            "extra files that no clip uses": self.extra,
            "rows with the id of an earlier row, not taken": self.duplicates,
            "rows that cannot be clips, not taken": self.refused,
            "clips with times beyond their media": self.outside,
            "unreadable media files": self.unreadable,
            "labels with no standard name, kept in label_raw": self.unknown_labels,
            "notes": self.notes,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: every list, and under `counts` how long each is."""
        values = asdict(self)
        return values | {"counts": {name: len(v) for name, v in values.items() if isinstance(v, list)}}
