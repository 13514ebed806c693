"""Units of several clips on their way through a network: made ahead within bounds, and sorted back by clip."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from extractors.core.networks.batching import Batcher, size_of
from storage.errors import ClipError

PREPARED_BYTES = 256 << 20  # most bytes of one clip's units that wait for the network
UnitT = TypeVar("UnitT")
OutputT = TypeVar("OutputT")
_END = object()


class UnitStream(Generic[UnitT]):
    """A clip's units, of which the first may be made ahead on another thread.

    Args:
        units: Makes the units; may raise a ClipError at any point.

    Attributes:
        seconds: Wall seconds spent on making units.
        held_bytes: Bytes of the units that were made ahead and not yet taken.
    """

    def __init__(self, units: Iterator[UnitT]) -> None:
        self._rest = units
        self._ahead: list[UnitT] = []
        self._error: ClipError | None = None
        self.seconds = 0.0
        self.held_bytes = 0

    def make_ahead(self, most_bytes: int = PREPARED_BYTES) -> None:
        """Make units until there are no more, or they fill a memory bound; an error is kept for `__iter__`."""
        while self.held_bytes < most_bytes:
            try:
                unit = self._next()
            except ClipError as error:
                self._error = error
                return
            if unit is _END:
                return
            self._ahead.append(unit)
            self.held_bytes += size_of(unit)

    def __iter__(self) -> Iterator[UnitT]:
        """The units in order, each held until it is taken.

        Raises:
            ClipError: Why this clip has no values.
        """
        self._ahead.reverse()
        while self._ahead:
            unit = self._ahead.pop()
            self.held_bytes -= size_of(unit)
            yield unit
        if self._error is not None:
            raise self._error
        while (last := self._next()) is not _END:
            yield last

    def _next(self) -> Any:
        begin = time.perf_counter()
        try:
            return next(self._rest, _END)
        finally:
            self.seconds += time.perf_counter() - begin


@dataclass(frozen=True, slots=True, eq=False)
class _Owned(Generic[UnitT]):
    """A unit, the clip that it is of, and its place in the clip."""

    clip: int
    number: int
    unit: UnitT


def run_clips(
    clips: Sequence[UnitStream[UnitT]],
    forward: Callable[[list[UnitT]], list[OutputT]],
    *,
    cost: Callable[[UnitT], int],
    budget: int,
    group: Callable[[UnitT], Hashable],
) -> list[list[OutputT] | ClipError]:
    """Run the units of several clips in batches that they share.

    Args:
        clips: The units of each clip.
        forward: Gives one output for each unit of a batch, in order.
        cost: Size of a unit.
        budget: Most that a batch may cost; 0 runs units alone.
        group: Only units for which this gives equal values share a batch.

    Returns:
        For each clip the outputs of its units in order, or why it has none; a clip that fails takes no other with it.
    """
    errors: dict[int, ClipError] = {}
    outputs: list[dict[int, OutputT]] = [{} for _ in clips]

    def owned_units() -> Iterator[_Owned[UnitT]]:
        for clip, units in enumerate(clips):
            try:
                yield from (_Owned(clip, number, unit) for number, unit in enumerate(units))
            except ClipError as error:
                errors[clip] = error

    batcher = Batcher[_Owned[UnitT], OutputT](
        lambda batch: forward([one.unit for one in batch]),
        cost=lambda one: cost(one.unit),
        budget=budget,
        group=lambda one: group(one.unit),
        size=lambda one: size_of(one.unit),
    )
    for batch, results in batcher.stream(owned_units()):
        for one, output in zip(batch, results, strict=True):
            if isinstance(output, ClipError):
                errors[one.clip] = output
            else:
                outputs[one.clip][one.number] = output
        del batch, results, one, output  # or this loop would hold them while the next units are made
    return [errors.get(i) or [of_clip[k] for k in sorted(of_clip)] for i, of_clip in enumerate(outputs)]
