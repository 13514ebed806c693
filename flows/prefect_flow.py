"""The extraction flow: one Prefect task per shard, run in this process, each handing its shard to an engine.

Workers never import Prefect; results are small reports; what is done is asked of the store, never of Prefect.
Import this module only inside `flows.prefect_server.prefect_server`: Prefect reads its settings when it is imported.
Where someone imported Prefect before, the server's address is set for the flow alone; else Prefect would start a
temporary server of its own.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from itertools import islice
from pathlib import Path
from typing import Any, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectConcurrentFuture
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import ThreadPoolTaskRunner

from configs.errors import RunError
from configs.schema import Cluster
from flows.engine import Engine, StoppedError, WorkerLostError, open_engine
from flows.job import Job, RunContext, ShardReport, versions
from flows.plan import Plan
from flows.progress import current_progress
from flows.shards import bounds, make_jobs, singles
from storage.identity import input_digests
from storage.manifest import Manifest
from storage.records import Failure, FeatureSpec
from storage.store.index import Index, Location
from storage.store.layout import shard_path
from storage.store.publication import ShardFeature, is_published, publish_shard
from storage.store.shard_reader import read_contents
from storage.store.shard_writer import Entry

RETRY_SECONDS = (2.0, 10.0)
Pending = dict[PrefectConcurrentFuture[Any], Job]
Published = dict[str, dict[str, Location | Failure]]


def _worth_retrying(_task: object, _run: object, state: Any) -> bool:
    error = state.result(raise_on_failure=False)
    return not isinstance(error, RunError | WorkerLostError | StoppedError)


@task(
    name="shard",
    task_run_name="{job.shard.id}",
    retries=len(RETRY_SECONDS),
    retry_delay_seconds=list(RETRY_SECONDS),
    retry_condition_fn=_worth_retrying,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def shard_task(engine: Engine, job: Job) -> ShardReport:
    """Run one shard on an engine and wait for it.

    Args:
        engine: Where it runs.
        job: The shard and what to do with it.
    """
    return engine.run(job)


def run_shards(config: Cluster, plan: Plan, context: RunContext, manifest: Manifest, index: Index) -> dict[str, Any]:
    """Extract what the clips of a manifest still miss, as one Prefect flow run.

    Args:
        config: Where shards run.
        plan: What each clip misses.
        context: What the shards have in common.
        manifest: The clips.
        index: Where stored features lie that others are computed from.

    Returns:
        `outcomes` (pairs by state), `flags` (clips with unusual media, by flag), `seconds` (wall seconds by stage,
        summed over workers), `errors` (one line per shard that could not be finished).
    """

    @flow(
        name="merflow-extract",
        flow_run_name="{run}",
        task_runner=cast("Any", ThreadPoolTaskRunner(max_workers=256)),  # the window below is the real bound
        validate_parameters=False,
        persist_result=False,
    )
    def extract(run: str, store: str, features: list[str]) -> dict[str, Any]:  # noqa: ARG001  # shown in Prefect
        return extraction.go()

    extraction = _Extraction(config, plan, context, manifest, index)
    with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
        result: dict[str, Any] = extract(context.run, context.store, list(plan.features))
    return result


class _Extraction:
    def __init__(self, config: Cluster, plan: Plan, context: RunContext, manifest: Manifest, index: Index) -> None:
        self.config, self.plan, self.context, self.manifest, self.index = config, plan, context, manifest, index
        self.store = Path(context.store)
        self.progress = current_progress()
        self.outcomes: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()
        self.decoded_again = 0
        self.errors: list[str] = []

    def go(self) -> dict[str, Any]:
        with open_engine(self.config, self.plan.todo, self.progress.clip_done) as engine:
            self.progress.begin(self.plan, engine.name)
            full = bounds(self.plan, engine.workers, self.config.shard_seconds)
            unfinished = self._run_all(engine, make_jobs(self.plan, self.manifest, self.index, self.context, full))
            self._retry_clips_individually(engine, unfinished)
        counted = {"outcomes": dict(self.outcomes), "seconds": dict(self.seconds)}
        return counted | {
            "flags": dict(sorted(self.flags.items())),
            "decoded_again": self.decoded_again,
            "errors": self.errors,
        }

    def _run_all(self, engine: Engine, jobs: Iterator[Job]) -> list[tuple[Job, BaseException]]:
        """Run jobs through a bounded window; return those that could not be finished."""
        pending: Pending = {}
        unfinished: list[tuple[Job, BaseException]] = []
        while True:
            room = max(0, 2 * engine.workers - len(pending))
            for job in islice(jobs, room):
                future = shard_task.submit(engine, job)
                pending[cast("PrefectConcurrentFuture[Any]", future)] = job
            if not pending:
                return unfinished
            wait([future.wrapped_future for future in pending], return_when=FIRST_COMPLETED)
            for done in [f for f in pending if f.wrapped_future.done()]:
                job = pending.pop(done)
                report = done.result(raise_on_failure=False)
                if isinstance(report, ShardReport):
                    self._finished(report)
                elif isinstance(report, RunError):
                    raise report
                else:
                    unfinished.append((job, report))

    def _finished(self, report: ShardReport) -> None:
        self.outcomes.update(report.outcomes)
        self.seconds.update(report.seconds)
        self.flags.update(report.flags)
        self.decoded_again += report.decoded_again
        self.progress.shard_done(report)

    def _retry_clips_individually(self, engine: Engine, unfinished: list[tuple[Job, BaseException]]) -> None:
        """Run the clips of unfinished shards one by one, so that one bad clip cannot hold back its neighbours."""
        alone = (single for job, _ in unfinished for single in singles(job, *self._progress_of(job)))
        for job, error in self._run_all(engine, alone):
            if isinstance(error, WorkerLostError):
                self._record_crash(job)
            else:
                self.errors.append(f"clip {job.shard.clips[0].id}: {type(error).__name__}: {error}")

    def _progress_of(self, job: Job) -> tuple[dict[str, dict[str, int]], Published]:
        """What the clips of a shard that broke off still miss, and what it published before that."""
        specs = self.context.specs
        done = [read_contents(shard_path(self.store, s, job.shard.id)) for s in specs.values() if self._has(job, s)]
        names = {contents.spec.name for contents in done}
        todo = {i: {n: attempt for n, attempt in missing.items() if n not in names} for i, missing in job.todo.items()}
        published: Published = {clip.id: {} for clip in job.shard.clips}
        for contents in done:
            for clip_id, row in contents.rows.items():
                published[clip_id][contents.spec.name] = Location(contents.path, row.start, row.stop, contents.arrays)
            for failed in contents.failures:
                published[failed.failure.clip_id][contents.spec.name] = failed.failure
        return todo, published

    def _has(self, job: Job, spec: FeatureSpec) -> bool:
        return is_published(self.store, spec, job.shard.id)

    def _record_crash(self, job: Job) -> None:
        (clip,) = job.shard.clips
        message = "its worker process died twice with other clips around it, and twice alone"
        attributes = {"run": self.context.run, "versions": versions()}
        inputs, features = input_digests(clip), []
        for feature, attempt in self._progress_of(job)[0][clip.id].items():
            failure = Failure(clip.id, feature, "crash", message, attempt=attempt)
            entry = Entry(clip.id, failure, inputs, generation=self.context.generation)
            features.append(ShardFeature(self.context.specs[feature], [entry], attributes))
            self.outcomes["failed"] += 1
        publish_shard(self.store, f"{job.shard.id}-crash", features)
        self.progress.shard_done(ShardReport(job.shard.id, 1, failed_clips=1))
