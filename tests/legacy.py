"""NumPy 1.24 in an environment of its own: what consumers of the exports still run on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

VERSION = "1.24.4"
Run = Callable[..., str]

# Neither site-packages nor the user's folders: the script sees the standard library and this NumPy.
_HEAD = f"import sys; sys.path.insert(0, sys.argv.pop(1)); import numpy; assert numpy.__version__ == {VERSION!r}\n"


@pytest.fixture(scope="session")
def numpy124(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a script (its text, then its arguments) under NumPy 1.24.4 and gives what it prints; fails if it fails."""
    folder = _installed(tmp_path_factory)

    def run(script: str, *arguments: object) -> str:
        command = [sys.executable, "-I", "-S", "-c", _HEAD + script, str(folder), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _installed(factory: pytest.TempPathFactory) -> Path:
    """The folder with NumPy in it, made once for all workers of a session."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, note = shared / f"numpy-{VERSION}", shared / f"numpy-{VERSION}.txt"
    with FileLock(f"{folder}.lock"):
        if not note.exists():
            note.write_text(_install(folder))
    if why := note.read_text():
        pytest.skip(f"NumPy {VERSION} cannot be installed here: {why}")
    return folder


def _install(folder: Path) -> str:
    """Install from a wheel; give the last line of what went wrong, or nothing."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command = [*pip, "--only-binary=:all:", "--target", str(folder), f"numpy=={VERSION}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    except subprocess.TimeoutExpired:
        return "pip took more than 4 minutes"
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["pip failed"])[-1]
