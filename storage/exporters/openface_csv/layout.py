"""Names in OpenFace's CSV files, for the writer and the validator."""

from __future__ import annotations

FOLDER = "processed"
LEADING = ("frame", "face_id", "timestamp", "confidence", "success")
