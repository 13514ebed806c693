"""What an engine is, and the two ways in which a shard can be lost."""

from __future__ import annotations

from typing import Protocol

from flows.job import Job, OnClip, ShardReport


class WorkerLostError(Exception):
    """A worker process died while it held a shard."""


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
            StoppedError: If the engine was closed meanwhile.
        """

    def stop(self) -> None:
        """Give up the shards that run now."""
