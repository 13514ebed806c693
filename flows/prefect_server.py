"""The one local Prefect server.

Where `PREFECT_API_URL` names a server, it is used and left alone. Otherwise merflow starts one for this machine (its
state lies in a folder of the machine's name, for clusters share home folders),
quietly and with analytics off, shares it between runs, and stops it when its last user has gone, even one that was
killed: a small keeper process owns the server and watches its users.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock

from configs.errors import RunError
from configs.home import home, host_name, process_lives, writable_home
from configs.processes import python_module
from storage.atomic import write_text

_PORTS = range(20_000, 32_000)
START_SECONDS = 180.0
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",  # what is older than 90 days goes
}

_started: list[subprocess.Popen[bytes]] = []  # keepers this process started, to be reaped by it


@contextmanager
def prefect_server(is_stopping: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """Make sure a Prefect server answers, and point Prefect at it; call before importing prefect.

    Args:
        is_stopping: Asked while a server starts: whether it is not needed any more.

    Yields:
        The server's API address.

    Raises:
        KeyboardInterrupt: If it is not needed any more.
        RunError: If a server named by `PREFECT_API_URL` does not answer, or none could be started.
    """
    user_url = check_prefect()
    if user_url:
        own = QUIET | {"PREFECT_LOGGING_TO_API_ENABLED": "true"}  # whoever has a server looks at its pages
        os.environ.update({k: v for k, v in own.items() if k not in os.environ})
        yield user_url
        return
    added = {k: v for k, v in QUIET.items() if k not in os.environ}
    folder = writable_home() / "prefect" / host_name()
    state = None
    with _registered(folder):
        url = _running(folder, is_stopping) or _start(folder, is_stopping)
        os.environ.update(added | {"PREFECT_API_URL": url, "PREFECT_HOME": str(folder)})
        try:
            yield url
        finally:
            for name in (*added, "PREFECT_API_URL", "PREFECT_HOME"):
                os.environ.pop(name, None)
            state = _state(folder)
    _await_end(folder, state)


def check_prefect() -> str | None:
    """Address of the server that `PREFECT_API_URL` names; None where it names none.

    Raises:
        RunError: If it does not answer.
    """
    user_url = os.environ.get("PREFECT_API_URL")
    if user_url and not is_healthy(user_url):
        raise RunError(f"PREFECT_API_URL is {user_url}, but no Prefect server answers there; start it, or unset it")
    return user_url or None


def running_server() -> str | None:
    """Address of this machine's own server; None where it does not run."""
    state = _kept(home() / "prefect" / host_name())
    return str(state["url"]) if state is not None and is_healthy(state["url"]) else None


@contextmanager
def _registered(folder: Path) -> Iterator[None]:
    users = folder / "users"
    users.mkdir(parents=True, exist_ok=True)
    me = users / f"{os.getpid()}.json"
    with _lock(folder):
        me.write_text(json.dumps({"created": psutil.Process().create_time()}), encoding="utf-8")
    try:
        yield
    finally:
        me.unlink(missing_ok=True)


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / "lock", timeout=START_SECONDS)


def _running(folder: Path, is_stopping: Callable[[], bool]) -> str | None:
    state = _kept(folder)
    deadline = time.monotonic() + START_SECONDS
    while state is not None and _alive(state["keeper"], state["created"]) and time.monotonic() < deadline:
        if is_stopping():
            raise KeyboardInterrupt
        if is_healthy(state["url"]):
            return str(state["url"])
        time.sleep(0.2)
    return None


def _start(folder: Path, is_stopping: Callable[[], bool]) -> str:
    with _lock(folder):
        state = _state(folder)
        if _kept(folder) is None:
            log = (folder / "server.log").open("ab")
            with log:
                # One of before may have outlived its last use here, for another process used it too.
                _started[:] = [keeper for keeper in _started if keeper.poll() is None]
                _started.append(
                    subprocess.Popen(
                        python_module("flows.prefect_server", str(folder), str(_free_port())),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,  # Ctrl-C in the terminal must not reach it before its users are done
                    )
                )
                _await_state(folder, state)
    url = _running(folder, is_stopping)
    if url is None:
        raise RunError(f"the local Prefect server did not start; its log is {folder / 'server.log'}")
    return url


def _await_state(folder: Path, old: dict[str, object] | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while _state(folder) in (None, old) and time.monotonic() < deadline:
        if _started and _started[-1].poll() is not None:
            return  # it ended at once: its log says why
        time.sleep(0.05)


def _await_end(folder: Path, state: dict[str, object] | None) -> None:
    """Wait for the keeper to stop the server, unless others still use it."""
    deadline = time.monotonic() + 30
    while state is not None and _alive(state["keeper"], state["created"]) and time.monotonic() < deadline:
        if _users(folder):
            return
        time.sleep(0.1)
    for keeper in _started:
        keeper.poll()


def _state(folder: Path) -> dict[str, object] | None:
    try:
        loaded: dict[str, object] = json.loads((folder / "server.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return loaded


def _kept(folder: Path) -> dict[str, object] | None:
    """What is known of a server whose keeper lives; None if there is none."""
    state = _state(folder)
    return state if state is not None and _alive(state["keeper"], state["created"]) else None


def _alive(pid: object, created: object) -> bool:
    return process_lives(int(str(pid)), float(str(created)))


def _users(folder: Path) -> list[int]:
    living = []
    for file in (folder / "users").glob("*.json"):
        try:
            created = json.loads(file.read_text(encoding="utf-8"))["created"]
        except (FileNotFoundError, ValueError):
            continue
        if _alive(file.stem, created):
            living.append(int(file.stem))
        else:
            file.unlink(missing_ok=True)
    return living


def is_healthy(url: object) -> bool:
    """Whether a Prefect server answers at an API address."""
    try:
        # Not `urlopen`: it keeps the proxies of the environment in which it was first called in this process.
        with urllib.request.build_opener().open(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _free_port() -> int:
    """A port that is free and stays so: the server takes it seconds later.

    Systems hand out ports from 32768 on to whoever asks for any (macOS and Windows from 49152 on).
    """
    while True:
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def keep(folder: Path, port: int) -> None:
    """Run a Prefect server until nobody uses it any more; the body of the keeper process.

    Args:
        folder: merflow's own Prefect folder.
        port: Port of the server.
    """
    environment = os.environ | QUIET | {"PREFECT_HOME": str(folder)}
    environment.pop("PREFECT_API_URL", None)
    command = python_module("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    server = subprocess.Popen(command, env=environment)
    try:
        created = psutil.Process().create_time()
        state = {"keeper": os.getpid(), "created": created, "url": f"http://127.0.0.1:{port}/api"}
        write_text(folder / "server.json", json.dumps(state))
        while server.poll() is None:
            time.sleep(0.5)
            with _lock(folder):
                if not _users(folder):
                    (folder / "server.json").unlink(missing_ok=True)
                    break
    finally:
        stop_server(server)


def stop_server(server: subprocess.Popen[bytes]) -> None:
    """End a server and all that it started."""
    family = (
        [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
        if server.poll() is None
        else []
    )
    for process in family:
        process.terminate()
    _, stubborn = psutil.wait_procs(family, timeout=10)
    for process in stubborn:
        process.kill()


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]))
