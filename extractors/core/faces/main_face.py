"""The main face of every frame of a clip: detection, tracks, and the choice of one track.

Detection runs on every k-th frame, at a bounded size, and boxes in between are interpolated; where that could hide a
face that enters, leaves or jumps, every frame in between is looked at too. No box depends on any network but the
detector, so whatever runs on the crops can batch them as it likes. Frames stream through: at most k are held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.sections import Faces
from extractors.core.faces.detector import detector_weights, load_detector
from extractors.core.faces.tracking import GAP, LINK_IOU, Track, Tracker, main_track
from extractors.core.media.clip_media import Media
from extractors.core.media.frames import Frame
from extractors.core.networks.weights import resolve

FACE_RULE = f"""Looked at: frames 0, k, 2k, ... and the last. A face is a box of at least `min_confidence`.
Links: faces of neighbouring frames are paired so that the sum of their IoU is largest; pairs below IoU {LINK_IOU} are
not linked. If every face of both frames links, or neither has one, the frames in between are not looked at: each
track has boxes and confidence interpolated linearly over time. Else every frame in between is looked at and linked to
the one before it, so that tracks begin and end at the very frame.
Gap: a face without a partner in the frame before goes on with a track that at most {GAP} frames in a row do not
show, if IoU >= {LINK_IOU} with its last box. Those rows stay empty: nothing is filled in.
Track ids: 0, 1, ... by first appearance, then from left to right, then from top to bottom.
Main track, one per clip: shown by most frames; of equal ones the largest (median area), then the most central (median
distance of its centre from the frame's), then the lowest id."""

_RULES = {
    "version": 2,
    "link": f"iou>={LINK_IOU}, best sum",
    "between": "linear in time",
    "unlinked": "detect all",
    "gap": GAP,
    "main_track": "pictures, median area, median distance to centre, id",
}


@dataclass(frozen=True, slots=True, eq=False)
class FaceTrack:
    """The main track of a clip, a row per frame, and what else was seen.

    Attributes:
        boxes: (T, 4) float32 x1, y1, x2, y2 in pixels of the upright full-size frame; may reach over its edge; NaN
            where the main track is absent, whoever else is there.
        confidence: (T,) float32 of the detector, 0..1; NaN where the main track is absent.
        count: (T,) int32 faces in the frame, of any track.
        detected: (T,) bool, True where the detector looked at the frame, False where its boxes are interpolated.
        track_id: Id of the main track; None if the clip has no face.
        track_count: Tracks of the clip.
        others: The other tracks, by id.
    """

    boxes: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    count: npt.NDArray[np.int32]
    detected: npt.NDArray[np.bool_]
    track_id: int | None = None
    track_count: int = 0
    others: tuple[Track, ...] = ()

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """(T,) bool, True where the main track is present."""
        return ~np.isnan(self.confidence)


def face_recipe(options: Faces) -> dict[str, Any]:
    """Everything of detection and tracking that can change a box; must be in the recipe of `faces`.

    Raises:
        RunError: Unknown detector, or one that this machine lacks, or whose weights it lacks.
    """
    made = options.model_dump(exclude={"weights", "source", "root", "frame_rate", "main_face"}) | {"rules": _RULES}
    weights = detector_weights(options)
    if weights is not None:
        made["weights"] = dict(resolve(weights, needs=()).identity)
    return made | {"detector_version": load_detector(options.detector).version()}


@dataclass(frozen=True, slots=True, eq=False)
class FoundTracks:
    """Every face of a clip.

    Attributes:
        tracks: The tracks, by id.
        detected: (T,) bool, True where the detector looked at the frame.
        size: Width and height of the upright frames.
    """

    tracks: tuple[Track, ...]
    detected: npt.NDArray[np.bool_]
    size: tuple[int, int]


def find_main_face(media: Media, options: Faces) -> FaceTrack:
    """The main face of every frame, by `FACE_RULE`: the longest track.

    Args:
        media: The clip's media.
        options: Detector and how often it looks.

    Raises:
        ClipError: If the clip has no frames.
        RunError: Unknown detector, or one that this machine lacks, or whose weights it lacks.
    """
    found = find_tracks(media, options)
    return build_face_track(found, main_track(found.tracks, found.size))


def find_tracks(media: Media, options: Faces) -> FoundTracks:
    """All faces of a clip by `FACE_RULE`, found once for every extractor that asks with these options.

    Args:
        media: The clip's media.
        options: Detector and how often it looks.

    Raises:
        ClipError: If the clip has no frames.
        RunError: Unknown detector, or one that this machine lacks, or whose weights it lacks.
    """
    key = options.model_dump_json(exclude={"main_face"})
    return media.once(("tracks", key), lambda: _look_for_tracks(media, options))


def _look_for_tracks(media: Media, options: Faces) -> FoundTracks:
    times, detect = media.frame_times(), load_detector(options.detector).build(options)
    width = 15 if load_detector(options.detector).has_landmarks() else 5
    tracker, detected, size = Tracker(times[:, 0]), np.zeros(len(times), np.bool_), (0, 0)
    waiting: list[Frame] = []

    def follow(frame: Frame, faces: npt.NDArray[np.float64]) -> None:
        tracker.follow(frame.index, faces)
        detected[frame.index] = True

    def look(frame: Frame) -> npt.NDArray[np.float64]:
        pixels = frame.rgb(options.short_side)
        return _usable(np.array(detect(pixels), np.float64).reshape(-1, width), pixels.shape, frame.size, options)

    for frame in media.frames():
        size = size if frame.index else frame.size
        if frame.index % options.detect_every and frame.index != len(times) - 1:
            waiting.append(frame)
            continue
        faces = look(frame)
        if not tracker.continues(faces):
            for between in waiting:
                follow(between, look(between))
        follow(frame, faces)
        waiting.clear()
    return FoundTracks(tracker.tracks(), detected, size)


def _usable(
    detections: npt.NDArray[np.float64], shape: tuple[int, ...], size: tuple[int, int], options: Faces
) -> npt.NDArray[np.float64]:
    """Faces x1, y1, x2, y2, confidence in pixels of the full-size frame, from what was found on a copy of `shape`."""
    x1, y1, x2, y2, confidence = detections.T[:5]
    faces: npt.NDArray[np.float64] = detections[(confidence >= options.min_confidence) & (x2 > x1) & (y2 > y1)]
    scale = [size[0] / shape[1], size[1] / shape[0]]
    faces[:, :4] *= np.tile(scale, 2)
    faces[:, 5:] *= np.tile(scale, (faces.shape[1] - 5) // 2)
    return faces


def build_face_track(found: FoundTracks, main: Track | None) -> FaceTrack:
    """One track as the main face, a row per frame.

    Args:
        found: All tracks.
        main: The main one; None if the clip has none.
    """
    tracks, detected = found.tracks, found.detected
    table = np.full((len(detected), 5), np.nan, dtype=np.float32)
    count = np.zeros(len(detected), dtype=np.int32)
    for track in tracks:
        count[track.frames] += 1
    if main is not None:
        table[main.first : main.last + 1] = np.column_stack([main.boxes, main.confidence])
    others = tuple(track for track in tracks if track is not main)
    return FaceTrack(
        boxes=table[:, :4],
        confidence=table[:, 4],
        count=count,
        detected=detected,
        track_id=None if main is None else main.id,
        track_count=len(tracks),
        others=others,
    )
