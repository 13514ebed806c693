"""The face stage's own result as a feature: where the main face is, picture by picture.

Stored so that what is extracted later, and reports, need not detect again. Rules: `extractors.core.faces.FACE_RULE`.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from extractors.core.base import Extractor, Options
from extractors.core.faces import face_track, recipe
from extractors.core.media import Media
from storage.records import Features, FeatureSpec


class FacesOptions(Options):
    """None of its own: the settings are the run's `faces:`."""


class FacesExtractor(Extractor[FacesOptions]):
    """Box of the main face, the detector's confidence, how many faces there are, and whether the row was detected.

    A row is valid where the picture has a face; boxes are in pixels of the upright full-size picture and may reach over
    its edge. `detected` is 1 where the detector looked at the picture and 0 where the row is interpolated.
    """

    Options = FacesOptions
    modality: ClassVar[Literal["video"]] = "video"
    licence = "libfacedetection: BSD"

    @cached_property
    def spec(self) -> FeatureSpec:
        """Seven columns, one row per picture.

        Raises:
            RunError: Unknown detector, or one that this machine lacks.
        """
        stage = recipe(self.faces)
        return FeatureSpec(
            name=self.feature,
            extractor="faces",
            modality="video",
            level="frame",
            columns=("x1", "y1", "x2", "y2", "confidence", "face_count", "detected"),
            units=("px", "px", "px", "px", "0..1", "", "0/1"),
            recipe={"faces": stage},
            source=f"{stage['detector']} ({stage['detector_version']})",
        )

    def load(self, device: str) -> None:
        """Nothing to load: detectors carry their weights and run on the CPU."""

    def extract_clip(self, media: Media) -> Features:
        """The clip's face track, a row per picture, with the pictures' times.

        Raises:
            ClipError: If the clip has no pictures.
        """
        track = face_track(media, self.faces)
        columns = [*track.boxes.T, track.confidence, track.count, track.detected]
        values = np.stack(columns, axis=1).astype(np.float32)
        values[~track.valid] = np.nan
        return self.checked(values, media.frame_times(), track.valid)
