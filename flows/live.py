"""How a run goes, noted in the store every two seconds, so that another terminal can tell: what `status` reads."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.flight import last_seen
from flows.progress import Counting, Hand, Progress, hours
from storage.records import Failure
from storage.store.files import list_files, read_json, write_small
from storage.store.layout import flights_path, progress_path
from storage.store.runs import live_run, now, read_runs

if TYPE_CHECKING:
    from flows.plan import Plan

NOTE_SECONDS = 2.0


class NotedProgress(Counting):
    """Hands everything on to what reports here, and notes it in the store; `close` it.

    Args:
        here: What reports the run in its own process.
        store: Folder of the store.
        run: Id of the run.
    """

    def __init__(self, here: Progress, store: Path, run: str) -> None:
        super().__init__()
        self._here, self._store, self._run = here, store, run
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="merflow-progress", daemon=True)

    def begin(self, plan: Plan, engine: str) -> None:
        """The run starts to work.

        Args:
            plan: What there is to do.
            engine: Where shards run, for people.
        """
        super().begin(plan, engine)
        self._here.begin(plan, engine)
        self._thread.start()

    def clips_done(self, number: int, failed: int) -> None:
        """Clips are done.

        Args:
            number: How many.
            failed: How many of them failed.
        """
        super().clips_done(number, failed)
        self._here.clips_done(number, failed)

    def failures(self, failures: Sequence[Failure]) -> None:
        """Clips have no values for some features.

        Args:
            failures: Of one shard.
        """
        self._here.failures(failures)

    def say(self, text: str) -> None:
        """Something worth a line.

        Args:
            text: The line.
        """
        self._here.say(text)

    def close(self) -> None:
        """Stop noting."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        while not self._closed.wait(NOTE_SECONDS):
            with suppress(OSError):  # what cannot be read or written is told of where the run writes its results
                hands = self._hands()
                self._here.in_hand(hands)
                write_small(progress_path(self._store, self._run), json.dumps(self._noted(hands)))

    def _hands(self) -> list[Hand]:
        files = list_files(flights_path(self._store, self._run), "*")
        found = [Hand(path.name, tuple(sorted(last_seen(path).clips))) for path in files]
        return [hand for hand in found if hand.clips]

    def _noted(self, hands: Sequence[Hand]) -> dict[str, Any]:
        left = self.seconds_left
        return {
            "run": self._run,
            "done": self.done,
            "failed": self.failed,
            "total": self.total,
            "clips_per_second": round(self.rate, 3),
            "seconds_left": None if left is None else round(left),
            "updated": now(),
            "in_hand": [{"shard": hand.shard, "clips": list(hand.clips)} for hand in hands],
        }


def read_live(store: Path) -> dict[str, Any] | None:
    """How the run goes that is working on a store now; None where none is.

    Args:
        store: Folder of the store.
    """
    run = live_run(read_runs(store))
    if run is None:
        return None
    with suppress(OSError, ValueError):
        return dict(read_json(progress_path(store, run["run"])))
    return {"run": run["run"], "done": 0, "failed": 0, "total": None, "in_hand": []}


def live_line(live: dict[str, Any]) -> str:
    """One line about a run that goes on.

    Args:
        live: What `read_live` gave.
    """
    if live.get("total") is None:
        return f"run {live['run']} begins"
    counts = f"{live['done']}/{live['total']} clips, {live['failed']} failed"
    return (
        f"run {live['run']}: {counts}, {live['clips_per_second']:.2f} clips/s, {hours(live.get('seconds_left'))} left"
    )
