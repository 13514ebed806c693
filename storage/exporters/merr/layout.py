"""Names in the tree that Emotion-LLaMA loads, for the writer and the validator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the three vectors that the loader stacks.

    Attributes:
        key: What it is made by, in the names of options; the default feature.
        model: Which weights have the width.
    """

    key: str
    model: str


WIDTH = 1024
# In the order in which the loader stacks them; a row of the stack has its own projection in the model.
_SLOTS = (
    Slot("mae", "MAE ViT-L/16"),
    Slot("videomae", "VideoMAE-large (ViT-L/16), not VideoMAE-base"),
    Slot("hubert", "chinese-hubert-large, not chinese-hubert-base"),
)
_FOLDERS = {
    "merr": ("mae_340_UTT", "maeV_399_UTT", "HL-UTT"),
    "mer2024": ("mae_340_23_UTT", "maeVideo_399_23_UTT", "HL_23_UTT"),
}
EDITIONS: dict[str, dict[str, Slot]] = {
    edition: dict(zip(folders, _SLOTS, strict=True)) for edition, folders in _FOLDERS.items()
}
"""The folders of each of the loader's two classes, `first_face.py` and `mer2024.py`."""
SENTENCES = {"merr": ("name", "sentence"), "mer2024": ("name", "sentence", "sentence_en")}
"""Columns of the transcripts."""
LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "contempt", "doubt")
JSON, FINE, TRANSCRIPT = "MERR_coarse_grained.json", "MERR_fine_grained.json", "transcription_en_all.csv"
NCEV = "_NCEV.txt"
"""End of the names of lists with a valence: name, count, emotion, valence."""
ENTRY_KEYS = ("AU_list", "peak_index", "peak_AU_list", "pseu_emotion", "text")
