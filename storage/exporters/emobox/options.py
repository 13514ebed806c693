"""Validated options of the EmoBox exporter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.plugins import Pairs
from storage.exporters._shared.choosing import Columns, Trim
from storage.exporters._shared.exporter import ExportOptions
from storage.exporters._shared.labels import Unlabelled
from storage.exporters._shared.selection import Missing, SelectedFeatures, Splits


class EmoboxOptions(Unlabelled, Splits, Missing, SelectedFeatures, Columns, Trim, ExportOptions):
    """Options of the format `emobox`.

    Attributes:
        dataset: Name of the data set, in keys and paths; the corpus's where not given.
        by: What makes the folds.
        folds: Number of folds by speaker or group.
        sample_rate: Of the audio, in Hz, for `sample_rate` and `num_frame`; EmoBox reads it at 16000.
        labels: Labels to show for the corpus's own, such as exc:Happy; merflow's, as in Happy, where not given.
    """

    dataset: str | None = None
    by: Literal["split", "speaker", "group"] = "split"
    folds: int = Field(default=5, ge=3, le=100)
    sample_rate: int = Field(default=16000, ge=1)
    labels: Pairs = ()
