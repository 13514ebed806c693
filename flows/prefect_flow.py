"""The extraction flow as Prefect shows it: one task run per shard, each waiting for the shard's report.

The work itself goes on in `flows.dispatch` whatever becomes of Prefect: what is done is asked of the store, never of
Prefect. Import this module only inside `flows.prefect_server.prefect_server`: Prefect reads its settings when it is
imported. Where someone imported Prefect before, the server's address is set for the flow alone; else Prefect would
start a temporary server of its own.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any, cast

from prefect import flow, tags, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, wait
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import ThreadPoolTaskRunner

from configs.errors import RunError
from flows.dispatch import MOST_WORKERS, Dispatch
from flows.failures import grouped
from flows.job import ShardReport
from flows.status import read_status
from storage.store.store import FeatureStore

FEW = 5
_LATEST = 60.0  # seconds that tasks have to be shown as done, once their shards are


@task(name="shard", task_run_name="{shard}", cache_policy=NO_CACHE, persist_result=False)
def shard_task(shard: str, future: Future[ShardReport]) -> ShardReport:  # noqa: ARG001  # the first one is its name
    """Wait for a shard.

    Args:
        shard: The shard's id.
        future: Has its report.
    """
    return future.result()


def run_flow(dispatch: Dispatch, features: list[str], opened: FeatureStore) -> dict[str, Any]:
    """Work until nothing is left, as one Prefect flow run.

    Args:
        dispatch: The work.
        features: Names of the features, for Prefect's pages.
        opened: The store, for the tables on these pages.

    Returns:
        What `Dispatch.go` gives.
    """

    @flow(
        name="merflow-extract",
        flow_run_name="{run}",
        task_runner=cast("Any", ThreadPoolTaskRunner(max_workers=MOST_WORKERS)),  # the dispatch's window is the bound
        validate_parameters=False,
        persist_result=False,
    )
    def extract(run: str, store: str, features: list[str]) -> dict[str, Any]:  # noqa: ARG001  # shown in Prefect
        logger = get_run_logger()
        logging.getLogger("prefect.flow_runs").setLevel(logging.INFO)  # all else of Prefect's stays quiet
        logging.getLogger("prefect.flow_runs").propagate = False
        logger.info("%s into %s", ", ".join(features), store)
        shown: list[PrefectFuture[ShardReport]] = []
        done.update(dispatch.go(lambda job, future: shown.append(shard_task.submit(job.shard.id, future))))
        wait(shown, timeout=_LATEST)  # what has not begun when a flow ends is shown as crashed
        logger.info("%s", ", ".join(f"{number} {outcome}" for outcome, number in done["outcomes"].items()))
        opened.refresh()
        _leave_artifacts(opened, features)
        return done

    done: dict[str, Any] = {}
    try:
        name = dispatch.store.absolute().name
        with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}), tags("merflow", name):
            extract(dispatch.context.run, dispatch.context.store, features)
    except RunError:
        raise
    except Exception as error:
        lost = f"Prefect's server does not answer ({type(error).__name__})"
        if dispatch.was_run and not done:
            raise
        dispatch.progress.say(f"{lost}: {'it was not told of the end' if done else 'working without it'}")
        return done or dispatch.go()
    return done


def _leave_artifacts(store: FeatureStore, features: list[str]) -> None:
    """Totals by feature and failures by reason, as tables on the run's page."""
    status = read_status(store, features)
    totals = [{"feature": name, **asdict(counts)} for name, counts in status.features.items()]
    create_table_artifact(totals, key="merflow-totals", description=f"Clips of {store.path} by feature")
    failures = [
        {
            "reason": group.reason,
            "state": group.state,
            "clips": len(group.clips),
            "first": ", ".join(group.clips[:FEW]),
            "meaning": group.meaning,
            "remedy": group.remedy,
        }
        for group in grouped(status.failures)
    ]
    create_table_artifact(failures, key="merflow-failures", description=f"Why clips of {store.path} have no values")
