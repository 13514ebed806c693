"""Tracks: which faces of neighbouring frames are the same face. Plain geometry; nothing is decoded or detected here.

A face is a row x1, y1, x2, y2, confidence. Faces follow where they are, not who they are: two people who pass each
other at one place may change tracks there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LINK_IOU = 0.5
GAP = 5

Rows = npt.NDArray[np.float64]
Box = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One face over a run of frames.

    Attributes:
        id: 0, 1, ... in order of first appearance; of faces that appear in the same frame the left one is first, then
            the upper one.
        first: Index of the first frame that shows it.
        boxes: (N, 4) float32 x1, y1, x2, y2 in pixels in frames `first` to `last`; NaN in a brief gap.
        confidence: (N,) float32 of the detector, 0..1; NaN in a brief gap.
        landmarks: (N, 10) float32 x and y of five points in pixels, likewise; (N, 0) of a detector that finds none.
    """

    id: int
    first: int
    boxes: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]

    @property
    def last(self) -> int:
        """Index of the last frame that shows it."""
        return self.first + len(self.boxes) - 1

    @property
    def frames(self) -> npt.NDArray[np.intp]:
        """Indices of the frames that show it."""
        return self.first + np.flatnonzero(~np.isnan(self.confidence))


@dataclass(slots=True, eq=False)
class _Path:
    """A track that still grows: the frames that show it, and its face in each."""

    id: int
    frames: list[int]
    faces: list[Rows]


class Tracker:
    """Links the faces of frames into tracks; the frames come in order, and some may be left out.

    Args:
        starts: (T,) seconds at which each frame of the clip starts.
    """

    def __init__(self, starts: npt.NDArray[np.float64]) -> None:
        self._starts = starts
        self._paths: list[_Path] = []
        self._shown: list[_Path] = []  # by the last frame that was followed
        self._gone: list[_Path] = []  # since a few frames

    def continues(self, faces: Rows) -> bool:
        """Whether every face of the frame followed last and every one of `faces` links."""
        return len(faces) == len(self._shown) == len(_links(self._shown, faces))

    def follow(self, frame: int, faces: Rows) -> None:
        """Continue the tracks with the faces of a frame.

        Faces link to those of the frame followed last; frames left out in between get interpolated boxes. A face
        that finds no partner there takes up a track that at most `GAP` frames do not show, whose rows there stay
        empty, or else begins one.

        Args:
            frame: Index of the frame.
            faces: (N, 5) x1, y1, x2, y2, confidence; (N, 15) with five landmarks.
        """
        faces = faces[np.lexsort(faces.T[::-1])]  # from left to right, in whatever order the detector gave them
        self._gone = [p for p in self._gone if frame - p.frames[-1] - 1 <= GAP]
        shown: dict[int, _Path] = {}
        for path, face in _links(self._shown, faces):
            self._interpolate(path, frame, faces[face])
            shown[face] = path
        rest = [i for i in range(len(faces)) if i not in shown]
        for path, face in _links(self._gone, faces[rest]):
            shown[rest[face]] = path
        for i in rest:
            if i not in shown:
                shown[i] = _Path(len(self._paths), [], [])
                self._paths.append(shown[i])
        for i, path in shown.items():
            path.frames.append(frame)
            path.faces.append(faces[i])
        now = [shown[i] for i in range(len(faces))]
        self._gone = [p for p in (*self._shown, *self._gone) if p not in now]
        self._shown = now

    def tracks(self) -> tuple[Track, ...]:
        """All tracks so far, by id."""
        return tuple(_finished(path) for path in self._paths)

    def _interpolate(self, path: _Path, frame: int, face: Rows) -> None:
        last, before = path.frames[-1], path.faces[-1]
        begin, end = self._starts[last], self._starts[frame]
        for between in range(last + 1, frame):
            share = (self._starts[between] - begin) / (end - begin)
            path.frames.append(between)
            path.faces.append((1 - share) * before + share * face)


def main_track(tracks: Sequence[Track], size: tuple[int, int]) -> Track | None:
    """The longest track (frames that show it); of equal ones the largest, the most central, the first.

    Args:
        tracks: The tracks of one clip.
        size: Width and height of its frames. Large and central are medians over a track's frames: of the box's
            area, and of the distance between the centres of box and frame.

    Returns:
        None if there is no track.
    """

    def rank(track: Track) -> tuple[float, ...]:
        boxes = track.boxes[track.frames - track.first].astype(np.float64)
        upper, lower = boxes[:, :2], boxes[:, 2:]
        area = np.median(np.prod(lower - upper, axis=1))
        away = np.median(np.linalg.norm((upper + lower - size) / 2, axis=1))
        return (-len(boxes), -float(area), float(away), track.id)

    return min(tracks, key=rank, default=None)


def iou(a: Box, b: Box) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes x1, y1, x2, y2, 0..1; (..., 4) against (..., 4), with NumPy's broadcasting.

    Args:
        a: (..., 4) boxes.
        b: (..., 4) boxes.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    sides = np.minimum(a[..., 2:4], b[..., 2:4]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    areas = np.prod(a[..., 2:4] - a[..., :2], axis=-1) + np.prod(b[..., 2:4] - b[..., :2], axis=-1)
    overlap: npt.NDArray[np.float64] = shared / (areas - shared)
    return overlap


def _links(paths: Sequence[_Path], faces: Rows) -> list[tuple[_Path, int]]:
    """Pairs of a path and the index of its face: of all assignments the one with the largest sum of IoU >= 0.5."""
    from scipy.optimize import linear_sum_assignment

    if not paths or not len(faces):
        return []
    overlaps = iou(np.stack([p.faces[-1] for p in paths])[:, None], faces[None])
    overlaps[overlaps < LINK_IOU] = 0
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    return [(paths[r], int(c)) for r, c in zip(rows, columns, strict=True) if overlaps[r, c] > 0]


def _finished(path: _Path) -> Track:
    first = path.frames[0]
    table = np.full((path.frames[-1] - first + 1, path.faces[0].size), np.nan, dtype=np.float32)
    table[np.array(path.frames) - first] = np.stack(path.faces)
    return Track(path.id, first, table[:, :4], table[:, 4], table[:, 5:])
