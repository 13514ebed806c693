"""FFmpeg's resampler to 16 kHz, 16 bits."""

from __future__ import annotations

import struct
from typing import Any

import av

AUDIO_RATE = 16_000
_DOWN_MIX = struct.Struct("<i4x5d")  # FFmpeg's AVDownmixInfo: type, centre, centre LtRt, surround, surround LtRt, LFE


class Resampler:
    """What `ffmpeg -ac 1 -ar 16000 -c:a pcm_s16le` makes of decoded frames.

    Some streams (AC-3, DTS) carry the levels of their own down-mix; FFmpeg's program uses them, PyAV's resampler does
    not, so that they are given to the filter by hand.

    Args:
        frame: The first frame of the stream.
        down_mix: Whether all channels become one; else each is kept.
    """

    def __init__(self, frame: av.AudioFrame, *, down_mix: bool) -> None:
        layout = "mono" if down_mix else frame.layout.name
        levels = _down_mix_levels(frame) if down_mix else None
        self._graph = None if levels is None else _graph(frame, levels)
        self._plain = av.AudioResampler(format="s16p", layout=layout, rate=AUDIO_RATE)

    def resample(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
        """The frame at 16 kHz, as far as it is there already; the rest with None."""
        if frame is not None:
            frame.pts = None  # the resampler is not to move samples
        if self._graph is None:
            return self._plain.resample(frame)
        self._graph.push(frame)
        frames = []
        while True:
            try:
                frames.append(self._graph.pull())
            except (BlockingIOError, EOFError):
                return [f for f in frames if isinstance(f, av.AudioFrame)]


def _down_mix_levels(frame: av.AudioFrame) -> str | None:
    """The stream's own levels as options of `aresample`; None if it has none."""
    side: Any = frame.side_data.get("DOWNMIX_INFO")
    if side is None:
        return None
    kind, centre, centre_lt, surround, surround_lt, lfe = _DOWN_MIX.unpack(bytes(side)[: _DOWN_MIX.size])
    if kind > 1:  # LtRt and Dolby Pro Logic II
        centre, surround = centre_lt, surround_lt
    return f"clev={centre!r}:slev={surround!r}:lfe_mix_level={lfe!r}"


def _graph(frame: av.AudioFrame, levels: str) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate, format=frame.format.name, layout=frame.layout.name, time_base=frame.time_base
    )
    mix = graph.add("aresample", f"{AUDIO_RATE}:ochl=mono:osf=s16p:{levels}")
    form = graph.add("aformat", f"sample_fmts=s16p:sample_rates={AUDIO_RATE}:channel_layouts=mono")
    sink = graph.add("abuffersink")
    source.link_to(mix)
    mix.link_to(form)
    form.link_to(sink)
    graph.configure()
    return graph
