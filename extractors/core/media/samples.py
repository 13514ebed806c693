"""Samples of hours, held once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BLOCK = 1 << 20  # samples


class Samples:
    """Samples as they come. Hours of them are a few large blocks of 16 bits, which go back to the system at the end."""

    def __init__(self) -> None:
        self._small: list[npt.NDArray[np.int16]] = []
        self._large: list[npt.NDArray[np.int16]] = []
        self._waiting = 0

    def add(self, samples: npt.NDArray[np.int16]) -> None:
        """Keep some more; (N,), copied."""
        self._small.append(samples.copy())
        self._waiting += samples.size
        if self._waiting >= BLOCK:
            self._join()

    def _join(self) -> None:
        if self._small:
            self._large.append(np.concatenate(self._small))
        self._small, self._waiting = [], 0

    def take(self) -> npt.NDArray[np.float32]:
        """All of them, about -1..1; none is left."""
        self._join()
        whole = np.empty(sum(block.size for block in self._large), np.float32)
        end = whole.size
        while self._large:
            block = self._large.pop()
            np.divide(block, np.float32(32_768), out=whole[end - block.size : end], dtype=np.float32)
            end -= block.size
        return whole
