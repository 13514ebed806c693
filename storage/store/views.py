"""What a store offers beside single clips: a table of all, and an end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from storage.errors import StoreError
from storage.frames import utterance_frame
from storage.store.open_files import OpenFiles

if TYPE_CHECKING:
    import pandas as pd

    from storage.clip import Clip
    from storage.records import Features, FeatureSpec


def of_split(clips: Iterable[Clip], split: str, where: Path) -> Iterator[Clip]:
    """Clips of one split.

    Args:
        clips: All clips.
        split: Name of the split.
        where: The store, for messages.

    Raises:
        StoreError: If no clip is of this split; names those there are.
    """
    splits = set()
    for clip in clips:
        splits.add(clip.split)
        if clip.split == split:
            yield clip
    if split not in splits:
        names = ", ".join(sorted(name for name in splits if name is not None)) or "none"
        raise StoreError(f"{where}: no clip of split {split!r}; splits: {names}")


class StoreViews(ABC):
    """Views of a store that are made of its clips and features alone."""

    _files: OpenFiles

    @property
    @abstractmethod
    def specs(self) -> Mapping[str, FeatureSpec]:
        """What each feature's numbers are."""

    @abstractmethod
    def clips(self, split: str | None = None) -> Iterator[Clip]:
        """The clips."""

    @abstractmethod
    def has(self, clip_id: str, feature: str) -> bool:
        """Whether a clip has values for a feature.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """

    @abstractmethod
    def get(self, clip_id: str, feature: str) -> Features:
        """One clip's values, times and mask.

        Args:
            clip_id: The clip.
            feature: Name of the feature.
        """

    def close(self) -> None:
        """Close open files; a later question opens them again."""
        self._files = OpenFiles()

    def to_frame(self, feature: str, split: str | None = None) -> pd.DataFrame:
        """One row per clip that has values for an utterance feature: index `clip`, columns by name.

        Args:
            feature: Name of the feature.
            split: Only clips of this split; default all clips.

        Raises:
            StoreError: If the store has no such feature, it has several rows per clip, or no clip is of this split.
        """
        spec = self.specs.get(feature)
        if spec is None:
            raise StoreError(f"no feature {feature!r}; features: {', '.join(self.specs) or 'none'}")
        if spec.level != "utterance":
            raise StoreError(f"{feature} has many rows per clip; those of one: store.get(CLIP, {feature!r}).to_frame()")
        ids = [clip.id for clip in self.clips(split) if self.has(clip.id, feature)]
        return utterance_frame(ids, [self.get(clip_id, feature).values for clip_id in ids], spec.columns)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
