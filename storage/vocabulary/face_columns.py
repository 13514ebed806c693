"""Columns of the feature `faces`, which other features and exports read."""

from __future__ import annotations

BOX = ("x1", "y1", "x2", "y2")
"""Corners of the main face's box, in pixels of the upright full-size frame."""
FACE_COLUMNS = (*BOX, "confidence", "track_id", "face_count", "detected", "track_count")
FACE_UNITS = ("px", "px", "px", "px", "0..1", "", "", "0/1", "")
