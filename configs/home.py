"""merflow's own folder and the name of this machine: records of pulled weights, the local Prefect server's database."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MERFLOW_HOME"


def host_name() -> str:
    """Name of this machine, by which processes of several machines that share a folder tell each other apart."""
    import socket  # here, as below: what reads a store should be imported quickly

    return socket.gethostname()


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
