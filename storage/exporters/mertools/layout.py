"""Names in the trees that MERTools reads, for the writer and the validator."""

from __future__ import annotations

FEATURES, FACES, TRANSCRIPT, TRANSCRIPTS = "features", "openface_face", "transcription.csv", "transcription*.csv"
LEVELS = ("UTT", "FRA")
# MER2023 to MER2026's words, whose place in this order is their number.
WORDS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
CLASS_PRESETS = {
    "iemocap-4": ("happy", "sad", "neutral", "angry"),
    "iemocap-6": ("happy", "sad", "neutral", "angry", "excited", "frustrated"),
    "meld-7": ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
}
"""Usual choices of classes, by name; IEMOCAP's four in the order of MERTools' own label file."""
MERGED = {"iemocap-4": "exc:happy,excited:happy"}
"""The corpus's own words that a choice takes for another: 1,636 happy clips of IEMOCAP are 595 happy, 1,041 excited."""
EDITIONS = {
    "mer2023": ("label-6way.npz", "transcription.csv"),
    "mer2024": ("label-6way.npz", "transcription-engchi-polish.csv"),
    "mer2026": ("track1_label_6way.npz", "transcription-engchi-polish.csv"),
}
"""Names of the label npz and of the transcripts that each year's configuration opens."""
NO_VALENCE = -10.0
NO_LABELS = "none"
FACE_SIDE = 112
