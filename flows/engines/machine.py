"""What this machine has for workers: GPUs, cores, memory."""

from __future__ import annotations

import os
import subprocess

import psutil

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


def default_workers() -> int:
    """One worker per GPU; without one, a worker per CPU core as far as memory goes."""
    cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count() or 1
    return len(visible_gpus()) or max(1, min(cores, psutil.virtual_memory().total // _WORKER_BYTES))
