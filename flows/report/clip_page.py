"""The page of one clip: its features on one time axis, its failures, what the corpus says of it, its media if asked."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows.report.charts import Chart, as_json
from flows.report.clip_media import ClipMedia
from flows.report.clip_tracks import ClipTracks, Track, tracks_of
from flows.status import known_of
from storage.clip import Clip
from storage.errors import REASONS
from storage.store.store import FeatureStore

COLOURS = ("#3b6ea8", "#c8573a", "#2a9d63", "#8456a8", "#a8872f", "#2f8f9d", "#b0477c", "#5d6b7a", "#6f8f2f", "#4a4aa8",
           "#a84a4a", "#2f6b4f")  # fmt: skip
_HEIGHTS = {"wave": 90, "lines": 120}
_CELL, _LEAST = 16, 60


@dataclass(frozen=True)
class Setting:
    """What all clip pages of a report have in common.

    Attributes:
        folder: Folder of the clip pages, which exists.
        environment: The templates.
        store: Name of the store.
        corpus: Name of the corpus.
        terms: Its licence.
        frames: Whether frames and a copy of the video are written.
    """

    folder: Path
    environment: Any
    store: str
    corpus: str
    terms: str
    frames: bool


def write_clip_page(store: FeatureStore, clip: Clip, flags: list[str], setting: Setting) -> None:
    """Write one clip's page.

    Args:
        store: The store.
        clip: The clip.
        flags: Its flags.
        setting: What all pages have in common.
    """
    with closing(ClipMedia(store, clip, frames=setting.frames)) as media:
        tracks = tracks_of(store, clip.id, media.wave())
        has_strip = setting.frames and media.strip(setting.folder / f"{clip.id}.jpg")
        has_video = has_strip and media.copy(setting.folder / f"{clip.id}.mp4")
    failures = [failure for name in store.specs if (failure := store.index.failure(name, clip.id)) is not None]
    specs = store.specs
    text = setting.environment.get_template("clip.html").render(
        clip=clip,
        store=setting.store,
        corpus=setting.corpus,
        terms=setting.terms,
        flags=flags,
        synthetic=[name for name, spec in specs.items() if spec.synthetic and store.has(clip.id, name)],
        has_strip=has_strip,
        has_video=has_video,
        chart=_chart(tracks) if tracks.tracks else None,
        problem=media.problem,
        left_out=tracks.left_out,
        failures=failures,
        remedies={failure.reason: REASONS[failure.reason].remedy for failure in failures},
        numbers=tracks.numbers,
        units={name: dict(_units(specs[name])) for name in tracks.numbers},
        known=known_of(clip),
    )
    (setting.folder / f"{clip.id}.html").write_text(text, encoding="utf-8")


def heights_of(tracks: list[Track]) -> list[int]:
    """Pixels of each track."""
    return [_HEIGHTS.get(track.kind, max(_CELL * len(track.names), _LEAST)) for track in tracks]


def _title(track: Track) -> str:
    """What a track shows, its unit, and the names of its lines in their colours."""
    if track.kind != "lines" or len(track.names) < 2:
        return track.heading
    names = " ".join(f'<span style="color:{COLOURS[i]}">{name}</span>' for i, name in enumerate(track.names))
    return f"{track.heading}: {names}"


def _units(spec: Any) -> Any:
    units = spec.units if len(spec.units) == len(spec.columns) else spec.units * len(spec.columns)
    return zip(spec.columns, units, strict=True)


def _chart(found: ClipTracks) -> Chart:
    from plotly.subplots import make_subplots

    heights = heights_of(found.tracks)
    total = sum(heights) + 34 * len(heights)
    figure = make_subplots(
        rows=len(heights),
        cols=1,
        shared_xaxes=True,
        row_heights=heights,
        vertical_spacing=26 / total,
        subplot_titles=[_title(track) for track in found.tracks],
    )
    for number, track in enumerate(found.tracks, 1):
        _add(figure, track, number)
    figure.update_xaxes(range=[0, found.end])
    figure.update_xaxes(title_text="seconds from the clip's start", row=len(heights), col=1)
    figure.update_annotations(font_size=12, x=0, xanchor="left")
    figure.update_layout(hovermode="x", showlegend=False)
    height = total + 80
    text = as_json(figure, height)
    return Chart("tracks", "Tracks", text, height)


def _add(figure: Any, track: Track, row: int) -> None:
    times = track.times.round(4)
    if track.kind == "heat":
        low, high = track.limits
        scale = "Viridis" if low == 0 else "RdBu"
        figure.add_heatmap(
            x=times, y=list(track.names), z=_short(track.values.T), zmin=low, zmax=high, colorscale=scale,
            showscale=False, row=row, col=1,
        )  # fmt: skip
        figure.update_yaxes(autorange="reversed", tickfont_size=10, nticks=len(track.names), row=row, col=1)
        return
    for place, name in enumerate(track.names):
        fill = "tonexty" if track.kind == "wave" and place else None
        colour = {"color": COLOURS[place if track.kind == "lines" else 0], "width": 1.3}
        figure.add_scatter(
            x=times,
            y=_short(track.values[:, place]),
            name=name,
            mode="lines",
            line=colour,
            fill=fill,
            connectgaps=False,
            row=row,
            col=1,
        )


def _short(values: Any) -> Any:
    """Half as many bytes: what is drawn has far fewer digits."""
    return values.astype(np.float32)
