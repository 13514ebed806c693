"""Names in a Lance export, for the writer and the validator."""

from __future__ import annotations

from storage.exporters._shared.selection import ABOUT

TABLE = "clips.lance"
TIMES, VALID = "_times", "_valid"
"""Ends of the names of columns that belong to a feature."""
RESERVED = (*ABOUT, "labels", "dimensions")
