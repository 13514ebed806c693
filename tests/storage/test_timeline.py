"""Overlap-weighted means: exact, conserving, and blind to rows that are not valid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import Features
from storage.timeline import align, nearest, regular_grid


def features(values, times, valid=None) -> Features:
    values = np.array(values, np.float32).reshape(len(times), -1)
    valid = np.ones(len(times), np.bool_) if valid is None else np.array(valid, np.bool_)
    values[~valid] = np.nan
    return Features(values, np.array(times, np.float64).reshape(-1, 2), valid)


def tiles(n: int, length: float = 1.0) -> np.ndarray:
    return regular_grid(n * length, 1 / length)


def by_definition(source: Features, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = np.full((len(grid), source.values.shape[1]), np.nan)
    for i, (begin, end) in enumerate(grid):
        weights = [max(0.0, min(e, end) - max(s, begin)) for s, e in source.times]
        weights = np.array([w if ok and w > 1e-9 else 0.0 for w, ok in zip(weights, source.valid, strict=True)])
        if weights.sum() > 0:
            values[i] = (weights[:, None] * np.nan_to_num(source.values)).sum(0) / weights.sum()
    return values, ~np.isnan(values[:, 0])


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


@pytest.mark.parametrize("resample", [align, nearest])
def test_the_same_clock_gives_the_same_bytes(resample):
    source = features(np.random.default_rng(0).standard_normal((200, 3)), tiles(200, 0.04), np.arange(200) % 7 > 0)
    values, valid = resample(source, source.times)
    assert values.dtype == np.float32
    assert values.tobytes() == source.values.tobytes()
    assert (valid == source.valid).all()


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


@pytest.mark.parametrize("resample", [align, nearest])
def test_one_row_covers_its_clip(resample):
    values, valid = resample(features([[3, 4]], [[0, 1.0]]), regular_grid(1.2, 10))
    assert values[:10].tolist() == [[3, 4]] * 10
    assert valid.tolist() == [True] * 10 + [False] * 2


@pytest.mark.parametrize("resample", [align, nearest])
def test_nothing_to_align(resample):
    none = Features(np.empty((0, 2), np.float32), np.empty((0, 2)), np.empty(0, np.bool_))
    values, valid = resample(none, regular_grid(1, 5))
    assert values.shape == (5, 2)
    assert np.isnan(values).all()
    assert not valid.any()
    assert resample(features([1], [[0, 1]]), regular_grid(0, 5))[0].shape == (0, 1)


def test_long_window_starting_early_still_reaches():
    source = features([1, 2, 3], [[0.0, 10.0], [0.5, 0.6], [0.7, 0.8]])
    assert align(source, np.array([[5.0, 6.0]]))[0].tolist() == [[1.0]]


def test_nearest_takes_the_earlier_of_two_and_keeps_the_mask():
    source = features([1, 2, 3], tiles(3), [True, False, True])
    values, valid = nearest(source, np.array([[0.5, 1.5], [1.2, 1.8], [1.5, 2.6], [9.0, 10.0]]))
    assert valid.tolist() == [True, False, True, False]
    assert values[[0, 2], 0].tolist() == [1, 3]


@st.composite
def sources(draw):
    n = draw(st.integers(1, 12))
    starts = np.sort(np.array(draw(st.lists(st.integers(0, 40), min_size=n, max_size=n)), np.float64)) / 8
    lengths = np.array(draw(st.lists(st.integers(1, 24), min_size=n, max_size=n)), np.float64) / 8
    values = draw(st.lists(st.floats(-1e3, 1e3, width=32), min_size=n, max_size=n))
    valid = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return features(values, np.stack([starts, starts + lengths], axis=1), valid)


@settings(max_examples=60, deadline=None)
@given(source=sources(), rate=st.sampled_from([0.3, 1.0, 2.5, 8.0, 30.0]))
def test_align_is_its_definition(source, rate):
    grid = regular_grid(9.0, rate)
    values, valid = align(source, grid)
    expected, expected_valid = by_definition(source, grid)
    assert (valid == expected_valid).all()
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-4)
    assert (np.isnan(values).all(axis=1) == ~valid).all()


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 30), length=st.sampled_from([0.02, 0.04, 1 / 30, 0.5]), rate=st.sampled_from([3.0, 25.0, 60.0]))
def test_rows_that_tile_keep_their_mean(n, length, rate):
    source = features(np.random.default_rng(n).standard_normal(n), tiles(n, length))
    end = source.times[-1, 1]
    grid = regular_grid(end, rate)
    values, _ = align(source, grid)
    shared = np.minimum(grid[:, 1], end) - grid[:, 0]
    mean = float((values[:, 0] * shared).sum() / shared.sum())
    assert mean == pytest.approx(float(source.values.mean()), abs=1e-5)
