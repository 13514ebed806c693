from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from extractors.videomae import eight_pairs, row_times, sliding, two_segment, uniform16

SAMPLINGS = [uniform16, two_segment, sliding, eight_pairs]


def of_the_scripts(count: int) -> tuple[list[int], list[int]]:
    """What MERTools' two samplings take of `count` frames, written out anew."""
    taken = np.arange(0, count, count / min(16, count)).astype(int).tolist()
    fourth = np.arange(count)[::4].tolist()
    long = fourth + [fourth[-1]] * max(16 - len(fourth), 0)
    return (taken + [taken[-1]] * 16)[:16], long[:16] + long[len(long) - 16 :]


@pytest.mark.parametrize("count", [1, 5, 15, 16, 17, 40, 63, 64, 65, 100, 250])
def test_the_samplings_are_those_of_the_scripts(count: int) -> None:
    assert (uniform16(count), two_segment(count)) == of_the_scripts(count)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (5, [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]),
        (16, list(range(16))),
        (40, [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 30, 32, 35, 37]),
        (64, list(range(0, 64, 4))),
        (100, [0, 6, 12, 18, 25, 31, 37, 43, 50, 56, 62, 68, 75, 81, 87, 93]),
    ],
)
def test_uniform16(count: int, expected: list[int]) -> None:
    assert uniform16(count) == expected


@pytest.mark.parametrize(
    ("count", "first", "last"),
    [
        (5, [0] + [4] * 15, [0] + [4] * 15),
        (16, [0, 4, 8] + [12] * 13, [0, 4, 8] + [12] * 13),
        (40, [*range(0, 40, 4)] + [36] * 6, [*range(0, 40, 4)] + [36] * 6),
        (64, list(range(0, 64, 4)), list(range(0, 64, 4))),
        (100, list(range(0, 64, 4)), list(range(36, 100, 4))),
    ],
)
def test_two_segment(count: int, first: list[int], last: list[int]) -> None:
    assert two_segment(count) == first + last


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [0] * 16),
        (2, [0, 1] * 8),
        (9, [0, 1] * 8),
        (10, [0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 6, 7, 7, 8, 8, 9]),
        (25, [1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 20, 22, 23]),
    ],
)
def test_eight_pairs(count: int, expected: list[int]) -> None:
    assert eight_pairs(count) == expected


@pytest.mark.parametrize(
    ("count", "stride", "starts"),
    [
        (16, 16, [0]),
        (17, 16, [0, 1]),
        (32, 16, [0, 16]),
        (40, 16, [0, 16, 24]),
        (40, 8, [0, 8, 16, 24]),
        (41, 20, [0, 20, 25]),
    ],
)
def test_sliding_windows_are_whole_and_end_with_the_clip(count: int, stride: int, starts: list[int]) -> None:
    assert sliding(count, stride) == [start + k for start in starts for k in range(16)]


def test_sliding_on_a_short_clip_repeats_the_last_frame() -> None:
    assert sliding(5) == uniform16(5)


@pytest.mark.parametrize("count", [1, 2, 5, 9, 15, 16, 17, 40, 64, 100])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_row_times_tile_what_was_taken(count: int, sampling: Any) -> None:
    stamps = np.stack([np.arange(count), np.arange(1, count + 1)], axis=1) / 25
    picked = np.array(sampling(count))[:16]
    times = row_times(stamps[picked])
    assert times.shape == (8, 2)
    assert (times[:, 1] > times[:, 0]).all()
    np.testing.assert_array_equal(times[1:, 0], times[:-1, 1])
    assert times[0, 0] == stamps[picked[0], 0]
    assert times[-1, 1] == stamps[picked[-1], 1]


def test_row_times_of_a_short_clip_share_the_last_frame() -> None:
    stamps = np.stack([np.arange(5.0), np.arange(1.0, 6.0)], axis=1)[uniform16(5)]
    edges = [0.0, 2.0, 4.0, *(4 + np.arange(1, 7) / 6)]
    np.testing.assert_allclose(row_times(stamps), np.stack([edges[:-1], edges[1:]], axis=1))
