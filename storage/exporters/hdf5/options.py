"""Validated options of the HDF5 exporter."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import Field

from configs.plugins import Section
from storage.exporters._shared.arrays import Precision
from storage.exporters._shared.choosing import Columns, Trim
from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.selection import Broadcast, SelectedFeatures
from storage.timeline import Keep, Method, Side

Compression = Literal["none", "gzip"]


class ClockOptions(Section):
    """The clock that all features of a clip are put on.

    Attributes:
        rate: Intervals per second of a regular clock.
        like: Feature whose rows are the clock, instead of a rate.
        intervals: The clock, not a rate: words for the words that `merflow ingest --words` read, alignment for
            those that the feature alignment found, or a CSV or JSON file of clip_id, start, end and perhaps label.
        method: How features are put on the clock.
        length: Rows of every clip, by cutting and padding; each its own where not given.
        side: Where padding goes.
        keep: Which rows stay of a clip that is too long.
        fill: Value of rows whose mask is False, and of padding.
    """

    rate: float = Field(default=25.0, gt=0, allow_inf_nan=False)
    like: str | None = None
    intervals: Path | None = None
    method: Method = "overlap"
    length: int | None = Field(default=None, ge=1)
    side: Side = "end"
    keep: Keep = "first"
    fill: float = math.nan


class Hdf5Options(ClockOptions, Broadcast, SelectedFeatures, Precision, Columns, Trim, ExportOptions):
    """Options of the format `hdf5`.

    Attributes:
        compression: none, or gzip: smaller and slower to read.
    """

    compression: Compression = "none"
