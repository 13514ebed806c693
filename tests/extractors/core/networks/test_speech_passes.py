from __future__ import annotations

import numpy as np
import pytest

from extractors.core.networks.speech_passes import Steps


@pytest.mark.parametrize(
    ("steps", "plan"),
    [
        (1, [(0, 0, 1)]),
        (1499, [(0, 0, 1499)]),
        (1500, [(0, 0, 750), (1, 750, 1500)]),
        (2899, [(0, 0, 1449), (1400, 1449, 2899)]),
        (2900, [(0, 0, 1449), (1400, 1449, 2150), (1401, 2150, 2900)]),
    ],
)
def test_windows_overlap_and_are_cut_in_the_middle(steps: int, plan: list[tuple[int, int, int]]) -> None:
    assert Steps(320, 400).window_plan(steps) == plan
    assert all(start <= kept < end <= start + 1499 for start, kept, end in plan)


def test_step_times_of_blocks() -> None:
    times = Steps(320, 400).times(1000, in_blocks=True)
    np.testing.assert_allclose(times[[0, 498, 499, 998], 0], [0.0, 9.96, 10.0, 20.0])
    np.testing.assert_allclose(Steps(320, 400).times(1000, in_blocks=False)[-1], [19.98, 20.005])
