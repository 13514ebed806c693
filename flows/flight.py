"""Which clips a worker has in hand, noted where those who outlive it can read it.

One small file per shard, to which lines are added: `+ id` when work on a clip begins, `- id` when it has ended. The
time limit of clips is kept by `faulthandler`, which needs neither Python's lock nor a decoder's cooperation: it writes
where every thread is into the same file, and ends the process.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from configs.home import writable_home
from configs.paths import is_remote
from storage.clip import Clip
from storage.store.files import open_append, open_lines, read_text, remove

_LATE = "Timeout ("
_HUNGRY = "!"
MEMORY_SECONDS = 0.05


class Flight:
    """Notes the clips that this process has in hand.

    Args:
        path: The shard's file.
        limit: Seconds that work on a clip may take.
        most_bytes: Memory that this process may hold.
        armed: Whether this process ends when a clip takes longer or it holds more; only where another one sees that.
    """

    def __init__(self, path: Path, limit: Callable[[Clip], float], most_bytes: int, *, armed: bool) -> None:
        self._path, self._limit, self._armed = path, limit, armed
        self._trace = open_append(_here(path))  # faulthandler needs a file of this machine
        self._file = open_lines(path) if is_remote(path) else self._trace
        self._limits: dict[str, float] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        if armed:
            threading.Thread(target=self._watch_memory, args=(most_bytes,), daemon=True).start()

    def begin(self, clip: Clip) -> None:
        """Work on a clip begins.

        Raises:
            OSError: If that cannot be noted.
        """
        with self._lock:
            self._limits[clip.id] = self._limit(clip)
            self._file.write(f"+ {clip.id}\n".encode())
            self._arm()

    def step(self) -> None:
        """Work on the clips in hand has come further."""
        with self._lock:
            self._arm()

    def end(self, clips: Iterable[Clip]) -> None:
        """Work on clips has ended.

        Raises:
            OSError: If that cannot be noted.
        """
        with self._lock:
            for clip in clips:
                self._limits.pop(clip.id, None)
                self._file.write(f"- {clip.id}\n".encode())
            self._arm()

    def close(self) -> None:
        """Nothing is in hand any more."""
        with self._lock:
            self._closed.set()
            self._limits.clear()
            self._arm()
            self._file.close()
            self._trace.close()
            with suppress(OSError):
                remove(self._path)
                remove(_here(self._path))

    def _watch_memory(self, most_bytes: int) -> None:
        process = psutil.Process()
        while not self._closed.wait(MEMORY_SECONDS):
            held = process.memory_info().rss
            if held > most_bytes:
                self._file.write(f"{_HUNGRY} {held >> 20} MiB held, at most {most_bytes >> 20} MiB\n".encode())
                os._exit(1)

    def _arm(self) -> None:
        if not self._armed:
            return
        if self._limits:
            faulthandler.dump_traceback_later(sum(self._limits.values()), exit=True, file=self._trace)
        else:
            faulthandler.cancel_dump_traceback_later()


def _here(path: Path) -> Path:
    """The file on this machine beside an object; the shard's own file in a folder."""
    if not is_remote(path):
        return path
    return writable_home() / "flights" / hashlib.sha256(str(path).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class LastSeen:
    """What a worker that died had in hand.

    Attributes:
        clips: Ids of the clips.
        is_late: Whether it ended itself because its clips took longer than their limit.
        hunger: How much memory it held, if it ended itself because of that.
        where: Where its threads were then, as `faulthandler` writes it.
    """

    clips: frozenset[str] = frozenset()
    is_late: bool = False
    hunger: str = ""
    where: str = ""

    def verdict(self, limit: float) -> tuple[str, str]:
        """Reason code and message for a clip that was in hand in two deaths, the second time alone.

        Args:
            limit: Seconds that work on it may take.
        """
        if self.hunger:
            return "out_of_memory", f"its worker process was ended twice, the second time alone: {self.hunger}"
        if self.is_late:
            return "timeout", f"it took longer than {limit:.0f} s beside other clips, and again alone"
        return "crash", "its worker process died with other clips around it, and again with this one alone"


def last_seen(path: Path) -> LastSeen:
    """Read what a worker noted.

    Args:
        path: The shard's file; it may be missing.
    """
    text = read_text(path) + (read_text(_here(path)) if is_remote(path) else "")
    noted, late, where = text.partition(_LATE)
    clips: set[str] = set()
    hunger = ""
    for line in noted.splitlines():
        sign, _, clip_id = line.partition(" ")
        if sign == "+":
            clips.add(clip_id)
        elif sign == "-":
            clips.discard(clip_id)
        elif sign == _HUNGRY:
            hunger = clip_id
    return LastSeen(frozenset(clips), bool(late), hunger, late + where)
