"""Leases: several runs on one store share the work, and none computes what another one is computing.

A run claims a batch by a small file, `leases/<shard>.json`, in two steps: it writes what it wants as `claiming`, looks
at everyone else's files in the same folder, and writes what it got as `held`. Of two runs that claim at the same time
each sees the other: the one with the greater id gives way at once, the other one waits until that has happened. No file
is locked. A run shows that it lives by a counter, `leases/<run>.beat`; one whose counter has stood still for
`EXPIRY_SECONDS` of the observer's own clock is dead, whatever its machine's clock says.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.atomic import temporary_name
from storage.errors import StoreError
from storage.store.files import exists, list_files, read_json, remove, write_small
from storage.store.layout import LEASE_FILES, beat_path, lease_path, run_path
from storage.store.runs import is_gone, owner

BEAT_SECONDS = 5.0
EXPIRY_SECONDS = 60.0
LOOK_SECONDS = 0.02

Pairs = dict[str, set[str]]

_WORKING: set[str] = set()  # runs of this process: one that could not give back what it held is over all the same


class Leases:
    """What a run holds of a store's work.

    Args:
        store: Folder of the store.
        run: Id of the run; ids sort by time.

    Attributes:
        record: The run's own record.
    """

    def __init__(self, store: Path, run: str) -> None:
        self._store, self._run = store, run
        self.record = run_path(store, run)
        self._owner = owner()
        _WORKING.add(run)
        self._beat = 0
        self._seen: dict[str, tuple[int, float]] = {}
        self._dead: set[str] = set()
        self._closed = threading.Event()
        self._show()
        self._thread = threading.Thread(target=self._live, name="merflow-lease", daemon=True)
        self._thread.start()

    def claim(self, shard: str, wanted: Mapping[str, Iterable[str]]) -> Pairs:
        """Claim a batch.

        Args:
            shard: Its id, which begins with the run's.
            wanted: Features by clip.

        Returns:
            The clips of which no other run holds any of these features; nothing is held if there is none.

        Raises:
            OSError: If the claim cannot be written.
        """
        path = lease_path(self._store, shard)
        mine = {clip_id: set(features) for clip_id, features in wanted.items()}
        write_small(path, json.dumps({"run": self._run, "state": "claiming", "pairs": _plain(mine)}))
        taken = self._of_others(mine)
        free = {clip_id: features for clip_id, features in mine.items() if clip_id not in taken}
        if free:
            write_small(path, json.dumps({"run": self._run, "state": "held", "pairs": _plain(free)}))
        else:
            remove(path)
        return free

    def release(self, shard: str) -> None:
        """Give a batch back; its results are published, or it was given up.

        Args:
            shard: Its id.
        """
        with suppress(OSError):
            remove(lease_path(self._store, shard))

    def others(self) -> set[str]:
        """Ids of other runs that hold something, as far as they live."""
        return {run for run, _ in self._leases_of_others()}

    def close(self) -> None:
        """Give everything back, also what dead runs have left."""
        self._closed.set()
        self._thread.join()
        _WORKING.discard(self._run)
        for path in list_files(self._store, LEASE_FILES):
            if _run_of(path) == self._run or _run_of(path) in self._dead:
                with suppress(OSError):
                    remove(path)
        for run in (self._run, *self._dead):
            with suppress(OSError):
                remove(beat_path(self._store, run))

    def _of_others(self, wanted: Pairs) -> set[str]:
        """Clips of which other runs hold one of these features; waits for claims that must give way."""
        while True:
            taken: set[str] = set()
            is_open = False
            for run, path in self._leases_of_others():
                lease = _read(path)
                shared = {i for i, f in lease.get("pairs", {}).items() if i in wanted and wanted[i] & set(f)}
                if not shared:
                    continue
                if lease["state"] == "claiming" and run > self._run:
                    is_open = True  # it sees this run's claim, or has seen none yet: wait what it makes of it
                    continue
                taken |= shared
            if not is_open:
                return taken
            time.sleep(LOOK_SECONDS)

    def _leases_of_others(self) -> Iterator[tuple[str, Path]]:
        for path in list_files(self._store, LEASE_FILES):
            run = _run_of(path)
            if run != self._run and self._lives(run):
                yield run, path

    def _lives(self, run: str) -> bool:
        if run in self._dead:
            return False
        beat = _read(beat_path(self._store, run))
        now, count = time.monotonic(), int(beat.get("beat", -1))
        if run not in self._seen or self._seen[run][0] != count:
            self._seen[run] = (count, now)
        is_ours = beat.get("owner") == self._owner
        is_over = run not in _WORKING if is_ours else is_gone(beat.get("owner"))
        if is_over or now - self._seen[run][1] > EXPIRY_SECONDS:
            self._dead.add(run)
            return False
        return True

    def _live(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            with suppress(OSError):  # the work itself will say what is wrong with the store
                self._show()

    def _show(self) -> None:
        if self._beat and not exists(self._store):
            return
        self._beat += 1
        write_small(beat_path(self._store, self._run), json.dumps({"beat": self._beat, "owner": self._owner}))


def check_claims(store: Path) -> None:
    """Refuse object storage where runs would not see each other's claims as soon as these are written.

    Args:
        store: Address of the store; it need not be there yet.

    Raises:
        StoreError: If something written there is not listed at once.
        OSError: If nothing can be written there.
    """
    probe = lease_path(store, temporary_name())
    write_small(probe, "")
    try:
        if probe not in list_files(store, f"{probe.parent.name}/*"):
            raise StoreError(f"{store}: what is written is not listed at once; do not start two runs on a store here")
    finally:
        remove(probe)


def _plain(pairs: Pairs) -> dict[str, list[str]]:
    return {clip_id: sorted(features) for clip_id, features in pairs.items()}


def _run_of(path: Path) -> str:
    """Id of the run in the name of a lease: `<time>-<random>-<number>`."""
    return "-".join(path.stem.split("-")[:2])


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = read_json(path)
    except (OSError, ValueError):
        return {}  # given back between listing and reading
    return content
