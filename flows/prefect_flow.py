"""The extraction flow as Prefect shows it: one task run per shard, each waiting for the shard's report.

The work itself goes on in `flows.dispatch` whatever becomes of Prefect: what is done is asked of the store, never of
Prefect. Import this module only inside `flows.prefect_server.prefect_server`: Prefect reads its settings when it is
imported. Where someone imported Prefect before, the server's address is set for the flow alone; else Prefect would
start a temporary server of its own.
"""

from __future__ import annotations

import os
from concurrent.futures import Future
from typing import Any, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import ThreadPoolTaskRunner

from configs.errors import RunError
from flows.dispatch import MOST_WORKERS, Dispatch
from flows.job import Job, ShardReport


@task(name="shard", task_run_name="{shard}", cache_policy=NO_CACHE, persist_result=False)
def shard_task(shard: str, future: Future[ShardReport]) -> ShardReport:  # noqa: ARG001  # the first one is its name
    """Wait for a shard.

    Args:
        shard: The shard's id.
        future: Has its report.
    """
    return future.result()


def run_flow(dispatch: Dispatch, features: list[str]) -> dict[str, Any]:
    """Work until nothing is left, as one Prefect flow run.

    Args:
        dispatch: The work.
        features: Names of the features, for Prefect's pages.

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
        done.update(dispatch.go(_show))
        return done

    done: dict[str, Any] = {}
    try:
        with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
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


def _show(job: Job, future: Future[ShardReport]) -> None:
    shard_task.submit(job.shard.id, future)
