"""The engine `local`: one shard at a time in one process beside the run, which may be lost and is started again."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import threading
from multiprocessing.connection import Connection

from configs.processes import python_module
from flows.engines.engine import OneWorker, StoppedError, WorkerLostError
from flows.job import Job, OnClip, ShardReport


class ChildProcess:
    """One extracting process, started when it is first needed; ends with this one, however that ends."""

    def __init__(self) -> None:
        ours, jobs = socket.socketpair()
        life, self._life = os.pipe()
        self.environment = _environment()
        command = python_module("flows.engines.child", str(jobs.fileno()), str(life))
        self._process = subprocess.Popen(command, pass_fds=(jobs.fileno(), life), stdin=subprocess.DEVNULL)
        jobs.close()
        os.close(life)
        self._connection = Connection(ours.detach())
        self.is_busy = False

    @property
    def is_usable(self) -> bool:
        """Whether it lives, and was started in the environment that there is now."""
        return self._process.poll() is None and self.environment == _environment()

    def extract(self, job: Job, on_clip: OnClip) -> ShardReport:
        """Extract a shard there.

        Args:
            job: The shard and what to do with it.
            on_clip: Called after each clip.

        Raises:
            WorkerLostError: If the process died.
        """
        self.is_busy = True
        try:
            self._connection.send(job)
            while True:
                kind, content = self._connection.recv()
                if kind == "clip":
                    on_clip(*content)
                elif kind == "error":
                    raise content
                else:
                    report: ShardReport = content
                    return report
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise WorkerLostError(f"shard {job.shard.id}: its process ended ({self._how()})") from error
        finally:
            self.is_busy = False

    def close(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self._connection.close()
        os.close(self._life)

    def _how(self) -> str:
        code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _environment() -> dict[str, str]:
    """What a process inherits, but for what changes with every run of it."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "PYTEST_"))}


class Child:
    """The extracting process of this one, which stays from run to run: its networks stay loaded."""

    def __init__(self) -> None:
        self._process: ChildProcess | None = None
        self._lock = threading.Lock()

    def usable(self) -> ChildProcess:
        """The process; started, or started again, where there is none."""
        with self._lock:
            if self._process is None or not self._process.is_usable:
                self._end()
                self._process = ChildProcess()
            return self._process

    def close(self, *, only_busy: bool = False) -> None:
        """End the process.

        Args:
            only_busy: Leave one that has nothing to do.
        """
        with self._lock:
            if not only_busy or (self._process is not None and self._process.is_busy):
                self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None


CHILD = Child()
atexit.register(CHILD.close)


class LocalProcess(OneWorker):
    """One shard at a time in a process beside this one."""

    name = "one process on this machine"

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        CHILD.usable()  # it imports what it needs while the run plans and Prefect starts

    def run(self, job: Job, on_clip: OnClip) -> ShardReport:
        """Run one shard there.

        Args:
            job: The shard and what to do with it.
            on_clip: Called after each clip.

        Raises:
            WorkerLostError: If the process died.
            StoppedError: If the engine was closed meanwhile.
        """
        with self._turn:
            if self._stopped.is_set():
                raise StoppedError("the run was interrupted")
            try:
                return CHILD.usable().extract(job, on_clip)
            except WorkerLostError as error:
                if self._stopped.is_set():
                    raise StoppedError("the run was interrupted") from error
                raise

    def stop(self) -> None:
        """End the shard that runs now, with its process."""
        self._stopped.set()
        CHILD.close(only_busy=True)
