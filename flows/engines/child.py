"""The process in which the engine `local` extracts: gets shards through a socket, gives events and reports.

It decodes and extracts apart from the run, so that a decoder's crash costs a clip and not the run. It ends with the
run, however that ends; what a terminal sends (Ctrl-C) is the run's business.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection

from configs.errors import RunError
from storage.clip import Clip


def main(jobs_fd: int, life_fd: int) -> None:
    """Extract shards until the run is gone.

    Args:
        jobs_fd: Socket of jobs, events and reports.
        life_fd: Pipe that closes when the run's process ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_run, args=(life_fd,), daemon=True).start()
    connection = Connection(jobs_fd)
    from flows.worker import extract_shard

    def on_clip(clip: Clip, failed: bool) -> None:
        connection.send(("clip", (clip, failed)))

    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            connection.send(("report", extract_shard(job, on_clip, armed=True)))
        except RunError as error:
            connection.send(("error", type(error)(str(error))))
        except Exception as error:  # noqa: BLE001  # told to the run, which judges it
            connection.send(("error", RuntimeError(f"{type(error).__name__}: {error}")))


def _end_with_the_run(life_fd: int) -> None:
    os.read(life_fd, 1)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
