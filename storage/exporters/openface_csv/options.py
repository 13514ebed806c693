"""Validated options of the openface_csv exporter."""

from __future__ import annotations

from storage.exporters._shared.choosing import Columns, Trim
from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.selection import Missing


class OpenfaceCsvOptions(Missing, Columns, Trim, ExportOptions):
    """Options of the format `openface_csv`.

    Attributes:
        feature: Feature with OpenFace's columns; action_units, else openface, where not given.
    """

    feature: str | None = None
