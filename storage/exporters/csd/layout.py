"""Names in computational sequences, for the writer and the validator."""

from __future__ import annotations

LABELS = "labels"
VERSION = "computational sequence version"
NAMES = "dimension names"
METADATA_KEYS = (
    "root name",
    "computational sequence description",
    NAMES,
    VERSION,
    NAMES + VERSION,  # the SDK's own template lacks a comma and asks for both in one word
    "alignment compatible",
    "dataset name",
    "dataset version",
    "creator",
    "contact",
    "featureset bib citation",
    "dataset bib citation",
)
