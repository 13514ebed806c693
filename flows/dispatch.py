"""Hands the shards of a run to an engine and sees to what becomes of them; knows neither Prefect nor Dask.

A worker that dies costs what it had not published. The clips that it had in hand are tried again one at a time, after
all others: only one that dies alone has failed, and its neighbours are not blamed. What is about no clip (a store that
cannot be written, the same unforeseen error everywhere, no worker left) ends the run at once.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from typing import Any

from configs.errors import RunError
from configs.paths import as_path
from flows.blame import Blame
from flows.engines.engine import Engine, StoppedError, WorkerFaultError, WorkerLostError, run_patiently
from flows.flight import LastSeen, last_seen
from flows.job import Job, RunContext, ShardReport, remaining, versions
from flows.progress import Progress
from flows.publisher import publish_part, published_parts
from flows.shards import elsewhere, singles, without
from flows.sharing import Listed, Source
from flows.unforeseen import SAME_ERRORS, Unforeseen
from storage.clip import Clip
from storage.identity import input_digests
from storage.records import Failure
from storage.store.files import remove, write_small
from storage.store.layout import flight_path, stop_path
from storage.store.publication import ShardFeature
from storage.store.runs import now
from storage.store.shard_reader import ShardContents
from storage.store.shard_writer import Entry

STOP_SECONDS = 10.0
MOST_DEATHS = 3
MOST_WORKERS = 4096

Watched = Callable[[Job, "Future[ShardReport]"], None]


class Dispatch:
    """The shards of one run on their way through an engine.

    Args:
        engine: Where they run.
        jobs: Where the shards come from.
        context: What they have in common.
        progress: Told how far the run is.

    Attributes:
        was_run: Whether `go` was called.
    """

    def __init__(self, engine: Engine, jobs: Source, context: RunContext, progress: Progress) -> None:
        self.engine, self.jobs, self.context, self.progress = engine, jobs, context, progress
        self.store = as_path(context.store)
        self.outcomes: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()
        self.decoded_again = 0
        self.shards: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.was_run = False
        self._blame = Blame(engine, progress.say)
        self._same: list[str] = []
        self._told: dict[str, bool] = {}
        self._released = 0
        self._deaths: Counter[str] = Counter()
        self._pool = ThreadPoolExecutor(MOST_WORKERS, "merflow-shard")  # the window below is the real bound
        self._pending: dict[Future[ShardReport], Job] = {}
        self._stopping = threading.Event()
        self._deadline = 0.0
        self._watch: Watched | None = None

    def start(self) -> None:
        """Begin to work; `go` does the rest."""
        self._fill(self.jobs)

    def go(self, watch: Watched | None = None) -> dict[str, Any]:
        """Work until nothing is left.

        Args:
            watch: Told of each shard, and of the future that has its report.

        Returns:
            `outcomes` (pairs by state), `flags` (clips with unusual media, by flag), `seconds` (wall seconds by stage,
            summed over workers), `shards` (worker, clips, wall seconds and those waited for decoding), `errors` (a line
            per shard that could not be finished), `blamed` (a line per worker that could not do what others could).

        Raises:
            RunError: If the run cannot go on.
            KeyboardInterrupt: If it was interrupted; what was finished is published.
        """
        self.was_run = True
        if watch is not None:
            self._watch = watch
            for future, job in self._pending.items():
                watch(job, future)
        try:
            alone: list[Job] = []
            self._run_and_repeat(self.jobs, lambda left, seen: alone.extend(singles(left, seen.clips)))
            self._run_and_repeat(Listed(alone), self._record_death)
            self._record(self._blame.pending())
        finally:
            self._stopping.set()
            self._pool.shutdown(wait=False, cancel_futures=True)
            if self._pending:
                self.engine.stop()
        return {
            "outcomes": dict(self.outcomes),
            "seconds": dict(self.seconds),
            "flags": dict(sorted(self.flags.items())),
            "decoded_again": self.decoded_again,
            "shards": self.shards,
            "errors": self.errors,
            "blamed": list(self._blame.workers.values()),
        }

    def interrupt(self) -> list[str]:
        """Ask the workers to stop after the clip in hand; what is finished is published.

        Returns:
            Ids of the clips in hand.
        """
        self._deadline = time.monotonic() + STOP_SECONDS
        self._stopping.set()
        with suppress(OSError):
            write_small(stop_path(self.store, self.context.run), "")
        flights = (last_seen(flight_path(self.store, self.context.run, j.shard.id)) for j in self._pending.values())
        return sorted({clip_id for seen in flights for clip_id in seen.clips})

    def is_stopping(self) -> bool:
        """Whether the run was interrupted."""
        return self._stopping.is_set()

    def _fill(self, jobs: Source) -> None:
        while len(self._pending) < 2 * self.engine.workers and (job := jobs.take()) is not None:
            self._submit(job)

    def _submit(self, job: Job) -> None:
        future = self._pool.submit(run_patiently, self.engine, job, self._clip_done, self._stopping.wait)
        self._pending[future] = job
        if self._watch is not None:
            self._watch(job, future)

    def _run_all(self, jobs: Source) -> list[Job]:
        """Run jobs through a bounded window; return those whose worker died."""
        lost: list[Job] = []
        while True:
            if not self._stopping.is_set():
                self._fill(jobs)
            elif not self._pending or time.monotonic() > self._deadline:
                raise KeyboardInterrupt
            if not self._pending:
                if jobs.is_empty:
                    return lost
                self._stopping.wait(0.5)
                continue
            done, _ = wait(self._pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                job = self._pending.pop(future)
                error = future.exception()
                if error is None:
                    self._finished(job, future.result())
                    if not future.result().unforeseen:
                        jobs.done(job)
                elif isinstance(error, WorkerLostError):
                    lost.append(job)
                else:
                    self._raised(job, error)

    def _raised(self, job: Job, error: BaseException) -> None:
        """A shard could not be run, and no worker died."""
        if isinstance(error, RunError):
            raise error
        if isinstance(error, WorkerFaultError):
            self._blame.failed(error)
            if not self._stopping.is_set():
                self._submit(elsewhere(self._left_of(job), error.worker))
        elif not (isinstance(error, StoppedError) and self._stopping.is_set()):
            self._unfinished(job, error)

    def _clip_done(self, clip: Clip, failed: bool) -> None:
        self._told[clip.id] = failed
        self.progress.clips_done(1, int(failed))

    def _count(self, clips: Iterable[Clip], done: int, failed: int) -> None:
        """Clips of a shard are done; some of them may have been told of one by one."""
        told = [self._told.pop(clip.id) for clip in clips if clip.id in self._told]
        done, failed = done - len(told), failed - sum(told)
        if done or failed:
            self.progress.clips_done(done, failed)

    def _finished(self, job: Job, report: ShardReport) -> None:
        self._same.clear()
        own, doubtful = self._blame.finished(report, is_second=bool(job.not_on))
        again = {error.clip.id for error in doubtful}
        if report.stopped:
            self._told.clear()
        else:
            self._count(job.shard.clips, report.clips - len(again), report.failed_clips - len(again))
        self.outcomes.update(report.outcomes)
        self.seconds.update(report.seconds)
        self.flags.update(report.flags)
        self.decoded_again += report.decoded_again
        done = {"shard": report.shard, "worker": report.worker, "clips": report.clips, "finished": now()}
        self.shards.append(done | {"seconds": round(report.wall, 3), "waited": round(report.waited, 3)})
        self.progress.failures(report.failures)
        self._record(own)
        if doubtful and not report.stopped:
            second = elsewhere(remaining(job, self._published(job)), report.address)
            self._blame.tried_elsewhere(second.shard.id, report.address, doubtful)
            self._submit(second)

    def _unfinished(self, job: Job, error: BaseException) -> None:
        said = f"{type(error).__name__}: {error}"
        self.errors.append(f"shard {job.shard.id} ({len(job.shard.clips)} clips): {said}")
        self._same.append(type(error).__name__)
        if self._same[-SAME_ERRORS:].count(type(error).__name__) == SAME_ERRORS:
            raise RunError(f"{SAME_ERRORS} shards in a row could not be run: {said}; the same command resumes")

    def _after_death(self, job: Job) -> tuple[Job, LastSeen]:
        """What a shard whose worker died still misses, and what that worker had in hand."""
        path = flight_path(self.store, self.context.run, job.shard.id)
        seen = last_seen(path)
        with suppress(OSError):
            remove(path)
        left = self._left_of(job)
        return left, replace(seen, clips=seen.clips & left.todo.keys())

    def _left_of(self, job: Job) -> Job:
        """What a shard still misses whose worker has told of nothing."""
        published = self._published(job)
        for contents in published:
            self.outcomes["stored"] += len(contents.rows)
            self.outcomes.update(failed.failure.state for failed in contents.failures)
        left = remaining(job, published)
        self._count(job.shard.clips, len(job.shard.clips) - len(left.todo), 0)
        return left

    def _published(self, job: Job) -> list[ShardContents]:
        return published_parts(self.store, list(self.context.specs.values()), job.shard.id)[0]

    def _run_and_repeat(self, jobs: Source, suspect: Callable[[Job, LastSeen], None]) -> None:
        """Run jobs; those whose worker died again, without the clips that it had in hand.

        Args:
            jobs: The jobs.
            suspect: Called with what is left of a job whose worker died, and what that worker had in hand.
        """
        lost = self._run_all(jobs)
        while lost:
            again = []
            for job in lost:
                left, seen = self._after_death(job)
                if seen.clips:
                    suspect(left, seen)
                rest = without(left, seen.clips)
                origin = rest.shard.id.partition("-again")[0]
                self._deaths[origin] = 0 if seen.clips else self._deaths[origin] + 1
                if rest.todo and self._deaths[origin] < MOST_DEATHS:
                    again.append(rest)
                elif rest.todo:
                    self.errors.append(f"shard {origin}: its worker died {MOST_DEATHS} times with no clip in hand")
            lost = self._run_all(Listed(again))

    def _record_death(self, job: Job, seen: LastSeen) -> None:
        (clip,) = job.shard.clips
        reason, message = seen.verdict(self.context.limit(clip))
        inputs, failed = input_digests(clip), {}
        for feature, attempt in job.todo[clip.id].items():
            failure = Failure(clip.id, feature, reason, message, attempt=attempt)
            failed[feature] = [Entry(clip.id, failure, inputs, generation=self.context.generation)]
        self._publish(f"{job.shard.id}-death", failed)
        self.progress.failures([entry.outcome for (entry,) in failed.values() if isinstance(entry.outcome, Failure)])
        self._count([clip], 1, 1)

    def _record(self, errors: Iterable[Unforeseen]) -> None:
        """Publish errors that are their clips' own."""
        failed: dict[str, list[Entry]] = {}
        errors = list(errors)
        self.progress.failures([error.failure for error in errors])
        for error in errors:
            failed.setdefault(error.feature, []).append(error.entry(self.context.generation))
        if failed:
            self._publish(f"{self.context.run}-errors-{self._released:03d}", failed)
            self._released += 1

    def _publish(self, name: str, failed: Mapping[str, Sequence[Entry]]) -> None:
        """Publish clips that failed for a reason that no worker lives to publish, or that had to wait, by feature."""
        attributes = {"run": self.context.run, "versions": versions()}
        features = [ShardFeature(self.context.specs[n], entries, attributes) for n, entries in failed.items()]
        publish_part(self.store, name, features)
        self.outcomes["failed"] += sum(map(len, failed.values()))
