"""Names in the trees that MERTools reads, for the writer and the validator."""

from __future__ import annotations

FEATURES, FACES, TRANSCRIPT = "features", "openface_face", "transcription.csv"
LEVELS = ("UTT", "FRA")
# MER2023 to MER2026's words, whose place in this order is their number.
WORDS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
NO_VALENCE = -10.0
NO_LABELS = "none"
FACE_SIDE = 112
