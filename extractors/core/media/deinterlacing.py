"""Interlaced frames as whole ones: FFmpeg's bwdif, on the frames that are marked as interlaced."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av

Timed = tuple[av.AudioFrame | av.VideoFrame, Fraction]


def deinterlaced(frames: Iterable[Timed], *, wanted: bool) -> Iterator[Timed]:
    """Decoded frames with their times, video frames deinterlaced; one comes out for each that goes in, in order.

    Args:
        frames: Decoded frames with their times.
        wanted: Whether to do it; else everything passes.
    """
    if not wanted:
        yield from frames
        return
    filters = _Filter()
    for frame, time in frames:
        if isinstance(frame, av.VideoFrame):
            yield from filters.push(frame, time)
        else:
            yield frame, time
    yield from filters.flush()


class _Filter:
    """FFmpeg's filter for frames of one size and format; it looks one frame ahead."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._form: tuple[int, int, str] | None = None
        self._waiting: deque[tuple[Fraction, int | None, int, Any]] = deque()

    def push(self, frame: av.VideoFrame, time: Fraction) -> Iterator[Timed]:
        form = frame.width, frame.height, frame.format.name
        if form != self._form:
            yield from self.flush()
            self._form, self._graph = form, _graph(frame)
        self._waiting.append((time, frame.pts, frame.duration, frame.time_base))
        frame.pts = len(self._waiting) if frame.pts is None else frame.pts
        if self._graph is not None:
            self._graph.push(frame)
        yield from self._pulled()

    def flush(self) -> Iterator[Timed]:
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pulled()
            self._graph = None

    def _pulled(self) -> Iterator[Timed]:
        while self._graph is not None:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            time, pts, duration, base = self._waiting.popleft()
            if isinstance(frame, av.VideoFrame):
                frame.pts, frame.duration, frame.time_base = pts, duration, base
                yield frame, time


def _graph(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
    )
    whole = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    sink = graph.add("buffersink")
    source.link_to(whole)
    whole.link_to(sink)
    graph.configure()
    return graph
