"""Tracks as a stored `face_tracks` has them, and what `speaking` says of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from extractors.core.faces.main_face import FoundTracks
from extractors.core.faces.tracking import Track, iou
from extractors.core.media.clip_media import Media
from storage.errors import ClipError
from storage.face_points import PointedFace
from storage.records import Features
from storage.vocabulary.face_tracks import FACE_TRACKS, TRACK_COLUMNS

_BOX, _CONFIDENCE, _DETECTED, _POINTS = slice(1, 5), 5, 6, len(TRACK_COLUMNS)


def read_tracks(rows: Features, stamps: npt.NDArray[np.float64]) -> tuple[Track, ...]:
    """The tracks of a clip, by id.

    Args:
        rows: Its `face_tracks`.
        stamps: (T, 2) seconds in which its frames are shown.
    """
    frames = np.searchsorted(stamps[:, 0], rows.times[:, 0])
    tracks = []
    for track_id in sorted(set(rows.values[:, 0].astype(int).tolist())):
        mine = np.flatnonzero(rows.values[:, 0] == track_id)
        at = frames[mine]
        table = np.full((at[-1] - at[0] + 1, rows.values.shape[1]), np.nan, np.float32)
        table[at - at[0]] = rows.values[mine]
        tracks.append(Track(track_id, int(at[0]), table[:, _BOX], table[:, _CONFIDENCE], table[:, _POINTS:]))
    return tuple(tracks)


def without_gaps(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(N, D) places of a track, such as its landmarks, with its gaps interpolated."""
    known = np.flatnonzero(np.isfinite(values[:, 0]))
    at = np.arange(len(values))
    filled: npt.NDArray[np.float64] = np.stack(
        [np.interp(at, known, column[known]) for column in values.T.astype(np.float64)], axis=1
    )
    return filled


def stored_tracks(media: Media) -> FoundTracks:
    """The tracks of a clip's `face_tracks`.

    Args:
        media: The clip's media.

    Raises:
        ClipError: If the clip has no frames, or no `face_tracks`.
    """
    stamps, rows = media.frame_times(), media.feature(FACE_TRACKS)
    detected = np.zeros(len(stamps), np.bool_)
    looked = rows.values[:, _DETECTED] == 1
    detected[np.searchsorted(stamps[:, 0], rows.times[looked, 0])] = True
    return FoundTracks(read_tracks(rows, stamps), detected, next(media.frames()).size)


def pointed_track(found: FoundTracks, pointed: PointedFace, stamps: npt.NDArray[np.float64]) -> Track:
    """The track that somebody pointed out: the one that holds the point for longest, or overlaps the box most.

    Args:
        found: All tracks.
        pointed: The point or box.
        stamps: (T, 2) seconds in which the frames are shown.

    Raises:
        ClipError: `no_such_face` if no track is there.
    """
    at = np.array(pointed.at, np.float64)
    if at.max() <= 1:
        at = at * np.tile(found.size, len(at) // 2)
    best: tuple[float, Track] | None = None
    for track in found.tracks:
        boxes = track.boxes.astype(np.float64)
        if pointed.time is not None:
            times = stamps[track.first : track.last + 1]
            boxes = boxes[(times[:, 0] <= pointed.time) & (pointed.time < times[:, 1])]
        boxes = boxes[np.isfinite(boxes).all(axis=1)]
        hit = _hits(boxes, at)
        if hit > 0 and (best is None or hit > best[0]):
            best = (hit, track)
    if best is None:
        where = ", ".join(f"{value:g}" for value in at) + ("" if pointed.time is None else f" at {pointed.time:g} s")
        message = f"{len(found.tracks)} faces, none of them at {where} of {found.size[0]} x {found.size[1]} pixels"
        raise ClipError("no_such_face", message, stage="check")
    return best[1]


def _hits(boxes: npt.NDArray[np.float64], at: npt.NDArray[np.float64]) -> float:
    """In how many frames a point lies in a face, or how much a box overlaps it; more counts more."""
    if not len(boxes):
        return 0.0
    if len(at) == 2:
        return float(((boxes[:, :2] <= at) & (at <= boxes[:, 2:])).all(axis=1).sum())
    return float(iou(boxes, at[None]).sum())


@dataclass(frozen=True, slots=True)
class Decision:
    """Which face speaks.

    Attributes:
        track_id: The speaker's; None where nothing was decided.
        margin: How much better its score is than the next one's; 0 where there are not two scores.
        talking: How many faces have a score.
    """

    track_id: int | None
    margin: float
    talking: int


def decide_speaker(speaking: Features | None, margin: float) -> Decision:
    """The face whose mean score is best, by at least a margin.

    Args:
        speaking: The clip's `speaking`; None where it has none.
        margin: What is asked for.
    """
    if speaking is None or not speaking.valid.any():
        return Decision(None, 0.0, 0)
    rows = speaking.values[speaking.valid]
    ids = sorted(set(rows[:, 0].astype(int).tolist()))
    scores = {track_id: float(rows[rows[:, 0] == track_id, 1].mean(dtype=np.float64)) for track_id in ids}
    if len(scores) < 2:
        return Decision(None, 0.0, len(scores))
    best, second = sorted(scores, key=lambda track_id: (-scores[track_id], track_id))[:2]
    ahead = scores[best] - scores[second]
    return Decision(best if ahead >= margin else None, ahead, len(scores))
