"""The clock of each clip in an aligned export, as the options say, and features on that clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import RunError
from storage import timeline
from storage.clip import Clip
from storage.exporters._shared.selection import abbreviate, require_clock, spec_of
from storage.exporters._shared.spoken_words import word_times, words_by
from storage.exporters.hdf5.intervals import Intervals, read_intervals
from storage.exporters.hdf5.options import ClockOptions
from storage.records import Features
from storage.timeline import Aligned, Times, clip_end, fit_length, fit_slices, regular_grid, within
from storage.vocabulary.spoken_words import ALIGNMENT, WORDS
from storage.wording import counted

if TYPE_CHECKING:
    from storage.store.store import FeatureStore

_NONE = Intervals(np.empty((0, 2)), ())


@dataclass(frozen=True, slots=True)
class Layout:
    """How clips are laid out.

    Attributes:
        clock: What the clock is, for people: `rate 25`, `like hubert` or `intervals words.csv`.
        rate: Intervals per second of a regular clock; None for others.
        options: How features are put on the clock, and how rows are cut and padded.
    """

    clock: str
    rate: float | None
    options: ClockOptions

    def align(self, features: Features, grid: Times, offsets: Sequence[float]) -> Aligned:
        """A feature on a clip's clock, cut or padded.

        Args:
            features: The feature of one clip.
            grid: (N, 2) seconds, the clip's intervals.
            offsets: Of its columns' centres, from its spec.
        """
        options = self.options
        aligned = timeline.align(features, grid, options.method, offsets)
        if options.length is None and math.isnan(options.fill):
            return aligned
        return fit_length(*aligned, self._length(grid), options.side, options.fill, options.keep)

    def intervals(self, clip: Intervals) -> Intervals:
        """A clip's clock, cut or padded; NaN and no label in padding."""
        length = self._length(clip.times)
        source, target = fit_slices(len(clip.times), length, self.options.side, self.options.keep)
        times = np.full((length, 2), np.nan)
        times[target] = clip.times[source]
        labels = [""] * length
        labels[target] = clip.labels[source]
        return Intervals(times, tuple(labels) if clip.labels else ())

    def _length(self, grid: Times) -> int:
        return len(grid) if self.options.length is None else self.options.length


def read_layout(options: ClockOptions) -> Layout:
    """The layout that an export's options ask for.

    Raises:
        RunError: If two clocks are given.
    """
    stated = [name for name in ("rate", "like", "intervals") if name in options.model_fields_set]
    if len(stated) > 1:
        raise RunError(f"options {' and '.join(stated)}: each is a clock; expected one of them")
    kind = stated[0] if stated else "rate"
    rate = options.rate if kind == "rate" else None
    return Layout(f"{kind} {f'{rate:g}' if rate else Path(str(getattr(options, kind))).name}", rate, options)


Clock = Callable[[Clip, Mapping[str, Features]], Intervals]


def read_clock(store: FeatureStore, options: ClockOptions) -> Clock:
    """The function that gives a clip's intervals, from the clip and its features.

    Args:
        store: Where the features are.
        options: The export's options.

    Raises:
        RunError: If the feature to follow is not in the store, or the file of intervals does not fit.
    """
    if (like := options.like) is not None:
        require_clock(store, spec_of(store, like), "like")

        def follow(clip: Clip, _: Mapping[str, Features]) -> Intervals:
            if not store.has(clip.id, like):
                return _NONE
            rows = store.get(clip.id, like)
            return Intervals(within(rows.times, clip_end(clip, {like: rows}, store.specs)), ())

        return follow
    if (source := words_source(options)) is not None:
        words_of = words_by(store, source)

        def spoken(clip: Clip, _: Mapping[str, Features]) -> Intervals:
            words = words_of(clip)
            return Intervals(word_times(words), tuple(word.text for word in words))

        return spoken
    if options.intervals is not None:
        return _clock_of_file(store, options.intervals)
    return lambda clip, features: Intervals(regular_grid(clip_end(clip, features, store.specs), options.rate), ())


def words_source(options: ClockOptions) -> str | None:
    """`words` or `alignment` where the words are the clock; None where another one is."""
    source = None if options.intervals is None else str(options.intervals)
    return source if source in {WORDS, ALIGNMENT} and not Path(source).exists() else None


def clock_features(store: FeatureStore, options: ClockOptions) -> list[str]:
    """Features of the store that the clock is made from.

    Args:
        store: Where the features are.
        options: The export's options.
    """
    asked = (options.like, ALIGNMENT if words_source(options) == ALIGNMENT else None)
    return [name for name in asked if name in store.specs]


def _clock_of_file(store: FeatureStore, path: Path) -> Clock:
    by_clip = read_intervals(path)
    unknown_clips = sorted(by_clip.keys() - {clip.id for clip in store.clips()})
    if unknown_clips:
        raise RunError(
            f"{path}: {counted(len(unknown_clips), 'clip')} that the store does not know: {abbreviate(unknown_clips)}"
        )
    return lambda clip, _: by_clip.get(clip.id, _NONE)
