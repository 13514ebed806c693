"""The only code that turns rows of one clock into rows of another. All times are seconds from a clip's start.

A grid is an (N, 2) float64 array of half-open intervals [start, end): what `regular_grid` makes, the `times` of
another feature, or the starts and ends of words. Features that are aligned to one grid have one length, and each has
its own mask. An interval that no valid row overlaps has no value, whatever the method: nothing is filled or guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from storage.clip import Clip
from storage.records import Features, FeatureSpec

Times = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Method = Literal["overlap", "mean", "nearest", "linear"]
Side = Literal["end", "start"]
Keep = Literal["first", "last"]

METHODS: tuple[Method, ...] = get_args(Method)
SIDES: tuple[Side, ...] = get_args(Side)
KEEPS: tuple[Keep, ...] = get_args(Keep)

# Two clocks compute one instant by different sums; what overlaps by less than this only touches.
TOUCH = 1e-9
PADDED_RECIPES = {"merbench"}  # their windows reach beyond the clip, and so do their rows
# Intervals and rows looked at together: what bounds the memory.
_CELLS = 64
_ROWS = 2048


class Aligned(NamedTuple):
    """One feature on a grid.

    Attributes:
        values: (N, D) float32.
        valid: (N,) bool; where it is False, `align` gives NaN and `fit_length` its fill value.
    """

    values: npt.NDArray[np.float32]
    valid: Mask


def regular_grid(end: float, rate: float) -> Times:
    """Intervals of equal length that cover [0, end); the last one may reach beyond `end`.

    Args:
        end: Seconds; 0 gives no interval.
        rate: Intervals per second.

    Returns:
        (N, 2) float64; interval k is [k / rate, (k + 1) / rate).

    Raises:
        ValueError: If `rate` is not positive and finite, or `end` is negative or not finite.
    """
    if not (np.isfinite(rate) and rate > 0 and np.isfinite(end) and end >= 0):
        raise ValueError(f"grid: expected a positive rate and an end of 0 or more seconds, got {rate} and {end}")
    edges = np.arange(np.ceil((end - TOUCH) * rate).clip(0) + 1) / rate
    return np.stack([edges[:-1], edges[1:]], axis=1)


def latest_end(features: Iterable[Features]) -> float:
    """Seconds at which the last row of any of these features of one clip ends; 0 if there is none."""
    return max((float(f.times[:, 1].max(initial=0.0)) for f in features), default=0.0)


def clip_end(clip: Clip, features: Mapping[str, Features], specs: Mapping[str, FeatureSpec]) -> float:
    """Seconds at which a clip ends: the latest end of its rows, of those that pad it only up to its length.

    Args:
        clip: The clip.
        features: Its features by name.
        specs: What they are.
    """
    ends = [0.0]
    for name, rows in features.items():
        is_padded = specs[name].recipe.get("recipe") in PADDED_RECIPES and clip.duration is not None
        ends.append(min(latest_end([rows]), clip.duration or 0.0) if is_padded else latest_end([rows]))
    return max(ends)


def within(grid: Times, end: float) -> Times:
    """The intervals of a clock that begin before a clip's end.

    Args:
        grid: (N, 2) seconds.
        end: Seconds at which the clip ends.
    """
    kept: Times = grid[grid[:, 0] < end - TOUCH]
    return kept


def align(features: Features, grid: Times, method: Method = "overlap", offsets: Sequence[float] = ()) -> Aligned:
    """Put a feature on a grid. Rows that are not valid are never averaged in, copied, or interpolated from or across.

    - `overlap`: mean of the rows that overlap the interval, each weighted by the seconds it shares with it. Rows that
      overlap each other, such as 20 ms windows every 10 ms, each count with their own overlap.
    - `mean`: plain mean of the rows that overlap the interval, however little.
    - `nearest`: the row whose centre is nearest to the interval's centre (the earlier one of two equally near), if
      that row is valid and overlaps the interval.
    - `linear`: at the interval's centre, on the line between the centres of the rows before and after it, if the
      interval overlaps one of the two. Where only one of the two is there and valid, its value, if it overlaps.

    Overlaps of a nanosecond and less do not count. A feature with one row per clip is spread over the intervals that
    this row overlaps. On its own times a feature stays as it is, also where its rows overlap each other.

    Args:
        features: (T, D) values with their times.
        grid: (N, 2) intervals; fastest in order of start. One of length 0 overlaps nothing.
        method: How.
        offsets: Seconds by which each column's centre lies after that of its row; none if all are where the rows are.
            An interval is valid where all columns have a value.

    Returns:
        (N, D) float32 and (N,) bool; NaN and False where the feature has nothing for the interval.

    Raises:
        ValueError: If the grid is no array of finite intervals, or the method is not one of `METHODS`.
    """
    if method not in _FILLERS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if grid.ndim != 2 or grid.shape[1] != 2 or not np.isfinite(grid).all() or (grid[:, 1] < grid[:, 0]).any():
        raise ValueError(f"grid: expected (N, 2) finite seconds, each end not before its start; got {grid.shape}")
    if np.array_equal(grid, features.times):
        return Aligned(features.values, features.valid)
    if any(offsets):
        return _align_shifted(features, grid, method, np.asarray(offsets, np.float64))
    values = np.full((len(grid), features.values.shape[1]), np.nan, np.float32)
    valid = np.zeros(len(grid), np.bool_)
    if len(features.valid) and len(grid):
        for cells, rows in _FILLERS[method](features, grid):
            values[cells], valid[cells] = rows, True
    return Aligned(values, valid)


def _align_shifted(features: Features, grid: Times, method: Method, offsets: npt.NDArray[np.float64]) -> Aligned:
    """Each group of columns with one offset by itself, on rows that are later by it."""
    values = np.full((len(grid), features.values.shape[1]), np.nan, np.float32)
    valid = np.ones(len(grid), np.bool_)
    for offset in np.unique(offsets):
        columns = np.flatnonzero(offsets == offset)
        shifted = Features(np.ascontiguousarray(features.values[:, columns]), features.times + offset, features.valid)
        rows = align(shifted, grid, method)
        values[:, columns] = rows.values
        valid &= rows.valid
    values[~valid] = np.nan
    return Aligned(values, valid)


def fit_length(
    values: npt.NDArray[np.float32],
    valid: Mask,
    length: int,
    side: Side = "end",
    fill: float = 0.0,
    keep: Keep = "first",
) -> Aligned:
    """Cut or pad rows to a length, and fill whatever has no value.

    Args:
        values: (N, D) float32.
        valid: (N,) bool.
        length: Rows to return; 0 or more.
        side: Where padding goes if there are too few rows.
        fill: Value of the padding and of rows that are not valid.
        keep: Which rows stay if there are too many.

    Returns:
        (length, D) float32 and (length,) bool. Every row whose mask is False holds `fill` throughout.

    Raises:
        ValueError: If the length is negative, or `side` or `keep` is not one of the choices.
    """
    source, target = fit_slices(len(valid), length, side, keep)
    mask = np.zeros(length, np.bool_)
    mask[target] = valid[source]
    fitted = np.full((length, values.shape[1]), fill, np.float32)
    fitted[mask] = values[source][valid[source]]
    return Aligned(fitted, mask)


def fit_slices(count: int, length: int, side: Side = "end", keep: Keep = "first") -> tuple[slice, slice]:
    """Which of `count` rows stay, and where in `length` rows they go; arguments as for `fit_length`.

    Args:
        count: Rows there are.
        length: Rows there shall be.
        side: Where padding goes.
        keep: Which rows stay where there are too many.
    """
    if length < 0 or side not in SIDES or keep not in KEEPS:
        raise ValueError(f"expected length >= 0, side of {SIDES}, keep of {KEEPS}; got {length}, {side!r}, {keep!r}")
    kept = min(count, length)
    source = slice(count - kept, None) if keep == "last" else slice(kept)
    return source, slice(length - kept, None) if side == "start" else slice(kept)


# Which intervals have a value, and their rows, or the one row of all; in parts, so that memory stays small.
_Parts = Iterator[tuple[npt.NDArray[np.intp] | slice, npt.NDArray[np.floating]]]
_Filler = Callable[[Features, Times], _Parts]


def _weighted(features: Features, grid: Times) -> _Parts:
    return _means(features, grid, lambda shared: shared)


def _plain(features: Features, grid: Times) -> _Parts:
    return _means(features, grid, lambda shared: (shared > 0).astype(np.float64))


def _means(features: Features, grid: Times, weigh: Callable[[Times], Times]) -> _Parts:
    if len(features.valid) == 1:  # its mean is the row itself
        covered = np.flatnonzero(features.valid & (weigh(_shared(grid, features.times)) > 0))
        yield slice(None) if len(covered) == len(grid) else covered, features.values
        return
    from scipy.sparse import csr_array

    # Ends need not be in order, their running maximum is: it finds the first row that can reach a cell.
    reach = np.maximum.accumulate(features.times[:, 1])
    for begin in range(0, len(grid), _CELLS):
        cells = grid[begin : begin + _CELLS]
        first = int(np.searchsorted(reach, cells[:, 0].min(), side="right"))
        last = int(np.searchsorted(features.times[:, 0], cells[:, 1].max(), side="left"))
        total = np.zeros((len(cells), 1))
        sums = np.zeros((len(cells), features.values.shape[1]))
        for rows in (slice(i, min(i + _ROWS, last)) for i in range(first, last, _ROWS)):
            valid = features.valid[rows]
            weights = weigh(_shared(cells[:, None], features.times[rows][valid]))
            total += weights.sum(axis=1, keepdims=True)
            # Row by row in their order: what BLAS gives depends on its threads and on the processor, in the last bit.
            sums += csr_array(weights) @ features.values[rows][valid].astype(np.float64)
        covered = np.flatnonzero(total[:, 0] > 0)
        yield begin + covered, sums[covered] / total[covered]


def _nearest(features: Features, grid: Times) -> _Parts:
    at = grid.mean(axis=1)
    before, after, centres = _around(features, at)
    row = np.where(at - centres[before] <= centres[after] - at + TOUCH, before, after)
    intervals = np.flatnonzero(features.valid[row] & (_shared(grid, features.times[row]) > 0))
    yield intervals, features.values[row[intervals]]


def _linear(features: Features, grid: Times) -> _Parts:
    at = grid.mean(axis=1)
    before, after, centres = _around(features, at)
    good_before, good_after = features.valid[before], features.valid[after]
    overlaps_before = good_before & (_shared(grid, features.times[before]) > 0)
    overlaps_after = good_after & (_shared(grid, features.times[after]) > 0)
    # What is between two good rows is on their line; else the one that is good holds, if it overlaps.
    gap = centres[after] - centres[before]
    share = ((at - centres[before]) / np.where(gap > TOUCH, gap, np.inf)).clip(0, 1)
    share = np.where(good_before & good_after, share, good_after.astype(np.float64))[:, None]
    intervals = np.flatnonzero(overlaps_before | overlaps_after)
    for part in (intervals[i : i + _ROWS] for i in range(0, len(intervals), _ROWS)):
        low = np.where(good_before[part, None], features.values[before[part]], 0)
        high = np.where(good_after[part, None], features.values[after[part]], 0)
        yield part, low * (1 - share[part]) + high * share[part]


_FILLERS: dict[Method, _Filler] = {"overlap": _weighted, "mean": _plain, "nearest": _nearest, "linear": _linear}


def _shared(cells: Times, rows: Times) -> Times:
    """Seconds that intervals share with rows; 0 where they only touch."""
    seconds = np.minimum(cells[..., 1], rows[..., 1]) - np.maximum(cells[..., 0], rows[..., 0])
    return np.where(seconds > TOUCH, seconds, 0.0)


def _around(
    features: Features, at: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """The rows with the last centre up to each instant and with the first from it, and the centres of all rows.

    Before the first and after the last centre both are the same row. Of rows with one centre, the first one counts.
    """
    centres = features.times.mean(axis=1)
    order = np.argsort(centres, kind="stable")
    ordered = centres[order]
    last = len(order) - 1
    after = np.searchsorted(ordered, at - TOUCH).clip(0, last)
    before = (np.searchsorted(ordered, at + TOUCH, side="right") - 1).clip(0, last)
    first, second = (np.searchsorted(ordered, ordered[place]) for place in (before, after))
    return order[first], order[second], centres
