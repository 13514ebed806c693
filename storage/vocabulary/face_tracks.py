"""Columns of the features `face_tracks` and `speaking`: one row per frame and track, ordered by time."""

from __future__ import annotations

from storage.vocabulary.face_columns import BOX

FACE_TRACKS, SPEAKING = "face_tracks", "speaking"
"""Names of the features, as others need them."""
TRACK_COLUMNS = ("track_id", *BOX, "confidence", "detected")
TRACK_UNITS = ("", "px", "px", "px", "px", "0..1", "0/1")
_POINTS = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
LANDMARK_COLUMNS = tuple(f"{point}_{axis}" for point in _POINTS for axis in "xy")
"""Five landmarks; right and left are the person's."""
SPEAKING_COLUMNS = ("track_id", "score", "margin")
