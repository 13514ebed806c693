"""Columns of the feature `faces`, which other features and exports read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from storage.records import Features

FACES = "faces"
"""Name of the extractor and, as others need it, of the feature."""
BOX = ("x1", "y1", "x2", "y2")
"""Corners of the main face's box, in pixels of the upright full-size frame."""
FACE_COLUMNS = (*BOX, "confidence", "track_id", "face_count", "detected", "track_count")
FACE_UNITS = ("px", "px", "px", "px", "0..1", "", "", "0/1", "")

DECISION_COLUMNS = ("speaker_margin", "speaker_decided", "faces_talking")
"""Further columns where a rule looked for the speaker; the same in every valid row."""


def main_face_boxes(faces: Features) -> npt.NDArray[np.float32]:
    """(T, 4) boxes of the main face, frame by frame, in pixels of the upright frame; NaN where it is absent."""
    return faces.values[:, : len(BOX)]
