"""One feature's results in memory: compact arrays by clip number, and the rule which of several results counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage.store.shard_reader import Row

ABSENT = -1
_FIRST_SIZE = 64
KEPT, FORGOTTEN, AGAIN = range(3)


class Result(NamedTuple):
    """A result of one clip.

    Attributes:
        file: Number of the shard file.
        start: First row; -1 for a failure.
        stop: Row after the last one; for a failure its number in the index.
        generation: Of two results the one of the higher generation counts.
        inputs: Digest of each input it was made from.
    """

    file: int
    start: int
    stop: int
    generation: int
    inputs: Sequence[int]


class FeatureRows:
    """One feature's results, the one that counts of each clip.

    Attributes:
        file: Number of the shard file by clip number; -1 without a result.
        start: First row; -1 for a failure.
        stop: Row after the last one; a failure's number.
        generation: Of the result.
        inputs: (n, k) digests of its inputs; 0 where not known.
        removed: `FORGOTTEN` or `AGAIN` where a removal took the result away, see `removals.py`.
    """

    def __init__(self, width: int) -> None:
        self.file = np.full(_FIRST_SIZE, ABSENT, np.int32)
        self.start = np.full(_FIRST_SIZE, ABSENT, np.int64)
        self.stop = np.full(_FIRST_SIZE, ABSENT, np.int64)
        self.generation = np.zeros(_FIRST_SIZE, np.int32)
        self.inputs = np.zeros((_FIRST_SIZE, width), np.uint64)
        self.removed = np.zeros(_FIRST_SIZE, np.uint8)

    def reserve(self, size: int, width: int) -> None:
        """Make room.

        Args:
            size: Clips there are.
            width: Inputs that results have digests of.
        """
        if width > self.inputs.shape[1]:
            more = np.zeros((len(self.inputs), width - self.inputs.shape[1]), np.uint64)
            self.inputs = np.concatenate([self.inputs, more], axis=1)
        if size <= len(self.file):
            return
        room = max(size, len(self.file) + len(self.file) // 2) - len(self.file)
        for name in ("file", "start", "stop"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.full(room, ABSENT, array.dtype)]))
        for name in ("generation", "inputs", "removed"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros((room, *array.shape[1:]), array.dtype)]))

    def set(self, number: int, result: Result) -> None:
        """Put a result in place of what a clip has.

        Args:
            number: The clip.
            result: What counts from now on.
        """
        self.file[number], self.start[number], self.stop[number], self.generation[number] = result[:4]
        self.inputs[number] = 0
        self.inputs[number, : len(result.inputs)] = result.inputs

    def set_new(self, numbers: npt.NDArray[np.int64], file: int, found: Sequence[Row]) -> None:
        """Put in stored values of clips that have no result.

        Args:
            numbers: The clips.
            file: Number of the shard file.
            found: Their rows in it.
        """
        if not found:
            return
        start, stop, inputs, generation = zip(*found, strict=True)
        self.file[numbers], self.start[numbers], self.stop[numbers] = file, start, stop
        self.generation[numbers] = generation
        self.inputs[numbers] = 0
        self.inputs[numbers, : len(inputs[0])] = np.array(inputs, np.uint64).reshape(len(found), len(inputs[0]))

    def remove(self, numbers: Sequence[int] | None, generation: int, *, is_retry: bool) -> None:
        """Take results of lower generations away.

        Args:
            numbers: The clips; all if None.
            generation: Results of it and of higher ones stay.
            is_retry: Whether only failures are meant, which are to be tried again.
        """
        size = len(self.file)
        at = np.arange(size) if numbers is None else np.array([n for n in numbers if n < size], np.int64)
        lower = self.generation[at] < generation
        if is_retry:
            lower &= (self.start[at] < 0) & (self.removed[at] != FORGOTTEN)
        self.removed[at[lower]] = AGAIN if is_retry else FORGOTTEN

    def has_result(self, number: int) -> bool:
        """Whether a clip has a result that no removal took away.

        Args:
            number: The clip.
        """
        return number < len(self.file) and self.file[number] >= 0 and self.removed[number] == KEPT

    def is_retried(self, number: int) -> bool:
        """Whether a clip has a failure that is to be tried again.

        Args:
            number: The clip.
        """
        return number < len(self.file) and self.file[number] >= 0 and self.removed[number] == AGAIN

    @property
    def highest_generation(self) -> int:
        """Of all results."""
        return int(self.generation.max(initial=0))
