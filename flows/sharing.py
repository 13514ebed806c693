"""The shards of a run whose store other runs work on too.

What they hold is left to them, and what they did since this run was planned is not done again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from flows.job import Job, remaining
from flows.places import store_unwritable
from flows.shards import next_name, part_of
from storage.errors import StoreError
from storage.identity import input_digests
from storage.store.files import list_files, shard_names
from storage.store.layout import BEAT_FILES, RUN_RECORDS, features_path
from storage.store.leases import Leases
from storage.store.shard_reader import ShardContents, read_contents
from storage.wording import counted

LOOK_SECONDS = 1.0


class Source(Protocol):
    """Jobs, one after another."""

    @property
    def is_empty(self) -> bool:
        """Whether no job will come any more."""

    def take(self) -> Job | None:
        """The next job; None if there is none now."""

    def done(self, job: Job) -> None:
        """A job is finished."""


class Listed:
    """Jobs that are nobody else's.

    Args:
        jobs: The jobs.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = iter(jobs)
        self.is_empty = False

    def take(self) -> Job | None:
        """The next job."""
        job = next(self._jobs, None)
        self.is_empty = job is None
        return job

    def done(self, job: Job) -> None:
        """Nothing is to be given back."""


class Surroundings:
    """What was known of a store's other runs before a run looked at what is missing.

    Args:
        store: Folder of the store.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self.runs = set(list_files(store, RUN_RECORDS))
        self.has_others = bool(list_files(store, BEAT_FILES))


class SharedJobs:
    """Jobs that other runs may work on too.

    Args:
        jobs: The jobs.
        leases: What this run holds.
        around: What was known of other runs before the jobs were planned.
        known: Names of the shard files that were known then.
        wait: Whether to wait for what others hold; else it is left to them.
        say: Told what is waited for.
    """

    def __init__(
        self,
        jobs: Iterator[Job],
        leases: Leases,
        around: Surroundings,
        known: Collection[str],
        say: Callable[[str], None],
        *,
        wait: bool,
    ) -> None:
        self._jobs, self._leases, self._around, self._say, self._wait = jobs, leases, around, say, wait
        self._known = set(known)
        self._news: list[ShardContents] = []
        self._deferred: deque[Job] = deque()
        self._is_last = False
        self._looked = 0.0
        self._has_said = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left but what others hold and is not waited for."""
        return self._is_last and not (self._wait and self._deferred)

    def take(self) -> Job | None:
        """The next job that this run has claimed, without what others have done since it was planned."""
        while not self._is_last:
            job = next(self._jobs, None)
            self._is_last = job is None
            if job is not None and (claimed := self._claimed(job)) is not None:
                return claimed
        if not self._deferred or time.monotonic() - self._looked < LOOK_SECONDS:
            return None
        self._looked = time.monotonic()
        for _ in range(len(self._deferred)):
            if (claimed := self._claimed(self._deferred.popleft())) is not None:
                return claimed
        if self._deferred and not self._has_said:
            self._has_said = True
            clips = sum(len(job.shard.clips) for job in self._deferred)
            then = "waiting for it" if self._wait else "left to it"
            self._say(f"{counted(clips, 'clip')} in work elsewhere (run {', '.join(self._leases.others())}): {then}")
        return None

    def done(self, job: Job) -> None:
        """Give a job back."""
        self._leases.release(job.shard.id)

    def _claimed(self, job: Job) -> Job | None:
        try:
            free = self._leases.claim(job.shard.id, job.todo)
        except OSError as error:
            raise store_unwritable(self._around.store, error) from error
        held = [clip for clip in job.shard.clips if clip.id in job.todo and clip.id not in free]
        if held:
            self._deferred.append(part_of(job, next_name(job.shard.id, "later"), held))
        job = part_of(job, job.shard.id, [clip for clip in job.shard.clips if clip.id in free])
        if free and self._has_company():
            self._read_news()
            digests = {clip.id: input_digests(clip) for clip in job.shard.clips}
            job = remaining(job, (_about(contents, digests) for contents in self._news))
        if job.todo:
            return job
        self._leases.release(job.shard.id)
        return None

    def _has_company(self) -> bool:
        around = self._around
        if not around.has_others:
            is_new = bool(set(list_files(around.store, RUN_RECORDS)) - around.runs - {self._leases.record})
            around.has_others = is_new or bool(self._leases.others())
        return around.has_others

    def _read_news(self) -> None:
        new = shard_names(features_path(self._around.store)) - self._known
        self._known |= new
        for name in sorted(new):
            with suppress(StoreError, OSError, KeyError, ValueError):  # gone again, or no whole file: not done
                self._news.append(read_contents(self._around.store / name))


def _about(contents: ShardContents, digests: Mapping[str, Mapping[str, int]]) -> ShardContents:
    """What a shard file holds of some very clips, their inputs as they are now: digests by clip and input."""

    def is_current(clip_id: str, inputs: Sequence[int]) -> bool:
        of_clip = digests.get(clip_id)
        return of_clip is not None and [of_clip.get(name, 0) for name in contents.spec.clip_inputs] == list(inputs)

    rows = {i: contents.rows[i] for i in digests if i in contents.rows and is_current(i, contents.rows[i].inputs)}
    failures = tuple(f for f in contents.failures if is_current(f.failure.clip_id, f.inputs))
    return replace(contents, rows=rows, failures=failures)
