"""Chooses and opens the engine that a configuration asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from configs.errors import RunError
from configs.schema import Cluster
from flows.engines.engine import Engine
from flows.machine import default_workers

FEW_CLIPS = 8


def check_engine(cluster: Cluster) -> None:
    """Refuse an engine that cannot exist, before any work.

    Raises:
        RunError: Naming the valid ones.
    """
    kind = cluster.engine
    if kind not in {"auto", "local", "dask", "inline"} and "://" not in kind and "." not in kind:
        raise RunError(
            f"unknown engine {kind!r}; engines: auto, local, dask, inline, a scheduler address such as "
            f"tcp://host:8786, or a Dask cluster class such as dask_jobqueue.SLURMCluster"
        )


def choose_engine(cluster: Cluster, clips: int) -> str:
    """What `auto` means for so many clips: one process for a few, else local Dask if it has two workers.

    Args:
        cluster: The configuration.
        clips: How many clips there are to do.
    """
    if cluster.engine != "auto":
        return cluster.engine
    return "local" if clips <= FEW_CLIPS or (cluster.workers or default_workers()) < 2 else "dask"


@contextmanager
def open_engine(cluster: Cluster, clips: int) -> Iterator[Engine]:
    """Open the engine that a configuration asks for, and close what was opened.

    Args:
        cluster: The configuration.
        clips: How many clips there are to do.

    Raises:
        RunError: If the engine does not exist or the scheduler does not answer.
    """
    kind = choose_engine(cluster, clips)
    if kind in {"local", "inline"}:
        from flows.engines.inline import Inline
        from flows.engines.local_process import LocalProcess

        engine = LocalProcess() if kind == "local" else Inline()
        try:
            yield engine
        finally:
            engine.stop()
        return
    from flows.engines.dask_cluster import cluster_class, local_dask, scheduler_at

    if kind == "dask":
        opened = local_dask(cluster)
    else:
        opened = scheduler_at(kind) if "://" in kind else cluster_class(kind, cluster)
    with opened as on_dask:
        yield on_dask
