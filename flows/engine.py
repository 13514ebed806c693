"""Where shards run: in this process, on local Dask workers, or on a Dask cluster elsewhere.

All engines run the same plain function, `flows.worker.extract_shard`, and give the same store.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psutil

from configs.errors import RunError
from configs.schema import Cluster
from flows.job import Job, ShardReport
from flows.worker import extract_shard
from storage.clip import Clip

FEW_CLIPS = 8
_WORKER_BYTES = 6 << 30
CONNECT_SECONDS = 10


class WorkerLostError(Exception):
    """A worker process died while it held a shard, as often as Dask allows."""


class StoppedError(Exception):
    """The engine was closed, by an interrupt, before the shard was done."""


class Engine(Protocol):
    """Runs shards.

    Attributes:
        name: For people.
    """

    name: str

    @property
    def workers(self) -> int:
        """Shards that run at the same time, now."""

    def run(self, job: Job) -> ShardReport:
        """Run one shard and wait for it; called from several threads.

        Raises:
            WorkerLostError: If its worker died.
            StoppedError: If the engine was closed meanwhile.
        """


class InProcess:
    """One shard at a time in this process.

    Args:
        on_clip: Called after each clip.
    """

    name = "in this process"
    workers = 1

    def __init__(self, on_clip: Callable[[Clip, bool], None] | None) -> None:
        self._on_clip = on_clip
        self._turn = threading.Lock()
        self._stopped = threading.Event()

    def run(self, job: Job) -> ShardReport:
        """Run one shard here; stops between two clips once the engine is closed."""
        with self._turn:
            self._check()
            return extract_shard(job, self._clip_done)

    def stop(self) -> None:
        """Let the shard that runs now end at its next clip."""
        self._stopped.set()

    def _clip_done(self, clip: Clip, failed: bool) -> None:
        if self._on_clip is not None:
            self._on_clip(clip, failed)
        self._check()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise StoppedError("the run was interrupted")


class OnDask:
    """Shards on the workers of a Dask client.

    Args:
        client: A connected `distributed.Client`.
        name: For people.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name

    @property
    def workers(self) -> int:
        """Workers connected now, at least one."""
        return max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))

    def run(self, job: Job) -> ShardReport:
        """Submit one shard and wait for it."""
        from distributed import CancelledError, KilledWorker

        # A fresh key each time: Dask would hand out the old result of a retried shard.
        future = self._client.submit(extract_shard, job, pure=False)
        try:
            report: ShardReport = future.result()
        except KilledWorker as error:
            raise WorkerLostError(f"shard {job.shard.id}: its worker died twice") from error
        except (
            CancelledError,
            asyncio.CancelledError,
        ) as error:  # the second is a BaseException: it would end the flow
            if self._client.status != "running":
                raise StoppedError(f"shard {job.shard.id}: the run was interrupted") from error
            raise RuntimeError(f"shard {job.shard.id}: cancelled by the Dask scheduler") from error
        finally:
            future.release()
        return report


def check_engine(cluster: Cluster) -> None:
    """Refuse an engine that cannot exist, before any work.

    Raises:
        RunError: Naming the valid ones.
    """
    kind = cluster.engine
    if kind not in {"auto", "local", "dask"} and "://" not in kind and "." not in kind:
        raise RunError(
            f"unknown engine {kind!r}; engines: auto, local, dask, a scheduler address such as tcp://host:8786, "
            f"or a Dask cluster class such as dask_jobqueue.SLURMCluster"
        )


def choose_engine(cluster: Cluster, clips: int) -> str:
    """What `auto` means for so many clips: in process for a few, else local Dask if it has two workers.

    Args:
        cluster: The configuration.
        clips: How many clips there are to do.
    """
    if cluster.engine != "auto":
        return cluster.engine
    return "local" if clips <= FEW_CLIPS or (cluster.workers or default_workers()) < 2 else "dask"


def visible_gpus() -> list[str]:
    """Ids of the GPUs of this machine that workers may use, found without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [v.strip() for v in visible.split(",") if v.strip() not in {"", "-1"}]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return []
    return [str(i) for i, _ in enumerate(li for li in listed.stdout.splitlines() if li.startswith("GPU "))]


def default_workers() -> int:
    """One worker per GPU; without one, a worker per CPU core as far as memory goes."""
    cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count() or 1
    return len(visible_gpus()) or max(1, min(cores, psutil.virtual_memory().total // _WORKER_BYTES))


@contextmanager
def open_engine(cluster: Cluster, clips: int, on_clip: Callable[[Clip, bool], None] | None = None) -> Iterator[Engine]:
    """Open the engine that a configuration asks for, and close what was opened.

    Args:
        cluster: The configuration.
        clips: How many clips there are to do.
        on_clip: Called after each clip by the engine of this process.

    Raises:
        RunError: If the engine does not exist or the scheduler does not answer.
    """
    kind = choose_engine(cluster, clips)
    if kind == "local":
        engine = InProcess(on_clip)
        try:
            yield engine
        finally:
            engine.stop()
    elif kind == "dask":
        with _local_dask(cluster) as on_dask:
            yield on_dask
    elif "://" in kind:
        with _client(kind) as client:
            yield OnDask(client, f"Dask scheduler {kind}")
    else:
        with _cluster_class(kind, cluster) as on_dask:
            yield on_dask


_DASK_SETTINGS = {
    # Give a worker its next shard when it has finished one: shards are long.
    "distributed.scheduler.worker-saturation": 1.0,
    # The clips of a shard that saw two workers die are retried one by one, see flows.prefect_flow.
    "distributed.scheduler.allowed-failures": 1,
}


@contextmanager
def _local_dask(cluster: Cluster) -> Iterator[OnDask]:
    import dask
    from distributed import Client, Nanny, Scheduler, SpecCluster

    count = cluster.workers or default_workers()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # worker deaths are handled, and told at the end
    with (
        dask.config.set(_DASK_SETTINGS),
        SpecCluster(
            workers={i: {"cls": Nanny, "options": _worker_options(i, count, cluster.threads)} for i in range(count)},
            scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}},
            silence_logs="CRITICAL",
        ) as local,
        Client(local) as client,
    ):
        yield OnDask(client, f"local Dask, {count} worker processes")


def _worker_options(number: int, count: int, threads: int) -> dict[str, Any]:
    # Set for every worker: importing py-feat once leaves OMP_NUM_THREADS=1 in the environment of later processes.
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = dict.fromkeys(names, str(threads))
    gpus = visible_gpus()
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    return {
        "host": "127.0.0.1",
        "nthreads": 1,
        "env": environment,
        "dashboard": False,
        "memory_limit": psutil.virtual_memory().total // count,
        "silence_logs": "CRITICAL",
    }


@contextmanager
def _client(address: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client: Any = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise RunError(f"{address}: no Dask scheduler answers there ({error})") from error
    with client:
        yield client


@contextmanager
def _cluster_class(name: str, cluster: Cluster) -> Iterator[OnDask]:
    from distributed import Client

    module, _, attribute = name.rpartition(".")
    try:
        made = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise RunError(f"engine {name}: no such Dask cluster class ({error})") from error
    with made(**cluster.arguments) as running, Client(running) as client:
        if cluster.workers:
            running.scale(cluster.workers)
        client.wait_for_workers(1)
        yield OnDask(client, name)
