"""One shard, from media to published shard files: plain code, without Prefect or Dask.

A worker is made once per process from the context of a run, and keeps its networks loaded from shard to shard and from
run to run. Two stages overlap: a helper thread decodes the next clips and runs the extractors that release the GIL
(openSMILE, face detection), while this thread runs the networks on the current ones: one clip at a time on a CPU, as
many as the extractors can use at once on a GPU. Files are written once per shard and feature, which takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from configs.errors import RunError
from extractors.core.extractor import EXTRACTORS, Extractor, timed
from flows.job import FeaturePlan, Job, OnClip, RunContext, ShardReport, versions
from flows.shard_work import ReadyClip, ShardWork
from storage.identity import input_digests
from storage.records import Failure
from storage.store.publication import ShardFeature, is_published, publish_shard
from storage.store.shard_writer import Entry


class Worker:
    """Extracts shards of one run.

    Args:
        context: The run.
        previous: The worker of the run before; extractors that both use stay loaded, its others are closed.

    Raises:
        RunError: If a feature's numbers would differ from what the planner said, such as for other weights here.
    """

    def __init__(self, context: RunContext, previous: Worker | None = None) -> None:
        self.context = context
        kept: dict[str, Extractor[Any]] = {} if previous is None else dict(previous._extractors)
        self._extractors: dict[str, Extractor[Any]] = {
            plan.feature: _take_over(plan, kept, deinterlace=context.deinterlace) for plan in context.features
        }
        for unused in kept.values():
            unused.close()
        self._devices: dict[str, str] = {} if previous is None else dict(previous._devices)

    def extract(self, job: Job, on_clip: OnClip | None = None) -> ShardReport:
        """Extract what a shard's clips still miss, and publish it.

        A feature whose file was published before is left out, so that a shard that Dask runs twice costs nothing.

        Args:
            job: The shard and what to do with it.
            on_clip: Called after each clip with whether it failed; only for engines in this process.

        Raises:
            RunError: If the media folder is gone: recording every clip as failed would be wrong.
        """
        report = ShardReport(job.shard.id, len(job.shard.clips))
        specs = self.context.specs
        store = Path(self.context.store)
        published = {name for name, spec in specs.items() if is_published(store, spec, job.shard.id)}
        todo = {clip.id: [n for n in specs if n in job.todo[clip.id]] for clip in job.shard.clips}
        report.outcomes["already"] = sum(n in published for names in todo.values() for n in names)
        todo = {clip_id: [n for n in names if n not in published] for clip_id, names in todo.items()}
        wanted = {name for names in todo.values() for name in names}
        extractors = {name: e for name, e in self._extractors.items() if name in wanted}
        self._load(list(extractors.values()))
        entries: dict[str, list[Entry]] = {name: [] for name in extractors}
        work = ShardWork(job, self._extractors, todo, report)
        for ready in work.run([c for c in job.shard.clips if todo[c.id]]):
            failed = self._record(ready, job.todo[ready.clip.id], entries, report)
            report.failed_clips += failed
            if on_clip is not None:
                on_clip(ready.clip, failed)
        with timed(report.seconds, "write"):
            features = [ShardFeature(specs[n], entries[n], self._attributes(e)) for n, e in extractors.items()]
            publish_shard(store, job.shard.id, features)
        return report

    def close(self) -> None:
        """Free everything that was loaded."""
        for extractor in self._extractors.values():
            extractor.close()

    def _load(self, extractors: Sequence[Extractor[Any]]) -> None:
        fresh = [e for e in extractors if not e.loaded]
        device = "cpu"
        if any(not e.releases_gil for e in fresh):
            from extractors.core.networks.runtime import choose_device, set_threads

            set_threads(self.context.threads)
            device = choose_device()
        for extractor in fresh:
            extractor.load(device)
            extractor.loaded = True
            self._devices[extractor.feature] = device

    def _attributes(self, extractor: Extractor[Any]) -> dict[str, Any]:
        made_by = {"libraries": versions(extractor.libraries), "device": self._device_of(extractor)}
        return {"run": self.context.run, "versions": versions(), **made_by}

    def _device_of(self, extractor: Extractor[Any]) -> str:
        """What the numbers are computed on, such as `cpu` or `NVIDIA H100, TF32`."""
        if extractor.releases_gil:
            return "cpu"
        from extractors.core.networks.runtime import describe_device

        return describe_device(self._devices.get(extractor.feature, "cpu"))

    def _record(
        self, ready: ReadyClip, attempts: Mapping[str, int], entries: dict[str, list[Entry]], report: ShardReport
    ) -> bool:
        """Keep a clip's outcomes for the shard files; give whether it failed."""
        has_failed = False
        inputs = input_digests(ready.clip)
        for name, outcome in ready.outcomes.items():
            kept = self._judged(outcome, attempts[name]) if isinstance(outcome, Failure) else outcome
            entries[name].append(Entry(ready.clip.id, kept, inputs, ready.flags[name], self.context.generation))
            state = kept.state if isinstance(kept, Failure) else "stored"
            report.outcomes[state] += 1
            has_failed = has_failed or state == "failed"
        report.flags.update({name for flags in ready.flags.values() for name in flags})
        return has_failed

    def _judged(self, failure: Failure, attempt: int) -> Failure:
        """A failure as it is stored: skipped where a rule says so, with the number of the attempt."""
        state: Literal["failed", "skipped"] = "skipped" if failure.reason in self.context.skipped_reasons else "failed"
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

    def worker(self, context: RunContext) -> Worker:
        """The worker of a run; made anew when the run is another one.

        Raises:
            RunError: If a feature's numbers would differ from what the planner said.
        """
        if self._worker is None or self._worker.context != context:
            self._worker = Worker(context, self._worker)
        return self._worker

    def close(self) -> None:
        """Free the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


PROCESS = WorkerProcess()


def extract_shard(job: Job, on_clip: OnClip | None = None) -> ShardReport:
    """Extract a shard with this process's worker; what engines run.

    Args:
        job: The shard and what to do with it.
        on_clip: Called after each clip with whether it failed; only for engines in this process.

    Raises:
        RunError: If the media folder is gone, or a feature's numbers would differ from what the planner said.
    """
    return PROCESS.worker(job.context).extract(job, on_clip)
