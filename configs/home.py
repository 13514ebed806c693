"""merflow's own folder on this machine: records of pulled weights, the local Prefect server's database."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Folder of merflow's own state on this machine: `MERFLOW_HOME`, else `~/.cache/merflow`."""
    return Path(os.environ.get("MERFLOW_HOME") or Path.home() / ".cache" / "merflow").absolute()
