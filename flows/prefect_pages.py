"""Prefect's own pages about this machine's runs, by a server of their own on the same history."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable

from configs.errors import RunError
from configs.home import host_name, writable_home
from configs.processes import python_module
from flows.prefect_server import QUIET, START_SECONDS, is_healthy, stop_server


def serve_pages(port: int, told: Callable[[str], None]) -> None:
    """Serve Prefect's pages about this machine's runs until interrupted; runs and their own server are left alone.

    Args:
        port: Port of the pages, on this machine alone.
        told: Called with their address once they answer.

    Raises:
        RunError: If the port is taken, `PREFECT_API_URL` names a server, or the pages do not come up.
    """
    user_url = os.environ.get("PREFECT_API_URL")
    if user_url:
        raise RunError(f"PREFECT_API_URL is {user_url}: that server has pages of its own; or unset it")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise RunError(f"port {port} is taken; choose another one with --port")
    folder, url = writable_home() / "prefect" / host_name(), f"http://127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"PREFECT_HOME": str(folder), "PREFECT_SERVER_UI_ENABLED": "true", "PREFECT_UI_API_URL": f"{url}/api"}
    command = python_module("prefect", "server", "start", "--no-services", "--host", "127.0.0.1")
    with (folder / "pages.log").open("ab") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)], env=os.environ | QUIET | settings, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_healthy(f"{url}/api"):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RunError(f"Prefect's pages did not come up; their log is {folder / 'pages.log'}")
            time.sleep(0.2)
        told(url)
        server.wait()
    finally:
        stop_server(server)
