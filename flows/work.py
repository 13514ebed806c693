"""The working part of a run: from a plan to results in the store, under a record that says how far it came."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from typing import Any

from configs.errors import RunError
from configs.schema import Cluster, RunConfig
from extractors.core.extractor import Extractor
from flows.dispatch import Dispatch
from flows.engines.choice import open_engine
from flows.engines.engine import Engine
from flows.interrupts import interruptible
from flows.job import RunContext, versions
from flows.live import NotedProgress
from flows.plan import Plan, crop_roots, make_context, new_run_id
from flows.prefect_server import prefect_server
from flows.progress import current_progress
from flows.shards import bounds, make_jobs
from flows.sharing import SharedJobs, Surroundings
from storage.manifest import Manifest
from storage.store.compact import compact_if_many
from storage.store.leases import Leases
from storage.store.runs import RUNNING, clear_work, now, owner, usual_rate, write_run
from storage.store.store import FeatureStore
from storage.store.survey import Survey
from storage.store.tidy import tidy_runs


def work(
    config: RunConfig,
    extractors: Sequence[Extractor[Any]],
    store: FeatureStore,
    survey: Survey,
    plan: Plan,
    around: Surroundings,
    *,
    schedule: str | None,
    wait: bool,
) -> dict[str, Any]:
    """Do what was planned.

    Args:
        config: What to extract.
        extractors: What `build_extractors` gave.
        store: The store.
        survey: Of the store.
        plan: What each clip misses.
        around: What was known of other runs before that was planned.
        schedule: Name of the schedule that the run belongs to, if any.
        wait: Whether to wait for clips that another run is working on.

    Returns:
        The run's record.

    Raises:
        RunError: If the run cannot go on.
        KeyboardInterrupt: If it was interrupted.
    """
    run = new_run_id()
    roots, generation = survey.manifest.roots, store.generation + plan.replaces
    usual = usual_rate(store.path, plan.features)
    context = make_context(run, config, store.path, roots, extractors, generation, usual)
    record = new_record(run, config, extractors, plan, survey.manifest, schedule)
    write_run(store.path, run, record)
    state, has_others = "failed", False
    try:
        with closing(Leases(store.path, run)) as leases, open_engine(config.cluster, plan.todo) as engine:
            record |= _dispatch(config.cluster, engine, plan, context, survey, store, leases, around, wait=wait)
            record["media_seconds"] = plan.seconds
            has_others = bool(leases.others())
        state = "finished"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        with suppress(OSError):  # what went wrong before is what a person should see
            clear_work(store.path, run)
            write_run(store.path, run, record | {"finished": now(), "state": state})
    store.refresh()
    with suppress(OSError):  # derived: the shard files say the same
        store.save_index()
        if not has_others:  # their shards may be computed from files that would go
            compact_if_many(store)
            tidy_runs(store.path)
    return record


def _dispatch(
    cluster: Cluster,
    engine: Engine,
    plan: Plan,
    context: RunContext,
    survey: Survey,
    store: FeatureStore,
    leases: Leases,
    around: Surroundings,
    *,
    wait: bool,
) -> dict[str, Any]:
    """Begin to work, then start Prefect's server, which takes seconds, and work on under its eyes."""
    progress = NotedProgress(current_progress(), store.path, context.run)
    progress.begin(plan, engine.name)
    full = bounds(plan, engine.workers, cluster.shard_seconds)
    known = {file.name for file in store.index.files}
    jobs = make_jobs(plan, survey.manifest, store.index, context, full)
    source = SharedJobs(jobs, leases, around, known, progress.say, wait=wait)
    dispatch = Dispatch(engine, source, context, progress)
    with closing(progress), interruptible(dispatch), ExitStack() as opened:
        dispatch.start()
        try:
            opened.enter_context(prefect_server(dispatch.is_stopping))
        except RunError as error:
            progress.say(f"{error}; working without it")
            return dispatch.go()
        except KeyboardInterrupt:
            return dispatch.go()  # it publishes what is finished, and is interrupted itself
        from flows.prefect_flow import run_flow

        return run_flow(dispatch, list(plan.features), store)


def new_record(
    run: str,
    config: RunConfig,
    extractors: Sequence[Extractor[Any]],
    plan: Plan,
    manifest: Manifest,
    schedule: str | None = None,
) -> dict[str, Any]:
    """What is recorded of a run that begins.

    Args:
        run: Its id.
        config: What to extract.
        extractors: What `build_extractors` gave.
        plan: What each clip misses.
        manifest: The clips.
        schedule: Name of the schedule that the run belongs to, if any.
    """
    crops = {name: str(root) for name, root in crop_roots(extractors).items()}
    return {
        "run": run,
        "started": now(),
        "state": RUNNING,
        "owner": owner(),
        "schedule": schedule,
        "clips": plan.clips,
        "corpus": manifest.corpus,
        "features": {e.feature: e.spec.digest for e in extractors},
        **({"crops": crops} if crops else {}),
        "synthetic": sorted(e.feature for e in extractors if e.spec.synthetic),
        "config": config.model_dump(mode="json"),
        "versions": versions(),
        "machine": {"system": platform.platform(), "python": platform.python_version()},
    }
