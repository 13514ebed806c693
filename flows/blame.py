"""Whose an error is that nobody foresaw: the clip's, one worker's, or everybody's.

Where there are several workers, what one of them could not do is tried by another one before anything is concluded. If
that one can, the first worker is to blame, and after three clips it gets no more shards; if it cannot either, the
error is the clip's own, or everybody's (`unforeseen.Breaker`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from configs.errors import RunError
from flows.engines.engine import Engine, WorkerFaultError
from flows.job import ShardReport
from flows.unforeseen import SAME_ERRORS, Breaker, SameErrorsError, Unforeseen
from storage.wording import counted


class Blame:
    """Judges the errors of one run.

    Args:
        engine: Where its shards run.
        say: Told when a worker is to blame.

    Attributes:
        workers: What was found of each worker that is to blame, a line for each.
    """

    def __init__(self, engine: Engine, say: Callable[[str], None]) -> None:
        self._engine, self._say = engine, say
        self._breaker = Breaker()
        self._doubts: dict[str, tuple[str, list[Unforeseen]]] = {}
        self._faults: dict[str, WorkerFaultError] = {}
        self._strikes: defaultdict[str, dict[str, Unforeseen]] = defaultdict(dict)
        self.workers: dict[str, str] = {}

    def finished(self, report: ShardReport, *, is_second: bool) -> tuple[list[Unforeseen], list[Unforeseen]]:
        """A shard is finished.

        Args:
            report: Of the shard.
            is_second: Whether another worker had errors with these very clips.

        Returns:
            Errors that are their clips' own, and those that another worker is to try first.

        Raises:
            RunError: If the same error came from three clips, with no success in between, and from two workers where
                there are two.
        """
        if any(error.source in report.succeeded for error in self._strikes[report.address].values()):
            del self._strikes[report.address]
        worker, doubts = self._doubts.pop(report.shard, ("", []))
        for fault in list(self._faults.values()):
            if fault.worker != report.address and _is_disproved(fault.error, report.succeeded):
                del self._faults[fault.worker]
        if not report.stopped:
            again = {(error.clip.id, error.feature) for error in report.unforeseen}
            self._strike(worker, [e for e in doubts if (e.clip.id, e.feature) not in again])
        own = self._breaker.succeeded(report.succeeded)
        if report.unforeseen and not is_second and self._engine.has_other(report.address):
            return own, report.unforeseen
        for error in report.unforeseen:
            self._breaker.failed(error)
        return own, []

    def tried_elsewhere(self, shard: str, worker: str, errors: list[Unforeseen]) -> None:
        """Errors of one worker go to another one.

        Args:
            shard: Id of the shard in which that happens.
            worker: Where they came from.
            errors: The errors.
        """
        self._doubts[shard] = worker, errors

    def failed(self, fault: WorkerFaultError) -> None:
        """A worker cannot do what it is asked; its shard goes to another one.

        Raises:
            RunError: If another worker said the same, and nothing has succeeded since.
        """
        others = [f for worker, f in self._faults.items() if worker != fault.worker and f.kind == fault.kind]
        if others:
            where = f"the same on {others[0].worker} and on {fault.worker}, with no success in between"
            raise RunError(f"{fault.error} ({where}); the same command resumes")
        self._faults[fault.worker] = fault
        if fault.worker not in self.workers:
            self._blame(fault.worker, f"{fault.error}; it gets no more shards, other workers do them")

    def pending(self) -> list[Unforeseen]:
        """Errors of which it is not known yet whose they are."""
        return self._breaker.pending()

    def _strike(self, worker: str, healed: Iterable[Unforeseen]) -> None:
        """Another worker had no such errors."""
        strikes = self._strikes[worker]
        before = len(strikes)
        strikes |= {error.clip.id: error for error in healed}
        if len(strikes) == before:
            return
        clips, last = counted(len(strikes), "clip"), next(reversed(strikes.values()))
        said = f"{clips} failed there that another worker could do: {last.failure.message}"
        if len(strikes) >= SAME_ERRORS and self._engine.avoid(worker):
            said += "; it gets no more shards"
        self._blame(worker, said, is_new=before == 0 or before < SAME_ERRORS <= len(strikes))

    def _blame(self, worker: str, said: str, *, is_new: bool = True) -> None:
        self.workers[worker] = f"worker {worker}: {said}"
        if is_new:
            self._say(self.workers[worker])


def _is_disproved(error: Exception, succeeded: set[str]) -> bool:
    """Whether what another worker did shows that an error is not everybody's."""
    return error.source in succeeded if isinstance(error, SameErrorsError) else bool(succeeded)
