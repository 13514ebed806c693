"""Validated options of the Lance exporter."""

from __future__ import annotations

from storage.exporters._shared.choosing import Columns, Trim
from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.selection import Missing, SelectedFeatures


class LanceOptions(Missing, SelectedFeatures, Columns, Trim, ExportOptions):
    """Options of the format `lance`."""
