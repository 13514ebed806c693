"""One shard, from media to published shard files: plain code, without Prefect or Dask.

A worker is made once per process from the context of a run, and keeps its networks loaded from shard to shard and from
run to run. Two stages overlap: a helper thread decodes the next clips and runs the extractors that release the GIL
(openSMILE, face detection), while this thread runs the networks on the current ones: one clip at a time on a CPU, as
many as the extractors can use at once on a GPU. Finished clips are published in parts, so that a death costs little.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, Literal

from configs.errors import RunError
from configs.home import host_name
from configs.paths import as_path
from extractors.core.extractor import EXTRACTORS, Extractor
from flows.flight import Flight
from flows.job import FeaturePlan, Job, OnClip, RunContext, ShardReport, refuse_other_versions, remaining, versions
from flows.loading import load_extractors
from flows.machine import memory_of_machine
from flows.places import store_unwritable
from flows.publisher import Publisher, published_parts
from flows.shard_work import ReadyClip, ShardWork
from flows.unforeseen import Breaker
from storage.clip import Clip
from storage.identity import input_digests
from storage.records import Failure, Features
from storage.store.files import exists
from storage.store.layout import flight_path, stop_path
from storage.store.shard_writer import Entry

_LACKED = {"no_audio": "audio", "no_video": "video", "no_text": "text"}


class Worker:
    """Extracts shards of one run.

    Args:
        context: The run.
        previous: The worker of the run before; extractors that both use stay loaded, its others are closed.

    Raises:
        RunError: If a feature's numbers would differ from what the planner said, such as for other weights here, or may
            differ, for other versions of a library.
    """

    def __init__(self, context: RunContext, previous: Worker | None = None) -> None:
        refuse_other_versions(f"{host_name()}, process {os.getpid()},", context.versions, versions())
        self.context = context
        kept: dict[str, Extractor[Any]] = {} if previous is None else dict(previous._extractors)
        self._extractors: dict[str, Extractor[Any]] = {
            plan.feature: _take_over(plan, kept, deinterlace=context.deinterlace) for plan in context.features
        }
        for unused in kept.values():
            unused.close()
        self._devices: dict[str, str] = {} if previous is None else dict(previous._devices)

    def extract(self, job: Job, on_clip: OnClip | None = None, *, armed: bool = False) -> ShardReport:
        """Extract what a shard's clips still miss, and publish it in parts.

        What the shard published before is left out, so that one that Dask runs twice costs nothing.

        Args:
            job: The shard and what to do with it.
            on_clip: Called after each clip with whether it failed; only for engines on this machine.
            armed: Whether this process ends when a clip takes longer than its limit.

        Raises:
            RunError: If the media folder or the store is gone, full or read-only, or the same unforeseen error came
                from several clips.
        """
        report = ShardReport(job.shard.id, len(job.shard.clips), worker=f"{host_name()}:{os.getpid()}")
        begin = time.perf_counter()
        store, specs = as_path(self.context.store), self.context.specs
        published, number = published_parts(store, list(specs.values()), job.shard.id)
        report.outcomes["already"] += sum(len(contents.clip_ids) for contents in published)
        job = remaining(job, published)
        try:
            flight = Flight(
                flight_path(store, self.context.run, job.shard.id), self.context.limit, self._most_bytes(), armed=armed
            )
            publisher = Publisher(store, job.shard.id, specs, self._attributes, self.context.publish_seconds, number)
            with closing(flight), closing(publisher):
                self._extract(job, publisher, flight, report, on_clip)
        except OSError as error:
            raise store_unwritable(store, error) from error
        report.seconds["write"] += publisher.seconds
        report.wall = time.perf_counter() - begin
        return report

    def _extract(
        self, job: Job, publisher: Publisher, flight: Flight, report: ShardReport, on_clip: OnClip | None
    ) -> None:
        stop = stop_path(as_path(self.context.store), self.context.run)

        def stopped() -> bool:
            if exists(stop):
                report.stopped = True
                publisher.publish()
            return report.stopped

        def load() -> None:
            wanted = [e for name, e in self._extractors.items() if any(name in names for names in job.todo.values())]
            self._devices |= load_extractors(wanted, self.context.threads)

        breaker = Breaker()
        work = ShardWork(job, self._extractors, report, flight, load, stopped)
        with closing(work.run()) as ready_clips:
            for ready in ready_clips:
                is_failed = self._record(ready, job.todo[ready.clip.id], breaker, publisher, report)
                if on_clip is not None:
                    on_clip(ready.clip, is_failed)
        report.unforeseen = breaker.pending()

    def _most_bytes(self) -> int:
        return self.context.memory_bytes or int(self.context.memory_share * memory_of_machine())

    def close(self) -> None:
        """Free everything that was loaded."""
        for extractor in self._extractors.values():
            extractor.close()

    def _attributes(self, feature: str) -> dict[str, Any]:
        extractor = self._extractors[feature]
        made_by = {"libraries": versions(extractor.libraries), "device": self._device_of(extractor)}
        return {"run": self.context.run, "versions": versions(), **made_by}

    def _device_of(self, extractor: Extractor[Any]) -> str:
        """What the numbers are computed on, such as `cpu` or `NVIDIA H100, TF32`."""
        if extractor.releases_gil:
            return "cpu"
        from extractors.core.networks.runtime import describe_device

        return describe_device(self._devices.get(extractor.feature, "cpu"))

    def _record(
        self,
        ready: ReadyClip,
        attempts: Mapping[str, int],
        breaker: Breaker,
        publisher: Publisher,
        report: ShardReport,
    ) -> bool:
        """Hand on what became of a clip; give whether it failed."""
        has_failed, inputs, entries = bool(ready.unforeseen), input_digests(ready.clip), {}
        for name, outcome in ready.outcomes.items():
            kept = self._judged(ready.clip, outcome, attempts[name]) if isinstance(outcome, Failure) else outcome
            entries[name] = Entry(ready.clip.id, kept, inputs, ready.flags[name], self.context.generation)
            state = kept.state if isinstance(kept, Failure) else "stored"
            report.outcomes[state] += 1
            has_failed = has_failed or state == "failed"
            report.failures += [kept] if isinstance(kept, Failure) and state == "failed" else []
        publisher.add(entries)
        succeeded = [name for name, outcome in ready.outcomes.items() if isinstance(outcome, Features)]
        report.succeeded.update(succeeded)
        for error in breaker.succeeded(succeeded):
            publisher.add({error.feature: error.entry(self.context.generation)})
            report.outcomes["failed"] += 1
            report.failures.append(error.failure)
        report.failed_clips += has_failed
        report.flags.update({name for flags in ready.flags.values() for name in flags})
        for name, error in ready.unforeseen.items():
            breaker.failed(replace(error, attempt=attempts[name]))
        return has_failed

    def _judged(self, clip: Clip, failure: Failure, attempt: int) -> Failure:
        """A failure as it is stored, with the number of the attempt: skipped where a rule or the corpus says so."""
        is_skipped = failure.reason in self.context.skipped_reasons or _LACKED.get(failure.reason) in clip.lacks
        state: Literal["failed", "skipped"] = "skipped" if is_skipped else "failed"
        return replace(failure, state=state, attempt=attempt)


def _take_over(plan: FeaturePlan, kept: dict[str, Extractor[Any]], *, deinterlace: bool) -> Extractor[Any]:
    """The extractor of a feature: one of the run before, taken out of `kept`, or a new one."""
    extractor = kept.get(plan.feature)
    if extractor is not None and _is_planned(extractor, plan):
        return kept.pop(plan.feature)
    extractor = EXTRACTORS.load(plan.extractor)(plan.feature, plan.options)
    extractor.inputs |= plan.inputs
    extractor.deinterlace = deinterlace
    if extractor.spec.digest != plan.spec.digest:
        difference = plan.spec.first_difference(extractor.spec)
        raise RunError(f"feature {plan.feature}: this worker would give other numbers than planned: {difference}")
    return extractor


def _is_planned(extractor: Extractor[Any], plan: FeaturePlan) -> bool:
    same = (extractor.name, extractor.options) == (plan.extractor, plan.options)
    return same and extractor.spec == plan.spec


class WorkerProcess:
    """Holds the one worker of a process."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._ended: dict[str, RunError] = {}
        self._turn = threading.Lock()

    def extract(self, job: Job, on_clip: OnClip | None = None, *, armed: bool = False) -> ShardReport:
        """Extract a shard; one at a time, also where Dask gives this process several threads.

        Args:
            job: The shard and what to do with it.
            on_clip: Called after each clip with whether it failed.
            armed: Whether this process ends when a clip takes longer than its limit.

        Raises:
            RunError: What `Worker.extract` raises; and that again for every later shard of the run, which may be on its
                way here before the run hears of the first.
        """
        with self._turn:
            run = job.context.run
            if run in self._ended:
                raise self._ended[run].with_traceback(None)
            try:
                if self._worker is None or self._worker.context != job.context:
                    self._worker = Worker(job.context, self._worker)
                return self._worker.extract(job, on_clip, armed=armed)
            except RunError as error:
                self._ended = {run: error}
                raise

    def close(self) -> None:
        """Free the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


PROCESS = WorkerProcess()
EXTRACTORS.names()  # finds the user's own: their options come with a job, before anything else asks for them


def extract_shard(job: Job, on_clip: OnClip | None = None, *, armed: bool = False) -> ShardReport:
    """Extract a shard with this process's worker; what engines run.

    Args:
        job: The shard and what to do with it.
        on_clip: Called after each clip with whether it failed; only for engines on this machine.
        armed: Whether this process ends when a clip takes longer than its limit; only where another one sees that.

    Raises:
        RunError: If the media folder or the store is gone, full or read-only, a feature's numbers would differ from
            what the planner said, or the same unforeseen error came from several clips.
    """
    return PROCESS.extract(job, on_clip, armed=armed)
