"""Ctrl-C and SIGTERM in a run: the first one lets the clip in hand be finished, the second one ends it at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from flows.dispatch import Dispatch


@contextmanager
def interruptible(dispatch: Dispatch) -> Iterator[None]:
    """Answer to both signals while a run works; in a thread other than the main one nothing is changed.

    Args:
        dispatch: What is asked to stop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        clips = dispatch.interrupt()
        of = f"finishing {', '.join(clips[:3])}" if clips else "finishing"
        again = "press Ctrl-C again" if number == signal.SIGINT else "send the signal again"
        sys.stderr.write(f"merflow: interrupted: {of}; {again} to abort at once\n")
        sys.stderr.flush()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
