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
SLOTS: dict[str, Slot] = {
    "mae_340_UTT": Slot("mae", "MAE ViT-L/16"),
    "maeV_399_UTT": Slot("videomae", "VideoMAE-large (ViT-L/16), not VideoMAE-base"),
    "HL-UTT": Slot("hubert", "chinese-hubert-large, not chinese-hubert-base"),
}
LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "contempt", "doubt")
JSON, FINE, TRANSCRIPT = "MERR_coarse_grained.json", "MERR_fine_grained.json", "transcription_en_all.csv"
NCEV = "_NCEV.txt"
"""End of the names of lists with a valence: name, count, emotion, valence."""
ENTRY_KEYS = ("AU_list", "peak_index", "peak_AU_list", "pseu_emotion", "text")
