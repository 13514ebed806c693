"""merflow's own modules in processes of their own."""

from __future__ import annotations

import sys


def python_module(module: str, *arguments: str) -> list[str]:
    """Command that runs a module.

    Without the current folder on its path (`-P`): people have folders called `flows` or `storage`, and files too.

    Args:
        module: Name of the module.
        arguments: What it is given.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
