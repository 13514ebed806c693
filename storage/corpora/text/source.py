"""What readers of texts are given, and what they give where something cannot be a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TextFile:
    """One file of a corpus of texts.

    Attributes:
        path: The file.
        split: The split that its name says; None if it says none.
    """

    path: Path
    split: str | None

    @property
    def prefix(self) -> str:
        """What names of clips without an id of their own begin with."""
        return self.split or self.path.stem.lower().replace(" ", "_")


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that cannot be a clip.

    Attributes:
        why: One line, with the file and the row.
    """

    why: str
