"""The face stage: which part of each picture is the main face. One result per clip, shared by all that look at faces.

Detection runs on every k-th picture, at a bounded size, and boxes in between are interpolated; where that could hide a
face that enters, leaves or jumps, every picture in between is looked at too. No box depends on any network but the
detector, so whatever runs on the crops can batch them as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.schema import Faces
from extractors.core.detectors import Detection, detector
from extractors.core.media import Frame, Media

FACE_RULE = """The face of a picture is the largest box (first found where equal) of at least `min_confidence`.
Pictures 0, k, 2k, ... and the last are looked at. Of two such neighbours: boxes with IoU >= 0.5 link, and boxes and
confidence between them are interpolated linearly over time; neither has a face: none between; else every picture
between is looked at. The face count of an interpolated picture is that of the earlier neighbour."""

LINK_IOU = 0.5
_RULES = {"main_face": "largest", "link": f"iou>={LINK_IOU}", "between": "linear in time", "unlinked": "detect all"}

Look = Callable[[Frame], "_Seen"]


@dataclass(frozen=True, slots=True, eq=False)
class FaceTrack:
    """The main face of every picture of a clip.

    Attributes:
        boxes: (T, 4) float32 x1, y1, x2, y2 in pixels of the upright full-size picture; may reach over its edge; NaN
            where there is no face.
        confidence: (T,) float32 of the detector, 0..1; NaN where there is no face.
        count: (T,) int32 faces in the picture.
        detected: (T,) bool, True where the detector looked at the picture, False where the row is inferred.
    """

    boxes: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    count: npt.NDArray[np.int32]
    detected: npt.NDArray[np.bool_]

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """(T,) bool, True where there is a face."""
        return ~np.isnan(self.confidence)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """One picture's row of the track, at float64; `found` is x1, y1, x2, y2, confidence, or None without a face."""

    time: float
    found: npt.NDArray[np.float64] | None
    count: int
    detected: bool


def recipe(config: Faces) -> dict[str, Any]:
    """Everything of the face stage that can change a box; belongs into the spec of whatever looks at faces.

    Raises:
        RunError: Unknown detector, or one that this machine lacks.
    """
    return config.model_dump() | {"detector_version": detector(config.detector).version(), "rules": _RULES}


def face_track(media: Media, config: Faces) -> FaceTrack:
    """The main face of every picture, by `FACE_RULE`; computed once per clip and settings.

    Raises:
        ClipError: If the clip has no pictures.
        RunError: Unknown detector, or one that this machine lacks.
    """
    return media.once(("faces", config), lambda: _track(media, config))


def _track(media: Media, config: Faces) -> FaceTrack:
    finder = detector(config.detector)

    def look(frame: Frame) -> _Seen:
        small = frame.rgb(short_side=config.short_side)
        return _main_face(frame, finder.detect(small), small.shape, config)

    rows = list(_rows(media, look, config.detect_every))
    nothing = np.full(5, np.nan)
    table = np.array([nothing if r.found is None else r.found for r in rows], dtype=np.float32).reshape(-1, 5)
    counts, detected = [r.count for r in rows], [r.detected for r in rows]
    return FaceTrack(table[:, :4], table[:, 4], np.array(counts, np.int32), np.array(detected, np.bool_))


def _rows(media: Media, look: Look, every: int) -> Iterator[_Seen]:
    """Rows in order; holds the pictures since the last one looked at, at most `every` of them."""
    last = len(media.frame_times()) - 1
    waiting: list[Frame] = []
    before: _Seen | None = None
    for frame in media.frames():
        if frame.index % every and frame.index != last:
            waiting.append(frame)
            continue
        seen = look(frame)
        if before is not None:
            yield from _between(before, seen, waiting, look)
        yield seen
        before, waiting = seen, []


def _between(before: _Seen, after: _Seen, frames: Sequence[Frame], look: Look) -> Iterator[_Seen]:
    if before.found is None and after.found is None:
        return (_Seen(f.start, None, 0, detected=False) for f in frames)
    if before.found is None or after.found is None or iou(before.found, after.found) < LINK_IOU:
        return (look(f) for f in frames)
    return (_interpolated(before, after, f.start) for f in frames)


def _interpolated(before: _Seen, after: _Seen, time: float) -> _Seen:
    if before.found is None or after.found is None:
        raise ValueError("expected a face on both sides")
    share = (time - before.time) / (after.time - before.time)
    return _Seen(time, (1 - share) * before.found + share * after.found, before.count, detected=False)


def _main_face(frame: Frame, found: Sequence[Detection], shape: tuple[int, ...], config: Faces) -> _Seen:
    """The row of a picture looked at, from what was found on a copy of `shape` (height, width, ...)."""
    faces = [f for f in found if f[4] >= config.min_confidence and f[2] > f[0] and f[3] > f[1]]
    if not faces:
        return _Seen(frame.start, None, 0, detected=True)
    largest = np.array(max(faces, key=lambda f: (f[2] - f[0]) * (f[3] - f[1])), dtype=np.float64)
    width, height = frame.size
    largest[:4] *= np.tile([width / shape[1], height / shape[0]], 2)
    return _Seen(frame.start, largest, len(faces), detected=True)


def iou(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Intersection over union of two boxes x1, y1, x2, y2, 0..1."""
    sides = np.minimum(a[2:4], b[2:4]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / float(np.prod(a[2:4] - a[:2]) + np.prod(b[2:4] - b[:2]) - shared)


def crop_face(
    rgb: npt.NDArray[np.uint8], box: npt.NDArray[np.floating[Any]], *, size: int, expand: float
) -> npt.NDArray[np.uint8]:
    """Cut out the square around a box, on its longer side times `expand`, centred; the picture mirrors at its edges.

    Samples at the points where py-feat's `extract_face_square_pad_torch` samples, bilinear, without smoothing first.

    Args:
        rgb: (H, W, 3) uint8.
        box: (4,) x1, y1, x2, y2 in pixels of `rgb`; may reach over its edge.
        size: Side of the result in pixels.
        expand: Side of the square as a multiple of the box's longer side.

    Returns:
        (size, size, 3) uint8.
    """
    x1, y1, x2, y2 = (float(v) for v in box[:4])
    side = max(max(x2 - x1, y2 - y1) * expand, 1.0)
    steps = (np.arange(size) + 0.5) / size * side - side / 2
    left, right, across = _neighbours((x1 + x2) / 2 + steps, rgb.shape[1])
    upper, lower, down = _neighbours((y1 + y2) / 2 + steps, rgb.shape[0])
    rows = rgb[upper] * (1 - down)[:, None, None] + rgb[lower] * down[:, None, None]
    pixels = rows[:, left] * (1 - across)[:, None] + rows[:, right] * across[:, None]
    return np.rint(pixels).astype(np.uint8)


def _neighbours(
    at: npt.NDArray[np.float64], length: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Pixels below and above each position on a mirrored line of pixels, and the share of the second."""
    mirrored = length - np.abs(length - (at + 0.5) % (2 * length)) - 0.5
    inside = np.clip(mirrored, 0, length - 1)
    low = np.floor(inside).astype(np.intp)
    return low, np.minimum(low + 1, length - 1), (inside - low).astype(np.float32)
