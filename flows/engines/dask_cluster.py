"""Dask: local worker processes, a scheduler somewhere, or a cluster class."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from configs.errors import RunError
from configs.schema import Cluster
from flows.engines.engine import StoppedError, WorkerFaultError, WorkerLostError
from flows.job import Job, OnClip, ShardReport, refuse_other_versions, versions
from flows.machine import default_workers, memory_of_machine, visible_gpus
from flows.unforeseen import SameErrorsError, kind_of
from flows.worker import extract_shard

CONNECT_SECONDS = 10
WORKER_SECONDS = 600.0
SAY_SECONDS = 15.0
LOOK_SECONDS = 2.0


class OnDask:
    """Shards on the workers of a Dask client.

    Args:
        client: A connected `distributed.Client`.
        name: For people.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name
        self._avoided: set[str] = set()
        self._avoiding = threading.Lock()

    @property
    def workers(self) -> int:
        """Workers connected now that get shards, at least one."""
        return max(1, len(self._addresses() - self._avoided))

    def _addresses(self) -> set[str]:
        return set(self._client.scheduler_info(n_workers=-1)["workers"])

    def _allowed(self, not_on: str) -> set[str] | None:
        """The workers that may have a shard; None for any.

        Args:
            not_on: Address of one that must not have it, as long as there is another one.

        Raises:
            RunError: If only workers that failed are left.
        """
        if not self._avoided and not not_on:
            return None
        deadline = time.monotonic() + WORKER_SECONDS
        while not (allowed := self._addresses() - self._avoided):
            if time.monotonic() > deadline:
                raise RunError(f"{self.name}: only workers that could do nothing are left; the same command resumes")
            time.sleep(LOOK_SECONDS)
        return (allowed - {not_on}) or allowed

    def has_other(self, worker: str) -> bool:
        """Whether there is a worker beside this one that gets shards.

        Args:
            worker: Its address.
        """
        return bool(self._addresses() - self._avoided - {worker})

    def avoid(self, worker: str) -> bool:
        """Give a worker no more shards; one that is started again has another address, and is another one.

        Args:
            worker: Its address.
        """
        with self._avoiding:  # of two that fail at once, each the other's last one, one stays
            has_others = self.has_other(worker)
            if has_others:
                self._avoided.add(worker)
            return has_others

    def stop(self) -> None:
        """Give up the shards that run now: their futures say that they were cancelled."""
        self._client.close()

    def run(self, job: Job, on_clip: OnClip) -> ShardReport:  # workers tell of shards only
        """Submit one shard and wait for it.

        Args:
            job: The shard and what to do with it.
            on_clip: Not called.

        Raises:
            WorkerLostError: If its worker died.
            WorkerFaultError: If its worker raised what may be its own fault.
            StoppedError: If the engine was closed meanwhile.
        """
        from distributed import CancelledError, KilledWorker, wait

        allowed = self._allowed(job.not_on)
        # A fresh key each time: Dask would hand out the old result of a retried shard.
        future = self._client.submit(_extract, job, pure=False, workers=allowed, allow_other_workers=False)
        try:
            while allowed is not None and not future.done():
                if not allowed & self._addresses():
                    return self.run(job, on_clip)
                with suppress(TimeoutError):
                    wait(future, timeout=LOOK_SECONDS)
            report: ShardReport = future.result()
        except KilledWorker as error:
            raise WorkerLostError(f"shard {job.shard.id}: its worker died") from error
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


def _extract(job: Job) -> ShardReport:
    """Runs on a worker; an error that may be the worker's own says which one it is."""
    from distributed import get_worker

    address = get_worker().address
    try:
        report = extract_shard(job, armed=True)
    except Exception as error:
        if isinstance(error, RunError) and not isinstance(error, SameErrorsError):
            raise
        raise WorkerFaultError(address, error, kind_of(error)) from error
    report.address = address
    return report


_DASK_SETTINGS = {
    # Give a worker its next shard when it has finished one: shards are long.
    "distributed.scheduler.worker-saturation": 1.0,
    # A death is judged by what the worker had in hand, see flows.dispatch.
    "distributed.scheduler.allowed-failures": 0,
}


@contextmanager
def local_dask(cluster: Cluster) -> Iterator[OnDask]:
    """Worker processes on this machine.

    Args:
        cluster: The configuration.
    """
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
        "memory_limit": memory_of_machine() // count,
        "silence_logs": "CRITICAL",
    }


@contextmanager
def scheduler_at(address: str) -> Iterator[OnDask]:
    """The workers of a scheduler.

    Args:
        address: Its address.

    Raises:
        RunError: If none answers there.
    """
    from distributed import Client

    try:
        client: Any = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise RunError(f"{address}: no Dask scheduler answers there ({error})") from error
    with client:
        _settle(client)
        yield OnDask(client, f"Dask scheduler {address}")


@contextmanager
def cluster_class(name: str, cluster: Cluster) -> Iterator[OnDask]:
    """The workers of a cluster that is started for this run.

    Args:
        name: Dotted name of the cluster's class.
        cluster: The configuration.

    Raises:
        RunError: If there is no such class.
    """
    from distributed import Client

    module, _, attribute = name.rpartition(".")
    try:
        made = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise RunError(f"engine {name}: no such Dask cluster class ({error})") from error
    with made(**cluster.arguments) as running, Client(running) as client:
        if cluster.workers:
            running.scale(cluster.workers)
        _settle(client)
        yield OnDask(client, name)


def _settle(client: Any) -> None:
    """Wait for a worker, and set up a scheduler that merflow has not started as it sets up its own.

    Raises:
        RunError: If no worker comes, or one of them has other versions of what makes the numbers.
    """
    deadline = time.monotonic() + WORKER_SECONDS
    while True:
        try:
            client.wait_for_workers(1, timeout=min(SAY_SECONDS, WORKER_SECONDS))
            break
        except TimeoutError:
            where = client.scheduler.address
            if time.monotonic() > deadline:
                raise RunError(f"{where}: no Dask worker came in {WORKER_SECONDS:.0f} s; start some") from None
            sys.stderr.write(f"waiting for a Dask worker at {where}\n")
    failures = _DASK_SETTINGS["distributed.scheduler.allowed-failures"]
    saturation = _DASK_SETTINGS["distributed.scheduler.worker-saturation"]

    def configure(dask_scheduler: Any) -> None:  # inside, so that it travels whole: a scheduler needs no merflow
        dask_scheduler.allowed_failures = failures
        dask_scheduler.WORKER_SATURATION = saturation

    client.run_on_scheduler(configure)
    here = versions()
    for address, there in client.run(versions).items():
        refuse_other_versions(address, here, there)
