"""The extraction flow: one Prefect task per shard, run in this process, each handing its shard to an engine.

Workers never import Prefect; results are small reports; what is done is asked of the store, never of Prefect.
Import this module only inside `flows.server.prefect_server`: Prefect reads its settings when it is imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from itertools import islice
from typing import Any, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectConcurrentFuture
from prefect.task_runners import ThreadPoolTaskRunner

from configs.schema import RunConfig
from flows.engine import Engine, StoppedError, WorkerLostError, open_engine
from flows.progress import current_listener
from flows.plan import build_extractors, make_shards, missing_features, shard_seconds, survey
from flows.worker import Job, ShardReport, versions
from configs.errors import RunError
from storage.clip import Clip
from storage.records import Failure, Shard
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore

RETRY_SECONDS = (2.0, 10.0)
Pending = dict[PrefectConcurrentFuture[Any], Job]


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
    """Run one shard on an engine and wait for it."""
    return engine.run(job)


@flow(
    name="merflow-extract",
    flow_run_name="{run}",
    task_runner=cast("Any", ThreadPoolTaskRunner(max_workers=256)),  # the window below is the real bound
    validate_parameters=False,
    persist_result=False,
)
def extract(run: str, store: str, config: dict[str, Any], features: list[str]) -> dict[str, Any]:
    """Extract what the clips of a store's manifest still miss.

    Args:
        run: Id of the run.
        store: Folder of the store; its manifest says which clips there are.
        config: The run configuration as plain values.
        features: Names of the features to extract.

    Returns:
        `outcomes` (pairs by state), `seconds` (wall seconds by stage, summed over workers), `errors` (one line per
        shard that could not be finished).
    """
    return _Extraction(run, FeatureStore(store), RunConfig.model_validate(config), tuple(features)).go()


class _Extraction:
    def __init__(self, run: str, store: FeatureStore, config: RunConfig, features: tuple[str, ...]) -> None:
        self.run = run
        self.store = store
        self.config = config
        self.features = features
        self.listener = current_listener()
        self.outcomes: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.decoded_again = 0
        self.errors: list[str] = []

    def go(self) -> dict[str, Any]:
        plan = survey(self.store, self.store.manifest, list(self.features))
        with open_engine(self.config.cluster, plan.todo, self.listener.clip_done) as engine:
            self.listener.begin(plan, engine.name)
            size = shard_seconds(plan, engine.workers, self.config.cluster.shard_seconds)
            shards = make_shards(self.store.clips(), self.run, self._misses_something, size)
            unfinished = self._run_all(engine, (self._job(s) for s in shards))
            self._take_apart(engine, unfinished)
        counted = {"outcomes": dict(self.outcomes), "seconds": dict(self.seconds)}
        return counted | {"decoded_again": self.decoded_again, "errors": self.errors}

    def _misses_something(self, clip: Clip) -> bool:
        return bool(missing_features(self.store, clip, self.features))

    def _job(self, shard: Shard) -> Job:
        # Absolute: workers of another scheduler have another current folder.
        root, store = self.store.manifest.root.absolute(), self.store.path.absolute()
        return Job(shard, str(root), str(store), self.config, self.features, self.run)

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
        self.decoded_again += report.decoded_again
        self.listener.shard_done(report)

    def _take_apart(self, engine: Engine, unfinished: list[tuple[Job, BaseException]]) -> None:
        """Run the clips of unfinished shards one by one, so that one bad clip cannot hold back its neighbours."""
        singles = (
            self._job(Shard(f"{job.shard.id}-{number:03d}", (clip,)))
            for job, _ in unfinished
            for number, clip in enumerate(job.shard.clips)
        )
        for job, error in self._run_all(engine, singles):
            if isinstance(error, WorkerLostError):
                self._record_crash(job)
            else:
                self.errors.append(f"clip {job.shard.clips[0].id}: {type(error).__name__}: {error}")

    def _record_crash(self, job: Job) -> None:
        (clip,) = job.shard.clips
        self.store.refresh()
        message = "its worker process died twice with other clips around it, and twice alone"
        for extractor in build_extractors(self.config):
            if extractor.feature in missing_features(self.store, clip, self.features):
                failure = Failure(clip.id, extractor.feature, "crash", message)
                entry = Entry(clip.id, clip.fingerprint, failure)
                attributes = {"run": self.run, "versions": versions()}
                self.store.put(f"{job.shard.id}-crash", extractor.spec, [entry], attributes)
                self.outcomes["failed"] += 1
        self.listener.shard_done(ShardReport(job.shard.id, 1, failed_clips=1))
