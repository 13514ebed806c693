"""Names in MMSA's pickle, for the writer and the validator."""

from __future__ import annotations

SEPARATOR = "$_$"
PARTS = {"T": "text", "A": "audio", "V": "video"}
"""MMSA's letters of labels of one modality."""
ALWAYS = ("id", "raw_text", "audio", "vision", "regression_labels")
LENGTHS = ("audio_lengths", "vision_lengths")
ARRAYS = ("audio", "vision", "text")
DATASET = "dataset.json"
