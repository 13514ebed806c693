"""The clock of each clip in an aligned export, as its options say, and how features are put on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from storage.errors import RunError
from storage.exporters._base import choice, some, spec_of
from storage.exporters._common import whole_number
from storage.exporters._intervals import Intervals, read_intervals
from storage.records import Clip, Features
from storage.timeline import (
    KEEPS,
    METHODS,
    SIDES,
    Aligned,
    Keep,
    Method,
    Side,
    Times,
    align,
    fit_length,
    fit_slices,
    latest_end,
    regular_grid,
)

if TYPE_CHECKING:
    from storage.store import FeatureStore

CLOCK_OPTIONS = {
    "rate": "intervals per second of a regular clock; default 25",
    "like": "feature whose rows are the clock, instead of a rate",
    "intervals": "CSV or JSON file of clip_id, start, end and perhaps label, such as words: the clock, not a rate",
    "method": f"how features are put on the clock: {', '.join(METHODS)}; default {METHODS[0]}",
    "length": "rows of every clip, by cutting and padding; default each its own",
    "side": f"where padding goes: {' or '.join(SIDES)}; default {SIDES[0]}",
    "keep": f"which rows stay of a clip that is too long: {' or '.join(KEEPS)}; default {KEEPS[0]}",
    "fill": "value of rows whose mask is False, and of padding; default nan",
}
_KINDS = ("rate", "like", "intervals")
_NONE = Intervals(np.empty((0, 2)), ())


@dataclass(frozen=True, slots=True)
class Layout:
    """How clips are laid out.

    Attributes:
        clock: What the clock is, for people: `rate 25`, `like hubert` or `intervals words.csv`.
        rate: Intervals per second of a regular clock; None for others.
        method: How features are put on the clock.
        length: Rows of every clip; None for each its own.
        side: Where padding goes.
        keep: Which rows stay of a clip that is too long.
        fill: Value of rows whose mask is False.
    """

    clock: str
    rate: float | None
    method: Method
    length: int | None
    side: Side
    keep: Keep
    fill: float

    def on_clock(self, features: Features, grid: Times) -> Aligned:
        """A feature on a clip's clock, cut or padded."""
        aligned = align(features, grid, self.method)
        if self.length is None and math.isnan(self.fill):
            return aligned
        return fit_length(*aligned, self._length(grid), self.side, self.fill, self.keep)

    def intervals(self, clip: Intervals) -> Intervals:
        """A clip's clock, cut or padded; NaN and no label in padding."""
        length = self._length(clip.times)
        source, target = fit_slices(len(clip.times), length, self.side, self.keep)
        times = np.full((length, 2), np.nan)
        times[target] = clip.times[source]
        labels = [""] * length
        labels[target] = clip.labels[source]
        return Intervals(times, tuple(labels) if clip.labels else ())

    def _length(self, grid: Times) -> int:
        return len(grid) if self.length is None else self.length


def read_layout(options: Mapping[str, str]) -> Layout:
    """The layout that an export's options ask for.

    Raises:
        RunError: If an option has a value that does not fit, or two clocks are given.
    """
    given = [name for name in _KINDS if name in options]
    if len(given) > 1:
        raise RunError(f"options {' and '.join(given)}: each is a clock; expected one of them")
    kind = given[0] if given else "rate"
    rate = _number(options, "rate", 25.0) if kind == "rate" else None
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise RunError(f"option rate: expected a positive number of intervals per second, got {options['rate']!r}")
    return Layout(
        clock=f"{kind} {f'{rate:g}' if rate else Path(options[kind]).name}",
        rate=rate,
        method=cast("Method", choice(options, "method", METHODS)),
        length=whole_number(options, "length", 1) if "length" in options else None,
        side=cast("Side", choice(options, "side", SIDES)),
        keep=cast("Keep", choice(options, "keep", KEEPS)),
        fill=_number(options, "fill", math.nan),
    )


def _number(options: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(options.get(name, default))
    except ValueError as error:
        raise RunError(f"option {name}: expected a number, got {options[name]!r}") from error


Clock = Callable[[Clip, Mapping[str, Features]], Intervals]


def read_clock(store: FeatureStore, options: Mapping[str, str], layout: Layout) -> Clock:
    """What gives a clip's intervals, from the clip and its features.

    Raises:
        RunError: If the feature to follow is not in the store, or the file of intervals does not fit.
    """
    if (like := options.get("like")) is not None:
        spec_of(store, like)
        return lambda clip, _: Intervals(store.get(clip.id, like).times, ()) if store.has(clip.id, like) else _NONE
    if "intervals" in options:
        return _clock_of_file(store, Path(options["intervals"]))
    rate = layout.rate or 0.0
    return lambda _, found: Intervals(regular_grid(latest_end(found.values()), rate), ())


def _clock_of_file(store: FeatureStore, path: Path) -> Clock:
    by_clip = read_intervals(path)
    strangers = sorted(by_clip.keys() - {clip.id for clip in store.clips()})
    if strangers:
        raise RunError(f"{path}: {len(strangers)} clips that the store does not know: {some(strangers)}")
    return lambda clip, _: by_clip.get(clip.id, _NONE)
