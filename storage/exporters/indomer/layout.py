"""Column layouts of visual features that are made of OpenFace's columns, by name of preset.

OpenFace 2.2 writes `frame, face_id, timestamp, confidence, success` and then blocks that flags switch on and off.
IndoMER's 673 columns are most likely all blocks but the shape model's parameters, and four of the five leading ones;
which four is not known, and one other sum of whole blocks gives 673 too. No file of IndoMER's was ever published, so
all of these are provisional. A layout says nothing about the engine: columns may be py-feat's or OpenFace's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from storage.records import Features
from storage.vocabulary.openface_columns import ALL_BLOCKS, GAZE, LANDMARKS, OPENFACE_COLUMNS, SHAPE_MODEL

SUFFIXES = {"video": ".mp4", "audio": ".wav"}

# How the leading columns come about where the feature has none of that name.
LEADING: dict[str, str] = {
    "frame": "number of the row, from 1",
    "face_id": "0: one face per clip",
    "timestamp": "start of the row, seconds",
    "confidence": "1 where the feature has values, else 0",
    "success": "1 where the feature has values, else 0",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a preset.

    Attributes:
        leading: Those of `LEADING` that come first; made by merflow where the feature has none of that name.
        own: The feature's own columns that follow.
        about: What it is.
    """

    leading: tuple[str, ...]
    own: tuple[str, ...]
    about: str


PRESETS: dict[str, Layout] = {
    "indomer-673-h1a": Layout(
        ("face_id", "timestamp", "confidence", "success"),
        OPENFACE_COLUMNS,
        "provisional: all blocks but the shape model's, four leading columns without frame",
    ),
    "indomer-673-h1b": Layout(
        ("frame", "timestamp", "confidence", "success"),
        OPENFACE_COLUMNS,
        "provisional: all blocks but the shape model's, four leading columns without face_id, as old builds wrote",
    ),
    "indomer-673-h2": Layout(
        tuple(LEADING),
        (*GAZE, *LANDMARKS, *SHAPE_MODEL),
        "provisional and less likely: all blocks but pose and action units, five leading columns",
    ),
    "openface-669": Layout((), OPENFACE_COLUMNS, "all blocks but the shape model's, no leading columns"),
    "openface-709": Layout((), ALL_BLOCKS, "all blocks, no leading columns: what MMSA keeps of OpenFace"),
}


def leading_column(name: str, features: Features) -> npt.NDArray[np.float32]:
    """(T,) float32 values of one of the `LEADING` columns.

    Args:
        name: The column.
        features: The rows that it leads.
    """
    n_rows = len(features.valid)
    made = {
        "frame": np.arange(1, n_rows + 1),
        "face_id": np.zeros(n_rows),
        "timestamp": features.times[:, 0],
        "confidence": features.valid,
        "success": features.valid,
    }
    return made[name].astype(np.float32)
