"""Validated options of the WebDataset exporter."""

from __future__ import annotations

from pydantic import Field

from storage.exporters._shared.arrays import Precision
from storage.exporters._shared.choosing import Columns, Trim
from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.selection import DefaultSplit, Missing, SelectedFeatures


class WebdatasetOptions(DefaultSplit, Missing, SelectedFeatures, Precision, Columns, Trim, ExportOptions):
    """Options of the format `webdataset`.

    Attributes:
        maxcount: Most clips of a shard.
        maxsize: Bytes after which a shard is full.
    """

    maxcount: int = Field(default=1000, ge=1)
    maxsize: int = Field(default=10**9, ge=1)
