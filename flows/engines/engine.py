"""What an engine is, and the ways in which a shard can be lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from configs.errors import RunError
from flows.job import Job, OnClip, ShardReport

RETRY_SECONDS = (2.0, 10.0)


class WorkerLostError(Exception):
    """A worker process died while it held a shard."""


class WorkerFaultError(Exception):
    """A worker raised what may be its own fault: another one is to try the shard.

    Args:
        worker: Its address.
        error: What it raised.
        kind: What makes two errors the same one.
    """

    def __init__(self, worker: str, error: Exception, kind: str) -> None:
        super().__init__(worker, error, kind)
        self.worker, self.error, self.kind = worker, error, kind


class StoppedError(Exception):
    """The engine was closed, by an interrupt, before the shard was done."""


class Engine(Protocol):
    """Runs shards.

    Attributes:
        name: For people.
    """

    name: str

    @property
    def workers(self) -> int:
        """Shards that run at the same time, now."""

    def run(self, job: Job, on_clip: OnClip) -> ShardReport:
        """Run one shard and wait for it; called from several threads.

        Args:
            job: The shard and what to do with it.
            on_clip: Called after each clip with whether it failed, by engines that hear of it.

        Raises:
            WorkerLostError: If its worker died.
            WorkerFaultError: If its worker raised what may be its own fault.
            StoppedError: If the engine was closed meanwhile.
        """

    def has_other(self, worker: str) -> bool:
        """Whether there is a worker beside this one that gets shards.

        Args:
            worker: Its address.
        """

    def avoid(self, worker: str) -> bool:
        """Give a worker no more shards.

        Args:
            worker: Its address.

        Returns:
            Whether there is another one; else nothing changes.
        """

    def stop(self) -> None:
        """Give up the shards that run now."""


class OneWorker:
    """An engine of one worker: there is no other that could do what it cannot."""

    workers = 1

    def has_other(self, worker: str) -> bool:
        """There is none.

        Args:
            worker: Not looked at.
        """
        return False

    def avoid(self, worker: str) -> bool:
        """There is no other.

        Args:
            worker: Not looked at.
        """
        return False


def run_patiently(engine: Engine, job: Job, on_clip: OnClip, pause: Callable[[float], bool]) -> ShardReport:
    """Run a shard; again after a pause where it was no worker's death and nobody's fault that is known.

    Args:
        engine: Where it runs.
        job: The shard and what to do with it.
        on_clip: Called after each clip with whether it failed, by engines that hear of it.
        pause: Waits some seconds; gives whether the run is to stop.

    Raises:
        WorkerFaultError: If its worker raised what may be its own fault, and another one can try.
        Exception: What the last try raised, be it by a worker or by what connects them.
    """
    pauses = iter(RETRY_SECONDS)
    while True:
        try:
            return engine.run(job, on_clip)
        except (RunError, WorkerLostError, StoppedError):
            raise
        except Exception as raised:
            error = raised
            if isinstance(raised, WorkerFaultError):
                if engine.avoid(raised.worker):
                    raise
                error = raised.error
            seconds = next(pauses, None)
            if seconds is None or isinstance(error, RunError) or pause(seconds):
                raise error from None
