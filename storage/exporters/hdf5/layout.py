"""Names in the aligned HDF5 file, for the writer and the validator."""

from __future__ import annotations

FORMAT = 1
TIMES, MASK, INTERVAL_LABELS = "times", "mask", "interval_labels"
RESERVED = (TIMES, MASK, INTERVAL_LABELS)
"""Names beside the features in a clip's group."""
