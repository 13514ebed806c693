"""What machine a benchmark ran on; imported by the benchmarks, runs nothing itself."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from flows.machine import visible_gpus


def machine() -> dict[str, Any]:
    """Cores, CPU flags that matter to arithmetic, GPUs."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8") if info.exists() else ""
    wide = [flag for flag in ("avx2", "avx512f", "amx_bf16") if flag in flags]
    return {"cores": os.cpu_count(), "cpu": platform.machine(), "flags": wide, "gpus": len(visible_gpus())}


def report(benchmark: str, ratio: float, **medians: Any) -> None:
    """Print the one JSON line that a benchmark ends with."""
    print(json.dumps({"benchmark": benchmark, "ratio": round(ratio, 3), **medians, "machine": machine()}))
