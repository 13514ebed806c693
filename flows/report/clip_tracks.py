"""One clip over time: what its features say, as tracks that a page and an image draw alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from storage.records import Features, FeatureSpec
from storage.store.store import FeatureStore
from storage.vocabulary.face_tracks import SPEAKING_COLUMNS, TRACK_COLUMNS
from storage.vocabulary.openface_columns import INTENSITY_AUS
from storage.vocabulary.speech import SPEECH_COLUMNS

Rows = npt.NDArray[np.float64]
FACES = 5  # of a clip that are drawn
COMPONENTS = 3  # principal components of a feature that is too wide to be drawn
NARROW = 16  # columns up to which a feature of which nothing more is known is drawn as lines
_MASK_CELLS = 400
_FACE_LINES = ("face_count", "confidence")
_POSE, _GAZE = ("pose_Rx", "pose_Ry", "pose_Rz"), ("gaze_angle_x", "gaze_angle_y")


@dataclass(frozen=True, eq=False)
class Track:
    """Some columns over time.

    Attributes:
        title: What it shows, and of which feature.
        kind: `lines`, `heat` (a line of cells for each name) or `wave` (two columns: lowest and highest sample).
        times: (T,) seconds from the clip's start: the middles of the rows.
        values: (T, K) float64; NaN where there is no value.
        names: Names of the K columns.
        unit: Of the values.
    """

    title: str
    kind: Literal["lines", "heat", "wave"]
    times: Rows
    values: Rows
    names: Sequence[str]
    unit: str = ""

    @property
    def heading(self) -> str:
        """The title with the unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def limits(self) -> tuple[float, float]:
        """Values at the ends of a heat's colours: from 0 where nothing is less, else from -1; up to 1 at least."""
        return 0.0 if np.nanmin(self.values) >= 0 else -1.0, max(1.0, float(np.nanmax(self.values)))


@dataclass(frozen=True, eq=False)
class ClipTracks:
    """A clip over time.

    Attributes:
        end: Seconds at which its last row ends.
        tracks: What is drawn, from the top.
        numbers: Features with one narrow row: values by column.
        left_out: Features that are not drawn, and why.
    """

    end: float
    tracks: list[Track]
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def tracks_of(store: FeatureStore, clip_id: str, wave: Track | None = None) -> ClipTracks:
    """Gather a clip.

    Args:
        store: The store.
        clip_id: The clip.
        wave: Its audio, where it was read.
    """
    found = {name: store.get(clip_id, name) for name in store.specs if store.has(clip_id, name)}
    specs = store.specs
    numbers: dict[str, dict[str, float]] = {}
    left_out: dict[str, str] = {}
    drawn: list[Track] = [] if wave is None else [wave]
    masks: dict[str, Features] = {}
    for name, rows in found.items():
        spec = specs[name]
        if spec.level == "utterance":
            if len(spec.columns) <= NARROW and rows.valid.all():
                numbers[name] = dict(zip(spec.columns, rows.values[0].tolist(), strict=True))
            else:
                left_out[name] = f"one row of {len(spec.columns)} columns" if rows.valid.all() else "not valid"
        elif not rows.valid.any():
            left_out[name] = "no valid row"
            masks[name] = rows
        elif spec.modality == "text" and (rows.times == rows.times[:1]).all():
            left_out[name] = f"{len(rows.valid)} tokens without times of their own"
        else:
            drawn += _tracks(name, spec, rows)
            masks[name] = rows
    end = max([float(rows.times[:, 1].max()) for rows in masks.values() if len(rows.times)] or [0.0])
    end = max(end, float(wave.times[-1]) if wave is not None and len(wave.times) else 0.0)
    if masks and end:
        drawn.append(_mask_track(masks, end))
    return ClipTracks(end, sorted(drawn, key=_place), numbers, left_out)


_ORDER = ("audio", "voice", "loudness", "pitch", "action units", "head", "gaze", "faces")


def _place(track: Track) -> int:
    """Audio first, then the face, then what networks say, then the masks."""
    if track.title == "valid rows":
        return len(_ORDER) + 1
    return next((i for i, word in enumerate(_ORDER) if track.title.startswith(word)), len(_ORDER))


def _tracks(name: str, spec: FeatureSpec, rows: Features) -> Iterator[Track]:
    """The tracks of one feature: by its columns where they have a meaning for people, else its components."""
    columns, times = spec.columns, rows.times.mean(axis=1)
    values = np.where(rows.valid[:, None], rows.values.astype(np.float64), np.nan)

    def of(title: str, wanted: Sequence[str], kind: Literal["lines", "heat"] = "lines", unit: str = "") -> Track:
        places = [columns.index(column) for column in wanted]
        return Track(f"{title} ({name})", kind, times, values[:, places], list(wanted), unit)

    if columns == SPEAKING_COLUMNS:
        yield _by_face(f"faces: how well each moves with the voice ({name})", times, values, 1)
        return
    if columns[: len(TRACK_COLUMNS)] == TRACK_COLUMNS:
        middles = values[:, [columns.index("x1"), columns.index("x2")]].mean(axis=1, keepdims=True)
        yield _by_face(
            f"faces: where each is, left to right ({name})", times, np.hstack([values[:, :1], middles]), 1, "px"
        )
        return
    if columns == SPEECH_COLUMNS:
        yield of("voice activity", columns)
        return
    loudness = [column for column in columns if column.lower().startswith("loudness")][:1]
    pitch = [column for column in columns if column.startswith("F0semitone")][:1]
    if loudness or pitch:
        if loudness:
            yield of("loudness", loudness, unit="sone")
        if pitch:
            yield _voiced(of("pitch", pitch, unit="semitones over 27.5 Hz"))
        return
    units = [f"{unit}_r" for unit in INTENSITY_AUS if f"{unit}_r" in columns]
    if units:
        yield of("action units", units, "heat", "0..5")
        if set(_POSE) <= set(columns):
            yield of("head pose", _POSE, unit="rad")
        if set(_GAZE) <= set(columns):
            yield of("gaze", _GAZE, unit="rad")
        return
    if set(_FACE_LINES) <= set(columns):
        yield of("faces", _FACE_LINES)
    elif len(columns) <= NARROW:
        yield Track(name, "lines", times, values, list(columns))
    else:
        yield _components(name, times, values, rows.valid)


def _by_face(title: str, times: Rows, values: Rows, column: int, unit: str = "") -> Track:
    """A line for each of the first faces, of rows that are one per frame and face; the id is their first column."""
    moments, at = np.unique(times, return_inverse=True)
    ids = sorted({int(track) for track in values[:, 0][np.isfinite(values[:, 0])]})[:FACES]
    table = np.full((len(moments), len(ids)), np.nan)
    for place, track in enumerate(ids):
        mine = values[:, 0] == track
        table[at[mine], place] = values[mine, column]
    return Track(title, "lines", moments, table, [f"face {track}" for track in ids], unit)


def _voiced(track: Track) -> Track:
    """Pitch without the rows that have none: openSMILE gives 0 there."""
    values = np.where(track.values == 0, np.nan, track.values)
    return replace(track, values=values)


def _components(name: str, times: Rows, values: Rows, valid: npt.NDArray[np.bool_]) -> Track:
    """First principal components of the clip's own valid rows, each scaled to its largest value."""
    centred = values[valid] - values[valid].mean(axis=0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    count = min(COMPONENTS, len(sizes))
    # The sign of a component is free; its largest weight is made positive, so that one clip always looks the same.
    signs = np.sign(right[np.arange(count), np.abs(right[:count]).argmax(axis=1)])
    found = np.full((len(times), count), np.nan)
    found[valid] = left[:, :count] * sizes[:count] * np.where(signs == 0, 1, signs)
    largest = np.nanmax(np.abs(found), axis=0)
    found /= np.where(largest > 0, largest, 1)
    names = [f"component {i + 1}" for i in range(count)]
    return Track(f"{name}: first principal components of {values.shape[1]} columns", "heat", times, found, names, "")


def _mask_track(masks: dict[str, Features], end: float) -> Track:
    """Share of the rows that are valid, of each feature in cells of the whole clip; NaN where it has no row."""
    edges = np.linspace(0, end, _MASK_CELLS + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    columns = []
    for rows in masks.values():
        column = np.full(len(middles), np.nan)
        if len(rows.times):
            last = np.searchsorted(rows.times[:, 0], middles, side="right") - 1
            inside = (last >= 0) & (middles < rows.times[np.maximum(last, 0), 1])
            column[inside] = rows.valid[last[inside]]
        columns.append(column)
    return Track("valid rows", "heat", middles, np.stack(columns, axis=1), list(masks), "0/1")
