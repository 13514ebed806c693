"""EmoGator: 32,130 vocal bursts (no speech) of 357 contributors in 30 categories, audio only.

Tree: `data/mp3/000001-01-1.mp3`: contributor, category (01 to 30), take.
Splits: none; the contributors are the groups.
Quirks: sample rates differ from file to file; most of the 30 categories have no word in merflow's vocabulary and stay
in `label_raw` alone. The list of category names beside the files is a pickle and is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions
from storage.corpora._shared.named_files import FilesOfClip, NamedFile, NamedFiles

_CATEGORIES = [
    "Adoration",
    "Amusement",
    "Anger",
    "Awe",
    "Confusion",
    "Contempt",
    "Contentment",
    "Desire",
    "Disappointment",
    "Disgust",
    "Distress",
    "Ecstasy",
    "Elation",
    "Embarrassment",
    "Fear",
    "Guilt",
    "Interest",
    "Neutral",
    "Pain",
    "Pride",
    "Realization",
    "Relief",
    "Romantic Love",
    "Sadness",
    "Serenity",
    "Shame",
    "Surprise (Negative)",
    "Surprise (Positive)",
    "Sympathy",
    "Triumph",
]


class EmogatorCorpus(NamedFiles[CorpusOptions]):
    """Vocal bursts with the emotion that was asked for."""

    name = "emogator"
    Options = CorpusOptions
    title = "EmoGator"
    citation = "Buhl, EmoGator: A New Open Source Vocal Burst Dataset, arXiv 2301.00508"
    licence = "Apache 2.0 (github.com/fredbuhl/EmoGator)"
    modalities = frozenset({"audio"})
    expected_clips: ClassVar[Mapping[str, int]] = {"": 32130}
    labels: ClassVar[Mapping[str, str]] = {
        "anger": "angry",
        "contempt": "contempt",
        "disgust": "disgust",
        "fear": "fear",
        "neutral": "neutral",
        "sadness": "sad",
        "surprise (negative)": "surprise",
        "surprise (positive)": "surprise",
    }
    pattern = r"(?P<contributor>\d{6})-(?P<category>0[1-9]|[12]\d|30)-(?P<take>\d)\.mp3"
    example = "data/mp3/000001-01-1.mp3"

    def name_of(self, file: NamedFile) -> str:
        """The file's name without its suffix."""
        return "-".join(file.parts[key] for key in ("contributor", "category", "take"))

    def row(self, clip: FilesOfClip) -> CorpusRow:
        """One burst."""
        name, files = clip
        parts = files[0].parts
        fields = {
            "speaker": parts["contributor"],
            "group": parts["contributor"],
            "label_raw": _CATEGORIES[int(parts["category"]) - 1],
            "about": {"take": parts["take"]},
        }
        return CorpusRow(files[0].path, name, audio=files[0].path, fields=fields)
