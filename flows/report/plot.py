"""One clip over time as an image file: what its page shows, drawn by matplotlib."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import RunError
from flows.report.clip_media import ClipMedia
from flows.report.clip_page import COLOURS, heights_of
from flows.report.clip_tracks import Track, tracks_of
from storage.atomic import publish
from storage.clip import Clip
from storage.store.store import FeatureStore

_PIXELS, _WIDTH = 100, 12.0  # per inch; inches
_SUFFIXES = (".pdf", ".png", ".svg")


def plot_clip(store: FeatureStore, clip: Clip, path: Path) -> list[str]:
    """Draw one clip.

    Args:
        store: The store.
        clip: The clip.
        path: Image to write, as PNG, SVG or PDF by its ending; one that is there is replaced.

    Returns:
        Lines about what is not drawn.

    Raises:
        RunError: If the ending is none of these, or the clip has no rows over time.
    """
    if path.suffix not in _SUFFIXES:
        raise RunError(f"--plot {path}: expected a name that ends in {', '.join(_SUFFIXES)}")
    with closing(ClipMedia(store, clip, frames=False)) as media:
        found = tracks_of(store, clip.id, media.wave())
    if not found.tracks:
        raise RunError(f"{store.path}: clip {clip.id}: no feature has rows over time, so there is nothing to plot")
    _draw(clip.id, found.tracks, found.end, [n for n, spec in store.specs.items() if spec.synthetic], path)
    remarks = [f"{name} is not drawn: {why}" for name, why in found.left_out.items()]
    return remarks + ([f"no audio is drawn: {media.problem}"] if media.problem else [])


def _draw(title: str, tracks: list[Track], end: float, synthetic: list[str], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [height + 34 for height in heights_of(tracks)]
    figure = Figure(figsize=(_WIDTH, (sum(heights) + 90) / _PIXELS), dpi=_PIXELS, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(tracks), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    notice = f"\nrandom weights, numbers mean nothing: {', '.join(synthetic)}" if synthetic else ""
    figure.suptitle(title + notice, fontsize=11)
    for axis, track in zip(axes, tracks, strict=True):
        _add(axis, track)
        axis.set_title(track.heading, fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
    axes[-1].set_xlabel("seconds from the clip's start", fontsize=9)
    axes[-1].set_xlim(0, end)
    with publish(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])


def _add(axis: Any, track: Track) -> None:
    if track.kind == "heat":
        low, high = track.limits
        edges = _edges(track.times)
        lines = np.arange(len(track.names) + 1)
        colours = "viridis" if low == 0 else "RdBu"
        axis.pcolormesh(edges, lines, track.values.T, vmin=low, vmax=high, cmap=colours, rasterized=True)
        axis.set_yticks(lines[:-1] + 0.5, track.names, fontsize=7)
        axis.invert_yaxis()
    elif track.kind == "wave":
        axis.fill_between(track.times, track.values[:, 0], track.values[:, 1], color=COLOURS[0], linewidth=0)
    else:
        for place, name in enumerate(track.names):
            axis.plot(track.times, track.values[:, place], color=COLOURS[place], linewidth=1.2, label=name)
        if len(track.names) > 1:
            axis.legend(fontsize=7, loc="upper right", ncols=len(track.names))


def _edges(times: Any) -> Any:
    """Borders half-way between the middles of cells."""
    if len(times) == 1:
        return np.array([times[0] - 0.02, times[0] + 0.02])
    middles = (times[:-1] + times[1:]) / 2
    return np.r_[2 * times[0] - middles[0], middles, 2 * times[-1] - middles[-1]]
