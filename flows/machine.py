"""What this machine has for workers: GPUs, cores, memory; and what file system a path is on."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

from configs.schema import Cluster

_WORKER_BYTES = 6 << 30


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


def memory_of_machine() -> int:
    """Bytes of memory that processes here may hold together: the machine's, or the container's where that is less."""
    total = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return total


def workers_here(cluster: Cluster) -> int:
    """Worker processes of a run that share this machine's memory, as far as it is known.

    Args:
        cluster: The configuration.
    """
    return (cluster.workers or default_workers()) if cluster.engine in {"auto", "dask"} else 1


def default_workers() -> int:
    """One worker per GPU; without one, a worker per CPU core as far as memory goes."""
    cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count() or 1
    return len(visible_gpus()) or max(1, min(cores, memory_of_machine() // _WORKER_BYTES))


def file_system_of(path: Path) -> str:
    """Kind of the file system that a path is on, such as `ext4` or `nfs4`; empty where it cannot be told.

    Args:
        path: A path that exists or not.
    """
    absolute = path.resolve()
    mounted = [p for p in psutil.disk_partitions(all=True) if absolute.is_relative_to(p.mountpoint)]
    return max(mounted, key=lambda p: len(p.mountpoint)).fstype if mounted else ""
