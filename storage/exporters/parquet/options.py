"""Validated options of the Parquet exporter."""

from __future__ import annotations

from typing import Literal

from storage.exporters._shared.choosing import Columns, Trim
from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.selection import Missing, SelectedFeatures


class ParquetOptions(Missing, SelectedFeatures, Columns, Trim, ExportOptions):
    """Options of the format `parquet`.

    Attributes:
        layout: A table column per column of the feature, or one column of lists; auto is wide up to 1000 columns.
        compression: Of the tables; every reader takes snappy and gzip, zstd is smallest.
    """

    layout: Literal["auto", "wide", "list"] = "auto"
    compression: Literal["snappy", "zstd", "gzip", "none"] = "snappy"
