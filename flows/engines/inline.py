"""The engine `inline`: in this process, for a debugger."""

from __future__ import annotations

import threading

from flows.engines.engine import OneWorker, StoppedError
from flows.job import Job, OnClip, ShardReport
from flows.worker import extract_shard


class Inline(OneWorker):
    """One shard at a time in this process: for a debugger. A clip that kills its process ends the run."""

    name = "in this process"

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._stopped = False

    def run(self, job: Job, on_clip: OnClip) -> ShardReport:
        """Run one shard here.

        Args:
            job: The shard and what to do with it.
            on_clip: Called after each clip.
        """
        with self._turn:
            if self._stopped:
                raise StoppedError("the run was interrupted")
            return extract_shard(job, on_clip)

    def stop(self) -> None:
        """Begin no other shard; one that runs now ends at its next clip."""
        self._stopped = True
