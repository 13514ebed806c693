"""merflow's own folder and the name of this machine: records of pulled weights, the local Prefect server's database."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MERFLOW_HOME"


def host_name() -> str:
    """Name of this machine, by which processes of several machines that share a folder tell each other apart."""
    import socket  # here, as below: what reads a store should be imported quickly

    return socket.gethostname()


def process_lives(pid: int, since: float | None = None) -> bool:
    """Whether a process of this machine lives; one that has ended and that nobody asked about (a zombie) does not.

    Args:
        pid: Its number.
        since: Seconds since 1970 at which it began; a later process may have the same number.
    """
    import psutil  # here, for reading a store must need no more than h5py and numpy

    try:
        process = psutil.Process(pid)
        is_same = since is None or abs(process.create_time() - since) < 1
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def home() -> Path:
    """Folder of merflow's own state on this machine: `MERFLOW_HOME`, else `~/.cache/merflow`."""
    return Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "merflow").expanduser().absolute()


def writable_home() -> Path:
    """The same for what must be written; a temporary folder for this process and its children where it cannot be.

    That it is a temporary one is said once, in the log.
    """
    import tempfile

    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        import atexit
        import logging
        import shutil

        temporary = Path(tempfile.mkdtemp(prefix="merflow-home-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        logging.getLogger("merflow").warning(
            "merflow: %s cannot be written (%s); using %s for this run. Set %s to a folder of yours to keep its state",
            folder,
            error.strerror,
            temporary,
            VARIABLE,
        )
        os.environ[VARIABLE] = str(temporary)
        return temporary
