"""Validated options of the csd exporter."""

from __future__ import annotations

from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.labels import TargetOptions
from storage.exporters._shared.selection import Missing, SelectedFeatures


class CsdOptions(TargetOptions, Missing, SelectedFeatures, ExportOptions):
    """Options of the format `csd`.

    Attributes:
        creator: Who made the sequences, for their metadata.
        contact: How to reach them.
    """

    creator: str = ""
    contact: str = ""
