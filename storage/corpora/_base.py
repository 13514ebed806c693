"""What corpus readers share: what they return, which files are media, and ids that are unique."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from storage.errors import RunError
from storage.records import Clip

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".flv", ".m4v", ".mpg", ".wmv")
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", ".aac")
MEDIA_SUFFIXES = VIDEO_SUFFIXES + AUDIO_SUFFIXES
_JUNK = {"__MACOSX", "Thumbs.db"}


@dataclass
class IngestReport:
    """What did not fit together. Every list holds one short line per item.

    Attributes:
        corpus: Name of the corpus.
        clips: Clips in the manifest.
        missing: Rows whose media file is not there; their clips are kept.
        extra: Media files that no clip uses.
        duplicates: Ids that more than one item claimed, and what was done about it.
        unreadable: Media files whose header cannot be read; their clips are kept.
        unknown_labels: Raw labels without a counterpart in merflow's vocabulary, with their number of clips.
        notes: Anything else a person should know, such as the columns that were used.
    """

    corpus: str
    clips: int = 0
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unknown_labels: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def findings(self) -> dict[str, list[str]]:
        """The lists by a title that reads well after a number; empty ones too."""
        return {
            "missing media files": self.missing,
            "extra files that no clip uses": self.extra,
            "duplicate ids": self.duplicates,
            "unreadable media files": self.unreadable,
            "labels without a counterpart (kept raw)": self.unknown_labels,
            "notes": self.notes,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: every list, and under `counts` how long each is."""
        values = asdict(self)
        return values | {"counts": {name: len(v) for name, v in values.items() if isinstance(v, list)}}


@dataclass(frozen=True)
class Ingested:
    """A corpus as its reader found it; nothing is hashed or probed yet.

    Attributes:
        root: Folder that the clips' media paths are relative to.
        clips: The clips, in order.
        report: What did not fit together.
    """

    root: Path
    clips: Iterable[Clip]
    report: IngestReport

    @property
    def corpus(self) -> str:
        """Name of the corpus."""
        return self.report.corpus


def check_options(options: Mapping[str, str], valid: Iterable[str], where: str) -> None:
    """Refuse options that mean nothing here.

    Raises:
        RunError: Names the first such option and the valid ones.
    """
    names = sorted(valid)
    for key in options:
        if key not in names:
            raise RunError(f"{where}: unknown option {key!r}; valid ones: {', '.join(names)}")


def media_files(root: Path) -> list[PurePosixPath]:
    """Media files under a folder, sorted, as paths relative to it.

    Links are followed. Hidden files, `__MACOSX` and what operating systems leave behind are not media.
    """
    found = [p for p in _walk(root) if PurePosixPath(p).suffix.lower() in MEDIA_SUFFIXES]
    return sorted(PurePosixPath(p) for p in found)


def _walk(root: Path) -> Iterator[str]:
    visited: set[str] = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        inner[:] = [] if real in visited else [n for n in inner if _is_wanted(n)]
        if real not in visited:
            visited.add(real)
            yield from (Path(folder, n).relative_to(root).as_posix() for n in names if _is_wanted(n))


def _is_wanted(name: str) -> bool:
    return not name.startswith(".") and name not in _JUNK


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
