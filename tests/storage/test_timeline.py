"""One clock for all: exact, conserving means, bounded by what was measured, blind to rows that are not valid."""

from __future__ import annotations

import numpy as np
import pytest

from storage.records import Features
from storage.timeline import METHODS, align, fit_length, latest_end, regular_grid


def features(values, times, valid=None) -> Features:
    values = np.array(values, np.float32).reshape(len(times), -1)
    valid = np.ones(len(times), np.bool_) if valid is None else np.array(valid, np.bool_)
    values[~valid] = np.nan
    return Features(values, np.array(times, np.float64).reshape(-1, 2), valid)


def tiles(n: int, length: float = 1.0) -> np.ndarray:
    return regular_grid(n * length, 1 / length)


@pytest.mark.parametrize(
    ("end", "rate", "count"), [(0, 25, 0), (2.88, 25, 72), (72 / 25, 25, 72), (2.4 + 2e-7, 25, 61), (0.01, 25, 1)]
)
def test_regular_grid_covers_the_clip(end, rate, count):
    grid = regular_grid(end, rate)
    assert grid.shape == (count, 2)
    assert grid.dtype == np.float64
    assert (grid[1:, 0] == grid[:-1, 1]).all()
    assert count == 0 or (grid[0, 0] == 0 and grid[-1, 1] >= end - 1e-9)


@pytest.mark.parametrize(("end", "rate"), [(1, 0), (1, -1), (1, np.nan), (-1, 25), (np.inf, 25)])
def test_regular_grid_refuses_nonsense(end, rate):
    with pytest.raises(ValueError, match="positive rate"):
        regular_grid(end, rate)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_clock_gives_the_same_bytes(method):
    source = features(np.random.default_rng(0).standard_normal((200, 3)), tiles(200, 0.04), np.arange(200) % 7 > 0)
    values, valid = align(source, source.times, method)
    assert values.dtype == np.float32
    assert values.tobytes() == source.values.tobytes()
    assert (valid == source.valid).all()


@pytest.mark.parametrize("method", METHODS)
def test_windows_that_overlap_stay_as_they_are_on_their_own_times(method):
    source = features([1, 2, 4, 8], [[0.00, 0.02], [0.01, 0.03], [0.02, 0.04], [0.03, 0.05]])
    assert align(source, source.times.copy(), method).values[:, 0].tolist() == [1, 2, 4, 8]


def test_weights_are_seconds_of_overlap():
    values, valid = align(features([1, 5, 9], tiles(3)), np.array([[0.5, 1.75], [2.5, 4.0], [3.0, 4.0]]))
    np.testing.assert_allclose(values[:2, 0], [(0.5 * 1 + 0.75 * 5) / 1.25, 9])
    assert valid.tolist() == [True, True, False]
    assert np.isnan(values[2, 0])


def test_overlapping_windows_count_with_their_own_overlap():
    """GeMAPS: 20 ms windows every 10 ms."""
    source = features([1, 2, 4], [[0.00, 0.02], [0.01, 0.03], [0.02, 0.04]])
    values, _ = align(source, np.array([[0.0, 0.02], [0.0, 0.04]]))
    np.testing.assert_allclose(values[:, 0], [(2 * 1 + 2) / 3, 7 / 3], rtol=1e-6)


def test_rows_that_are_not_valid_are_never_averaged_in():
    values, valid = align(features([1, 100, 3], tiles(3), [True, False, True]), np.array([[0.0, 3.0], [1.0, 2.0]]))
    assert values[0, 0] == 2
    assert valid.tolist() == [True, False]
    assert np.isnan(values[1]).all()


def test_rounding_of_times_does_not_carry_a_row_into_the_next_interval():
    times = np.stack([np.arange(72) * 0.04, np.arange(1, 73) * 0.04 + 1e-13], axis=1)
    _, valid = align(features(np.ones(72), times), regular_grid(4.0, 25))
    assert valid.tolist() == [True] * 72 + [False] * 28


@pytest.mark.parametrize("method", METHODS)
def test_one_row_covers_its_clip(method):
    values, valid = align(features([[3, 4]], [[0, 1.0]]), regular_grid(1.2, 10), method)
    assert values[:10].tolist() == [[3, 4]] * 10
    assert valid.tolist() == [True] * 10 + [False] * 2


@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_align(method):
    none = Features(np.empty((0, 2), np.float32), np.empty((0, 2)), np.empty(0, np.bool_))
    values, valid = align(none, regular_grid(1, 5), method)
    assert values.shape == (5, 2)
    assert np.isnan(values).all()
    assert not valid.any()
    assert align(features([1], [[0, 1]]), regular_grid(0, 5), method).values.shape == (0, 1)


def test_long_window_starting_early_still_reaches():
    source = features([1, 2, 3], [[0.0, 10.0], [0.5, 0.6], [0.7, 0.8]])
    assert align(source, np.array([[5.0, 6.0]]))[0].tolist() == [[1.0]]


def test_nearest_takes_the_earlier_of_two_and_keeps_the_mask():
    source = features([1, 2, 3], tiles(3), [True, False, True])
    values, valid = align(source, np.array([[0.5, 1.5], [1.2, 1.8], [1.5, 2.6], [9.0, 10.0]]), "nearest")
    assert valid.tolist() == [True, False, True, False]
    assert values[[0, 2], 0].tolist() == [1, 3]


def test_of_rows_with_one_centre_the_first_counts():
    source = features([1, 2, 3], [[0.0, 4.0], [1.0, 3.0], [1.5, 2.5]])
    assert align(source, np.array([[1.0, 3.2], [0.8, 3.0]]), "nearest").values[:, 0].tolist() == [1, 1]
    assert align(source, np.array([[1.0, 3.0]]), "linear").values[:, 0].tolist() == [1]


def test_linear_is_on_the_line_between_centres_and_holds_at_the_ends():
    source = features([1, 2, 4], tiles(3))
    values, valid = align(source, np.array([[0.0, 0.4], [0.5, 1.0], [1.0, 3.0], [2.6, 3.4], [3.0, 3.4]]), "linear")
    np.testing.assert_allclose(values[:4, 0], [1, 1.25, 3, 4])
    assert valid.tolist() == [True] * 4 + [False]


def test_linear_never_crosses_a_row_that_is_not_valid():
    source = features([1, 9, 3, 4], tiles(4), [True, False, True, True])
    values, valid = align(source, regular_grid(4, 4), "linear")
    assert values[:, 0].tolist()[:4] == [1] * 4
    assert not valid[4:8].any()
    assert values[8:10, 0].tolist() == [3, 3]
    np.testing.assert_allclose(values[10:14, 0], 3 + np.array([1, 3, 5, 7]) / 8)


def test_linear_gives_nothing_in_a_hole_between_rows():
    source = features([1, 2], [[0.0, 1.0], [5.0, 6.0]])
    values, valid = align(source, np.array([[2.0, 3.0], [0.5, 2.0]]), "linear")
    assert valid.tolist() == [False, True]
    assert values[1, 0] == pytest.approx(1 + 0.75 / 5)


def test_mean_counts_every_row_once():
    source = features([1, 2, 6], tiles(3), [True, True, True])
    assert align(source, np.array([[0.0, 2.1]]), "mean").values[0, 0] == 3
    assert align(source, np.array([[0.0, 2.0]]), "mean").values[0, 0] == 1.5


def test_words_take_the_rows_they_overlap():
    source = features(np.arange(10), tiles(10, 0.1))
    words = np.array([[0.05, 0.15], [0.3, 0.5], [0.3, 0.3], [0.85, 1.2]])
    values, valid = align(source, words)
    np.testing.assert_allclose(values[[0, 1, 3], 0], [0.5, 3.5, (0.05 * 8 + 0.1 * 9) / 0.15], rtol=1e-6)
    assert valid.tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("grid", "method", "message"),
    [
        ([[0.0, 1.0]], "median", "expected one of overlap, mean, nearest, linear, got 'median'"),
        ([[1.0, 0.5]], "overlap", "each end not before its start"),
        ([[0.0, np.nan]], "overlap", "finite"),
        ([0.0, 1.0], "overlap", r"\(N, 2\)"),
    ],
)
def test_align_refuses_nonsense(grid, method, message):
    with pytest.raises(ValueError, match=message):
        align(features([1], [[0, 1]]), np.array(grid), method)


def test_many_rows_in_one_interval_are_summed_in_parts():
    source = features(np.arange(5001), tiles(5001, 0.5))
    assert align(source, np.array([[0.0, 5001.0]])).values[0, 0] == 2500
    assert align(source, np.array([[0.0, 5001.0]]), "mean").values[0, 0] == 2500


def test_latest_end_is_the_largest_of_all_rows():
    assert latest_end([features([1, 2], [[0, 9], [1, 2]]), features([1], [[0, 3]])]) == 9
    assert latest_end([]) == 0


@pytest.mark.parametrize("wrong", [{"length": -1}, {"side": "left"}, {"keep": "middle"}])
def test_fit_length_refuses_nonsense(wrong):
    with pytest.raises(ValueError, match="expected length >= 0"):
        fit_length(np.ones((2, 1), np.float32), np.ones(2, np.bool_), **{"length": 3, **wrong})
