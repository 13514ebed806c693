"""Validated options of the IndoMER exporter."""

from __future__ import annotations

from typing import Literal

from storage.exporters._shared.choosing import Trim
from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.selection import DefaultSplit, Missing


class IndomerOptions(DefaultSplit, Missing, Trim, ExportOptions):
    """Options of the format `indomer`.

    Attributes:
        video_feature: Feature with OpenFace's columns.
        audio_feature: Feature of the audio PKLs.
        preset: Columns of the video PKLs; which 673 IndoMER has is not published.
        length: One length over all splits, or each split its own.
    """

    video_feature: str = "action_units"
    audio_feature: str = "gemaps"
    preset: Literal["indomer-673-h1a", "indomer-673-h1b", "indomer-673-h2", "openface-669", "openface-709"] = (
        "indomer-673-h1a"
    )
    length: Literal["all", "per_split"] = "all"
