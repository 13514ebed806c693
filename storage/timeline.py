"""The only code that turns rows of one clock into rows of another. All times are seconds from a clip's start.

A grid is an (N, 2) float64 array of half-open intervals [start, end), such as `regular_grid` makes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from storage.records import Features

Times = npt.NDArray[np.float64]
Aligned = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]

# Two clocks compute one instant by different sums; what overlaps by less than this only touches.
TOUCH = 1e-9
_CELLS = 64


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


def align(features: Features, grid: Times) -> Aligned:
    """Mean of the valid rows over each interval, each row weighted by the seconds it shares with the interval.

    Rows that are not valid are left out, never averaged in; so are overlaps of a nanosecond and less. Rows that
    overlap each other, such as 20 ms windows every 10 ms, each count with their own overlap.

    Args:
        features: (T, D) values with their times.
        grid: (N, 2) intervals, in order of start.

    Returns:
        (N, D) float32 and (N,) bool. Where no valid row overlaps: NaN and False.
    """
    n_cells, width = len(grid), features.values.shape[1]
    values = np.full((n_cells, width), np.nan, np.float32)
    valid = np.zeros(n_cells, np.bool_)
    # Ends need not be in order, their running maximum is: it finds the first row that can reach a cell.
    reach = np.maximum.accumulate(features.times[:, 1])
    for begin in range(0, n_cells, _CELLS):
        cells = grid[begin : begin + _CELLS]
        first = np.searchsorted(reach, cells[:, 0].min(), side="right")
        last = np.searchsorted(features.times[:, 0], cells[:, 1].max(), side="left")
        mean, has_rows = _weighted_mean(features, slice(int(first), int(last)), cells)
        values[begin : begin + _CELLS][has_rows] = mean
        valid[begin : begin + _CELLS] = has_rows
    return values, valid


def _weighted_mean(features: Features, rows: slice, cells: Times) -> tuple[Times, npt.NDArray[np.bool_]]:
    kept = np.flatnonzero(features.valid[rows]) + rows.start
    weights = _overlap(cells, features.times[kept])
    total = weights.sum(axis=1)
    has_rows = total > 0
    share = weights[has_rows] / total[has_rows, None]
    return share @ features.values[kept].astype(np.float64), has_rows


def _overlap(cells: Times, rows: Times) -> Times:
    """(N, T) seconds that each interval shares with each row; 0 where they only touch."""
    end = np.minimum(cells[:, 1:], rows[:, 1])
    start = np.maximum(cells[:, :1], rows[:, 0])
    return np.where(end - start > TOUCH, end - start, 0.0)


def nearest(features: Features, grid: Times) -> Aligned:
    """The row whose centre is nearest to the centre of each interval; the earlier one of two equally near.

    Args:
        features: (T, D) values with their times.
        grid: (N, 2) intervals.

    Returns:
        (N, D) float32 and (N,) bool. NaN and False where that row is not valid, or does not overlap the interval: an
        interval beyond a feature's end stays empty.
    """
    values = np.full((len(grid), features.values.shape[1]), np.nan, np.float32)
    valid = np.zeros(len(grid), np.bool_)
    if len(features.valid) and len(grid):
        row = _nearest_rows(features.times.mean(axis=1), grid.mean(axis=1))
        shared = np.minimum(features.times[row, 1], grid[:, 1]) - np.maximum(features.times[row, 0], grid[:, 0])
        valid = features.valid[row] & (shared > TOUCH)
        values[valid] = features.values[row[valid]]
    return values, valid


def _nearest_rows(rows: npt.NDArray[np.float64], cells: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    order = np.argsort(rows, kind="stable")
    after = np.searchsorted(rows[order], cells).clip(0, len(rows) - 1)
    before = (after - 1).clip(0)
    is_before = cells - rows[order][before] <= rows[order][after] - cells + TOUCH
    return order[np.where(is_before, before, after)]
