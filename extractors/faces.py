"""The face stage's own result as a feature: where the main face is, picture by picture.

Stored so that what is extracted later, and reports, need not detect again. Rules: `extractors.core.faces.FACE_RULE`.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from extractors.core.extractor import Extractor
from configs.plugins import Section
from extractors.core.faces.detectors import detector
from extractors.core.faces.main_face import FaceTrack, face_track, recipe, remember
from extractors.core.media.clip_media import Media
from storage.records import Features, FeatureSpec

COLUMNS = ("x1", "y1", "x2", "y2", "confidence", "track_id", "face_count", "detected", "track_count")


class FacesOptions(Section):
    """None of its own: the settings are the run's `faces:`."""


class FacesExtractor(Extractor[FacesOptions]):
    """Box of the clip's main face, the detector's confidence, and how many faces and tracks there are.

    One row per picture, valid where the main track is present; any other row is NaN throughout, whether the picture
    shows nobody or others only. Boxes are in pixels of the upright full-size picture and may reach over its edge.
    `track_id` (the main track's) and `track_count` (tracks of the clip) are the same in every valid row. `face_count`
    counts the faces of the picture, of any track. `detected` is 1 where the detector looked at the picture and 0 where
    the row is interpolated.
    """

    Section = FacesOptions
    modality: ClassVar[Literal["video"]] = "video"
    licence = "libfacedetection: BSD; py-feat's RetinaFace: MIT"

    @cached_property
    def spec(self) -> FeatureSpec:
        """Nine columns, one row per picture.

        Raises:
            RunError: Unknown detector, or one that this machine lacks, or whose weights it lacks.
        """
        stage = recipe(self.faces)
        return FeatureSpec(
            name=self.feature,
            extractor="faces",
            modality="video",
            level="frame",
            columns=COLUMNS,
            units=("px", "px", "px", "px", "0..1", "", "", "0/1", ""),
            recipe={"faces": stage},
            weights=stage.get("weights", {}),
            code=2,
            source=f"{stage['detector']} ({stage['detector_version']})",
        )

    @property
    def runs_beside(self) -> bool:
        """True but for detectors that are networks: libfacedetection is called without Python's lock."""
        return detector(self.faces.detector).WEIGHTS is None

    def load(self, device: str) -> None:
        """Make the detector ready.

        Raises:
            RunError: If its weights are damaged or do not fit.
        """
        detector(self.faces.detector).build(self.faces)

    def extract_clip(self, media: Media) -> Features:
        """The clip's main track, a row per picture, with the pictures' times.

        Raises:
            ClipError: If the clip has no pictures.
        """
        track = face_track(media, self.faces)
        values = np.full((len(track.valid), len(COLUMNS)), np.nan, dtype=np.float32)
        values[:, :4], values[:, 4] = track.boxes, track.confidence
        if track.track_id is not None:
            values[:, 5], values[:, 6], values[:, 7] = track.track_id, track.count, track.detected
            values[:, 8] = track.track_count
        values[~track.valid] = np.nan
        return self.checked(values, media.frame_times(), track.valid)

    def remember(self, media: Media, features: Features) -> None:
        """Have `face_track` give what was stored; rows without the main face do not tell who else was there."""
        values, valid = features.values, features.valid
        known = np.where(valid[:, None], values, -1 if valid.any() else 0)  # a clip without main track has no face
        track_id, track_count = known[valid.argmax(), [5, 8]].astype(int).tolist()
        track = FaceTrack(
            boxes=values[:, :4].copy(),
            confidence=values[:, 4].copy(),
            count=known[:, 6].astype(np.int32),
            detected=known[:, 7] == 1,
            track_id=track_id if valid.any() else None,
            track_count=track_count,
        )
        remember(media, self.faces, track)
