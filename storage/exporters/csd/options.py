"""Validated options of the csd exporter."""

from __future__ import annotations

from typing import Literal

from storage.exporters._shared.choosing import Columns, Trim
from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.labels import TargetOptions, Unlabelled
from storage.exporters._shared.selection import Broadcast, Missing, SelectedFeatures


class CsdOptions(TargetOptions, Unlabelled, Missing, Broadcast, SelectedFeatures, Columns, Trim, ExportOptions):
    """Options of the format `csd`.

    Attributes:
        dataset: Name of the data set, for the metadata; the corpus's where not given.
        creator: Who made the sequences, for their metadata.
        contact: How to reach them.
        intervals: words writes words.csd beside the features, which the SDK aligns to: the words that
            `merflow ingest --words` read; alignment writes those that the feature alignment found; none writes none.
    """

    dataset: str | None = None
    creator: str = ""
    contact: str = ""
    intervals: Literal["none", "words", "alignment"] = "none"
