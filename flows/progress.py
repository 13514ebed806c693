"""Progress reporting: a bar in a terminal, plain lines in a log, nothing in a schedule."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from flows.failures import by_clip
from storage.records import Failure

if TYPE_CHECKING:
    from rich.console import Console

    from flows.plan import Plan

LOG_SECONDS = 30.0
SHOWN_WORKERS, SHOWN_CLIPS = 4, 3


class Hand(NamedTuple):
    """What one worker has in hand.

    Attributes:
        shard: Id of the shard.
        clips: Ids of the clips.
    """

    shard: str
    clips: tuple[str, ...]


class Progress:
    """Reports how a run goes; this one stays silent."""

    def begin(self, plan: Plan, engine: str) -> None:
        """The run starts to work.

        Args:
            plan: What there is to do.
            engine: Where shards run, for people.
        """

    def clips_done(self, number: int, failed: int) -> None:
        """Clips are done.

        Args:
            number: How many; fewer than none where a worker died before it had published what it had told of.
            failed: How many of them failed for at least one feature.
        """

    def failures(self, failures: Sequence[Failure]) -> None:
        """Clips have no values for some features; told of once.

        Args:
            failures: Of one shard.
        """
        for clip_id, reason, message, features in by_clip(failures):
            self.say(f"failed {clip_id}: {reason}: {message} ({', '.join(features)})")

    def in_hand(self, hands: Sequence[Hand]) -> None:
        """What workers are working on.

        Args:
            hands: One for each shard that is with a worker.
        """

    def say(self, text: str) -> None:
        """Something worth a line.

        Args:
            text: The line.
        """

    def end(self) -> None:
        """The run stops working, for whatever reason."""


def hours(seconds: float | None) -> str:
    """Hours, minutes and seconds, or `?` where nobody knows.

    >>> hours(3725), hours(None)
    ('1:02:05', '?')
    """
    if seconds is None:
        return "?"
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


class Counting(Progress):
    """Counts the clips of a run.

    Attributes:
        total: Clips to do.
        done: Clips done.
        failed: Those of them that failed.
    """

    def __init__(self) -> None:
        self.total = self.done = self.failed = 0
        self._begin = time.monotonic()

    def begin(self, plan: Plan, engine: str) -> None:
        """Count from here.

        Args:
            plan: What there is to do.
            engine: Where shards run, for people.
        """
        self.total = plan.todo
        self._begin = time.monotonic()

    def clips_done(self, number: int, failed: int) -> None:
        """Count them.

        Args:
            number: How many.
            failed: How many of them failed.
        """
        self.done += number
        self.failed += failed
        self.show()

    def show(self) -> None:
        """Show what was counted; this one does not."""

    @property
    def rate(self) -> float:
        """Clips per second since the start."""
        return self.done / max(1e-9, time.monotonic() - self._begin)

    @property
    def seconds_left(self) -> float | None:
        """Seconds left at this rate; None before the first clip."""
        return (self.total - self.done) / self.rate if self.done else None

    @property
    def left(self) -> str:
        """Time left at this rate, or `?`."""
        return hours(self.seconds_left)


class Lines(Counting):
    """Plain lines for a log file: at the start, every 30 s, and at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = 0.0

    def begin(self, plan: Plan, engine: str) -> None:
        """Say how much there is to do and where.

        Args:
            plan: What there is to do.
            engine: Where shards run, for people.
        """
        super().begin(plan, engine)
        self._line(f"{plan.todo} of {plan.clips} clips to do ({plan.seconds:.0f} s of media), {engine}")

    def show(self) -> None:
        """Say how far the run is, not more often than every 30 s."""
        if time.monotonic() - self._shown >= LOG_SECONDS or self.done == self.total:
            self._line(
                f"{self.done}/{self.total} clips, {self.failed} failed, {self.rate:.2f} clips/s, {self.left} left"
            )

    def say(self, text: str) -> None:
        """A line of its own.

        Args:
            text: The line.
        """
        self._line(text)

    def _line(self, text: str) -> None:
        self._shown = time.monotonic()
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        sys.stderr.flush()


class Bar(Counting):
    """A live progress bar: clips done, failed, rate, time left."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        super().__init__()
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("clips, {task.fields[failed]} failed, {task.fields[rate]}, {task.fields[left]} left"),
            TextColumn("{task.fields[hands]}", markup=False),
            console=console,
        )
        self._task = self._bar.add_task("extracting", total=None, failed=0, rate="- clips/s", left="?", hands="")

    def begin(self, plan: Plan, engine: str) -> None:
        """Show the bar.

        Args:
            plan: What there is to do.
            engine: Where shards run, for people.
        """
        super().begin(plan, engine)
        self._bar.console.print(f"{plan.todo} of {plan.clips} clips to do ({plan.seconds:.0f} s of media), {engine}")
        self._bar.update(self._task, total=plan.todo)
        self._bar.start()

    def show(self) -> None:
        """Move the bar."""
        rate = f"{self.rate:.2f} clips/s"
        self._bar.update(self._task, completed=self.done, failed=self.failed, rate=rate, left=self.left)

    def say(self, text: str) -> None:
        """A line above the bar.

        Args:
            text: The line.
        """
        self._bar.console.print(text, markup=False, highlight=False)

    def in_hand(self, hands: Sequence[Hand]) -> None:
        """Show what workers are working on.

        Args:
            hands: One for each shard that is with a worker.
        """
        busy = [hand for hand in hands if hand.clips]
        shown = "; ".join(", ".join(hand.clips[:SHOWN_CLIPS]) for hand in busy[:SHOWN_WORKERS])
        more = f"; and {len(busy) - SHOWN_WORKERS} more workers" if len(busy) > SHOWN_WORKERS else ""
        self._bar.update(self._task, hands=f"({shown}{more})" if busy else "")

    def end(self) -> None:
        """Leave the bar as it is."""
        self._bar.update(self._task, hands="")
        self._bar.stop()


_progress: ContextVar[Progress] = ContextVar("merflow_progress")


def current_progress() -> Progress:
    """What reports the progress of runs in this context."""
    return _progress.get(Progress())


@contextmanager
def reporting(progress: Progress) -> Iterator[None]:
    """Have `progress` report the runs of this block."""
    token = _progress.set(progress)
    try:
        yield
    finally:
        progress.end()
        _progress.reset(token)
