"""VEATIC: 124 videos without audio, with valence and arousal of one person for every frame.

Tree: `videos/0.mp4` (or `video/`), `rating_averaged/0_valence.csv` and `0_arousal.csv`, without a header; the rating is
the second column, from -1 to 1, one line per frame.
Labels: the paths of both series are in `series`; the means over a video are `valence_mean` and `arousal_mean`.
Splits: within each video, the first 70 % of its frames are train: that is no property of a clip, and not set.
Quirks: the videos 98 to 123 come in pairs with the same frames and another person rated: each pair is a group. A video
whose two series have other lengths than each other is told.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import ClassVar

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions, InPlaceCorpus
from storage.corpora._shared.tree import read_text

_RATINGS = ("valence", "arousal")
_FIRST_PAIR = 98


class VeaticCorpus(InPlaceCorpus[CorpusOptions]):
    """Videos with the paths of their ratings."""

    name = "veatic"
    Options = CorpusOptions
    title = "VEATIC"
    citation = "Ren et al., VEATIC: Video-based Emotion and Affect Tracking in Context Dataset, WACV 2024"
    licence = "CC BY-NC 4.0"
    modalities = frozenset({"video"})
    signs = (r"videos?/\d+\.mp4", r"rating_averaged/\d+_(?:valence|arousal)\.csv")
    expected_clips: ClassVar[Mapping[str, int]] = {"": 124}

    @cached_property
    def _videos(self) -> dict[int, str]:
        found = self.tree.matching(r"videos?/(?P<id>\d+)\.(?:mp4|avi|mkv|mov)")
        return {int(match["id"]): path for path, match in found}

    @cached_property
    def _ratings(self) -> dict[int, dict[str, str]]:
        """Path of each video's series by what was rated."""
        ratings: dict[int, dict[str, str]] = {}
        for path, match in self.tree.matching(r"rating_averaged/(?P<id>\d+)_(?P<what>valence|arousal)\.csv"):
            ratings.setdefault(int(match["id"]), {})[match["what"].lower()] = path
        return ratings

    def check(self) -> None:
        """Look for videos and ratings.

        Raises:
            RunError: If there are none.
        """
        if not self.source.is_dir() or not (self._videos or self._ratings):
            raise RunError(
                f"{self.source}: expected VEATIC's videos/0.mp4 and rating_averaged/0_valence.csv, found none"
            )

    def rows(self) -> Iterator[CorpusRow]:
        """One row per video, also one that has ratings only.

        Raises:
            RunError: If a series cannot be read.
        """
        for number in sorted({*self._videos, *self._ratings}):
            series = self._ratings.get(number, {})
            means = {f"{what}_mean": _mean(self._values[path]) for what, path in series.items()}
            group = (number - _FIRST_PAIR) // 2 * 2 + _FIRST_PAIR if number >= _FIRST_PAIR else number
            fields = {
                "group": str(group),
                "series": series,
                "dimensions": {name: mean for name, mean in means.items() if mean is not None},
                "scales": dict.fromkeys((*_RATINGS, *(f"{what}_mean" for what in _RATINGS)), "-1..1"),
                "about": {f"{what}_rate": "one value per frame" for what in series},
            }
            yield CorpusRow(f"video {number}", str(number), video=self._videos.get(number), fields=fields)

    @cached_property
    def _values(self) -> dict[str, list[float]]:
        """The ratings of each series, by its path."""
        return {path: self._read(path) for series in self._ratings.values() for path in series.values()}

    def _read(self, path: str) -> list[float]:
        rows = list(csv.reader(read_text(self.source / path).splitlines()))
        try:
            return [float(row[1]) for row in rows if row]
        except (ValueError, IndexError) as error:
            raise RunError(f"{self.source / path}: expected lines such as 0.00,0.12 ({error})") from error

    def notes(self) -> Iterator[str]:
        """Series whose lengths differ, and videos or series that are not there."""
        for number, series in sorted(self._ratings.items()):
            lengths = {what: len(self._values[path]) for what, path in series.items()}
            if len(set(lengths.values())) > 1:
                yield f"video {number}: {', '.join(f'{n} values of {what}' for what, n in lengths.items())}"
            if number not in self._videos:
                first = PurePosixPath(next(iter(series.values()))).name
                self.report.missing.append(f"video {number}: no videos/{number}.mp4 for {first}")
        without = sorted(self._videos.keys() - self._ratings.keys())
        if without:
            yield f"videos without ratings: {', '.join(map(str, without[:10]))}"


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else None
