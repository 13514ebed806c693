"""The one engine that runs networks in batches: a stream of units in, outputs out, within the device's memory.

A unit is the input of one pass, such as a window of audio or a crop of a face. Units of several clips share batches;
only as many are held as one batch and some choice for it need, never all units of all clips.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from storage.errors import ClipError

UnitT = TypeVar("UnitT")
OutputT = TypeVar("OutputT")
WINDOW_BYTES = 256 << 20


def size_of(unit: object) -> int:
    """Bytes of a unit in this machine's memory; 0 where it does not say."""
    return int(getattr(unit, "nbytes", 0))


class Batcher(Generic[UnitT, OutputT]):
    """Runs units in batches of similar size.

    Of the units held, the most costly one starts a batch, so that little of it is padding and a batch that does not
    fit shows at once. When the device is out of memory, batches are halved from then on; each time either the batch
    shrinks or its only unit is given up, so that this ends.

    Args:
        run: Gives one output for each unit of a batch, in order.
        cost: Size of a unit, such as its samples or pixels. A batch costs its largest unit times its length.
        budget: Most that a batch may cost. A unit that costs more runs alone; 0 runs all of them alone.
        group: Only units for which this gives equal values share a batch.
        size: Bytes of a unit in this machine's memory.
        window_bytes: Most bytes of units held at once, except that one unit always is.

    Attributes:
        budget: Lower once a batch did not fit.
    """

    def __init__(
        self,
        run: Callable[[list[UnitT]], list[OutputT]],
        *,
        cost: Callable[[UnitT], int],
        budget: int,
        group: Callable[[UnitT], Hashable] = lambda _: None,
        size: Callable[[UnitT], int] = size_of,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self._run, self._cost, self._group, self._size = run, cost, group, size
        self._window_bytes = window_bytes
        self.budget = budget

    def stream(self, units: Iterable[UnitT]) -> Iterator[tuple[list[UnitT], list[OutputT | ClipError]]]:
        """Run units as they come.

        Outputs of a batch are given after the next batch was started: where a device computes on its own, whoever
        reads the outputs waits while the next batch is under way.

        Args:
            units: The units; read only as far as they are needed.

        Yields:
            The units of each batch, and for each its output, or `out_of_memory` if the device could not even hold it
            alone.
        """
        source, held = iter(units), list[UnitT]()
        done: tuple[list[UnitT], list[OutputT | ClipError]] | None = None
        while True:
            self._fill(source, held)
            if not held:
                break
            batch = self._next_batch(held)
            outputs = self._attempt(batch)
            if isinstance(outputs, ClipError) and len(batch) > 1:
                self.budget = self._cost(batch[0]) * (len(batch) // 2)
                continue
            taken = {id(unit) for unit in batch}
            held[:] = [unit for unit in held if id(unit) not in taken]
            if done is not None:
                yield done
            done = batch, [outputs] if isinstance(outputs, ClipError) else list[OutputT | ClipError](outputs)
        if done is not None:
            yield done

    def _fill(self, source: Iterator[UnitT], held: list[UnitT]) -> None:
        held_bytes = sum(map(self._size, held))
        while not held or (self.budget and held_bytes < self._window_bytes):
            unit: Any = next(source, _END)
            if unit is _END:
                return
            held.append(unit)
            held_bytes += self._size(unit)

    def _next_batch(self, held: list[UnitT]) -> list[UnitT]:
        """The most costly unit and as many of the next ones as may join it."""
        ordered = sorted(held, key=self._cost, reverse=True)
        first = ordered[0]
        room = max(self.budget // max(self._cost(first), 1), 1)
        return [unit for unit in ordered if self._group(unit) == self._group(first)][:room]

    def _attempt(self, batch: list[UnitT]) -> list[OutputT] | ClipError:
        import torch

        try:
            return self._run(batch)
        except torch.OutOfMemoryError as error:
            failed = ClipError("out_of_memory", " ".join(str(error).split())[:200])
        # Only here, after the error and with it the batch's tensors are gone, can the memory be given back.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return failed


_END = object()
