"""Validated options of the MMSA exporter."""

from __future__ import annotations

from typing import Literal

from storage.exporters._shared.arrays import Precision
from storage.exporters._shared.choosing import Columns, Trim
from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.labels import TargetOptions, Unlabelled
from storage.exporters._shared.selection import Broadcast, Splits
from storage.timeline import Method


class MmsaOptions(TargetOptions, Unlabelled, Splits, Broadcast, Precision, Columns, Trim, ExportOptions):
    """Options of the format `mmsa`.

    Attributes:
        audio_feature: Feature of `audio`.
        vision_feature: Feature of `vision`.
        text_feature: Feature of `text`, or of `text_bert` if it is token ids, or one of each with a comma between;
            none for none. By default those that there are.
        align: none, or a clock for all: steps per second, or the feature whose steps it is; words for the words that
            `merflow ingest --words` read, or their tokens where text_feature is token ids.
        method: How rows are put on that clock.
        missing: What becomes of clips that lack a feature: an error, left out, or one row of zeros in its array.
        length: max (the longest clip), or mean+3std as MMSA-FET: longer clips lose their end.
    """

    audio_feature: str = "gemaps"
    vision_feature: str = "action_units"
    text_feature: str | None = None
    align: str = "none"
    method: Method = "overlap"
    missing: Literal["error", "omit", "zeros"] = "error"
    length: Literal["max", "mean+3std"] = "max"
