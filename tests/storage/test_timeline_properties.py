"""What holds for any clocks: definitions, bounds, masks, conservation of means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import Features
from storage.timeline import KEEPS, METHODS, SIDES, align, fit_length, latest_end, regular_grid
from tests.storage.test_timeline import features, tiles


def by_definition(source: Features, grid: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray]:
    values = np.full((len(grid), source.values.shape[1]), np.nan)
    for i, (begin, end) in enumerate(grid):
        weights = [max(0.0, min(e, end) - max(s, begin)) for s, e in source.times]
        weights = np.array([w if ok and w > 1e-9 else 0.0 for w, ok in zip(weights, source.valid, strict=True)])
        weights = weights if method == "overlap" else np.sign(weights)
        if weights.sum() > 0:
            values[i] = (weights[:, None] * np.nan_to_num(source.values)).sum(0) / weights.sum()
    return values, ~np.isnan(values[:, 0])


@st.composite
def sources(draw):
    n = draw(st.integers(1, 12))
    starts = np.sort(np.array(draw(st.lists(st.integers(0, 40), min_size=n, max_size=n)), np.float64)) / 8
    lengths = np.array(draw(st.lists(st.integers(1, 24), min_size=n, max_size=n)), np.float64) / 8
    values = draw(st.lists(st.floats(-1e3, 1e3, width=32), min_size=n, max_size=n))
    valid = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return features(values, np.stack([starts, starts + lengths], axis=1), valid)


RATES = st.sampled_from([0.3, 1.0, 2.5, 8.0, 30.0])
EVERY = st.sampled_from(METHODS)


@pytest.mark.parametrize("method", ["overlap", "mean"])
@settings(max_examples=60, deadline=None)
@given(source=sources(), rate=RATES)
def test_a_mean_is_its_definition(method, source, rate):
    grid = regular_grid(9.0, rate)
    values, valid = align(source, grid, method)
    expected, expected_valid = by_definition(source, grid, method)
    assert (valid == expected_valid).all()
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-4)


@settings(max_examples=150, deadline=None)
@given(source=sources(), rate=RATES, method=EVERY)
def test_every_method_stays_within_what_was_measured_and_gives_a_mask(source, rate, method):
    grid = regular_grid(9.0, rate)
    values, valid = align(source, grid, method)
    assert values.shape == (len(grid), 1)
    assert values.dtype == np.float32
    assert (np.isnan(values).all(axis=1) == ~valid).all()
    overlapped = by_definition(source, grid, "overlap")[1]
    assert not (valid & ~overlapped).any()
    if valid.any():
        measured = source.values[source.valid]
        assert measured.min() <= values[valid].min()
        assert values[valid].max() <= measured.max()


@settings(max_examples=60, deadline=None)
@given(source=sources(), method=EVERY, seed=st.integers(0, 99))
def test_the_order_of_intervals_does_not_matter(source, method, seed):
    grid = regular_grid(9.0, 8.0)
    order = np.random.default_rng(seed).permutation(len(grid))
    values, valid = align(source, grid, method)
    shuffled = align(source, grid[order], method)
    np.testing.assert_allclose(shuffled.values, values[order], rtol=1e-6)
    assert (shuffled.valid == valid[order]).all()


@settings(max_examples=100, deadline=None)
@given(longer=st.integers(-3, 3), later=st.integers(-3, 3), frames=st.integers(7, 40), method=EVERY)
def test_modalities_that_disagree_by_frames_get_one_length_and_masks_that_say_so(longer, later, frames, method):
    """Video ends some frames before or after audio, or begins so: nothing is shifted, cut or made up."""
    frame = 0.04
    video = features(np.arange(frames), tiles(frames, frame))
    starts = (np.arange(frames + longer) + later) * frame
    audio = features(np.arange(frames + longer) + later, np.stack([starts, starts + frame], axis=1))
    grid = regular_grid(latest_end([video, audio]), 25)
    of_video, of_audio = align(video, grid, method), align(audio, grid, method)
    assert len(of_video.values) == len(of_audio.values) == max(frames, frames + longer + later)
    both = of_video.valid & of_audio.valid
    assert both.sum() == min(frames, frames + longer + later) - max(0, later)
    np.testing.assert_allclose(of_video.values[both], of_audio.values[both], atol=1e-5)
    assert (of_video.valid.sum(), of_audio.valid.sum()) == (frames, frames + longer - max(0, -later))


@settings(max_examples=60, deadline=None)
@given(source=sources(), at=st.floats(0, 9), method=EVERY)
def test_an_empty_window_has_nothing(source, at, method):
    values, valid = align(source, np.array([[at, at], [50.0, 51.0]]), method)
    assert np.isnan(values).all()
    assert not valid.any()


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(0, 6),
    length=st.integers(0, 8),
    side=st.sampled_from(SIDES),
    keep=st.sampled_from(KEEPS),
    fill=st.sampled_from([0.0, -1.0, np.nan]),
)
def test_fit_length_cuts_or_pads_on_the_side_asked_for(n, length, side, keep, fill):
    valid = np.arange(n) % 3 != 1
    values = np.where(valid[:, None], np.arange(10, 10 + n)[:, None], np.nan).astype(np.float32)
    fitted, mask = fit_length(values, valid, length, side, fill, keep)
    rows = [v if ok else None for v, ok in zip(range(10, 10 + n), valid, strict=True)]
    rows = rows[len(rows) - min(n, length) :] if keep == "last" else rows[:length]
    padding = [None] * (length - len(rows))
    expected = rows + padding if side == "end" else padding + rows
    assert mask.tolist() == [v is not None for v in expected]
    np.testing.assert_array_equal(fitted[:, 0], [fill if v is None else v for v in expected])
    assert fitted.dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=20), rate=st.sampled_from([0.7, 3.0, 25.0]))
def test_the_mean_over_time_is_conserved(lengths, rate):
    """Rows of any lengths without a gap: the mean over time after aligning is the one before."""
    ends = np.cumsum(lengths) * 0.04
    source = features(np.random.default_rng(sum(lengths)).standard_normal(len(ends)), _between(ends))
    grid = regular_grid(ends[-1], rate)
    values, valid = align(source, grid)
    assert valid.all()
    seconds = np.minimum(grid[:, 1], ends[-1]) - grid[:, 0]
    before = np.average(source.values[:, 0], weights=np.diff(source.times)[:, 0])
    assert np.average(values[:, 0], weights=seconds) == pytest.approx(before, abs=1e-5)


def _between(ends):
    return np.stack([np.r_[0.0, ends[:-1]], ends], axis=1)
