"""How speech networks of the wav2vec 2.0 family cut audio into steps, and long audio into passes. Plain arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

RATE = 16_000
BLOCK = 10 * RATE  # samples in a block of MERBench's scripts
PASS = 30 * RATE  # most samples in one pass of ours
LONGEST_PASS = 300 * RATE  # most samples of a recipe that is one pass: its memory grows with the square of them
PASS_HOP = 28 * RATE  # samples between its windows
CONV_KERNEL, CONV_STRIDE = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # where `config.json` does not say

Recipe = Literal["merflow", "mer2023", "merbench"]
Span = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Steps:
    """Where the steps of a network lie in its audio.

    Attributes:
        hop: Samples between the starts of two steps.
        window: Samples that the convolutions compute one step from, before the transformer mixes steps.
    """

    hop: int
    window: int

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Steps:
        """The receptive field of the convolutions that `config.json` describes."""
        kernels, strides = settings.get("conv_kernel", CONV_KERNEL), settings.get("conv_stride", CONV_STRIDE)
        reach = sum((kernel - 1) * prod(strides[:i]) for i, kernel in enumerate(kernels))
        return cls(prod(strides), 1 + reach)

    def count(self, samples: int) -> int:
        """Steps that a network gives for so many samples; 0 for too few."""
        return max((samples - self.window) // self.hop + 1, 0)

    def times(self, steps: int, *, in_blocks: bool) -> npt.NDArray[np.float64]:
        """(T, 2) seconds from the audio's start that each step is computed from.

        Args:
            steps: Number of steps T.
            in_blocks: Whether steps count afresh from every 10 s.
        """
        index = np.arange(steps)
        per_block = self.count(BLOCK)
        block, inside = np.divmod(index, per_block) if in_blocks else (np.zeros_like(index), index)
        starts = block * BLOCK + inside * self.hop
        return np.stack([starts, starts + self.window], axis=1) / RATE

    def window_plan(self, steps: int) -> list[Span]:
        """Overlapping windows of the recipe `merflow`, in steps.

        A window is 30 s (1,499 steps of 20 ms). Windows start 28 s apart; the last one ends with the last step, so it
        may overlap more. Where two windows overlap, the earlier one gives the first half and the later one the rest.

        Args:
            steps: Steps of the whole audio.

        Returns:
            For each window the first step it sees, the first it gives, and the one after the last it gives.
        """
        seen = self.count(PASS)
        last = max(steps - seen, 0)
        starts = [*range(0, last, PASS_HOP // self.hop), last]
        cuts = [0, *((one + seen + other) // 2 for one, other in pairwise(starts)), steps]
        return list(zip(starts, cuts, cuts[1:], strict=False))


def passes(wave: npt.NDArray[np.float32], recipe: Recipe, steps: Steps) -> list[npt.NDArray[np.float32]]:
    """Cut (N,) scaled samples into what the network sees at once.

    Args:
        wave: (N,) float32 scaled samples.
        recipe: How long audio is cut.
        steps: The network's steps.
    """
    if recipe == "merbench" and wave.size > BLOCK:
        return list(np.pad(wave, (0, -wave.size % BLOCK)).reshape(-1, BLOCK))
    if recipe == "merflow" and wave.size > PASS:
        plan = steps.window_plan(steps.count(wave.size))
        return [wave[first * steps.hop : first * steps.hop + PASS] for first, _, _ in plan]
    return [wave]


def joined(
    outputs: Sequence[npt.NDArray[np.float32]], samples: int, recipe: Recipe, steps: Steps
) -> npt.NDArray[np.float32]:
    """The inverse of `passes` for the network's outputs: (T, D) from (steps, D) of each pass.

    Args:
        outputs: What each pass gave.
        samples: Samples of the whole audio.
        recipe: The recipe.
        steps: The network's steps.
    """
    if recipe == "merflow" and len(outputs) > 1:
        plan = steps.window_plan(steps.count(samples))
        outputs = [rows[kept - first : end - first] for rows, (first, kept, end) in zip(outputs, plan, strict=True)]
    return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)


def padded(waves: Sequence[npt.NDArray[np.float32]]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64] | None]:
    """Stack waveforms of any length: (B, N) padded with zeros, and (B, N) with 1 for audio, None if all are as long."""
    longest = max(wave.size for wave in waves)
    if all(wave.size == longest for wave in waves):
        return np.stack(waves), None
    stacked = np.zeros((len(waves), longest), np.float32)
    mask = np.zeros((len(waves), longest), np.int64)
    for row, wave in enumerate(waves):
        stacked[row, : wave.size], mask[row, : wave.size] = wave, 1
    return stacked, mask
