"""The number that a clip is to be learnt for: a continuous label, or categorical ones turned into numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from storage.errors import RunError
from storage.exporters._common import pairs
from storage.records import Clip

TARGET_OPTIONS = {
    "dimension": "continuous label to export, such as valence",
    "labels": "numbers for categorical labels instead, such as negatif:-1,netral:0,positif:1",
    "label": "which categorical label `labels` is about: raw, or the name of a further one; default raw",
}
# How the MMSA family marks labels of one modality; the long forms are merflow's own.
_PARTS = {"text": ("_T", "_text"), "audio": ("_A", "_audio"), "video": ("_V", "_video")}


@dataclass(frozen=True, slots=True)
class Target:
    """Where the number to learn comes from.

    Attributes:
        dimension: A continuous label; empty if categorical ones are turned into numbers.
        label: The categorical label: `raw`, or the name of a further one.
        numbers: The number of each of its words.
    """

    dimension: str
    label: str
    numbers: Mapping[str, float]

    def of(self, clip: Clip, part: str = "") -> float | None:
        """A clip's number; None if it has no such label, or one that is not finite.

        Args:
            clip: The clip.
            part: `text`, `audio` or `video` for the label of one modality; a word without a number is none.

        Raises:
            RunError: If the label's word has no number; names the clip and the word.
        """
        if self.dimension:
            names = [self.dimension + suffix for suffix in _PARTS[part]] if part else [self.dimension]
            number = next((clip.dimensions[name] for name in names if name in clip.dimensions), math.nan)
            return number if math.isfinite(number) else None
        if part:
            return self.numbers.get(clip.labels.get(part, ""))
        word = clip.label_raw if self.label == "raw" else clip.labels.get(self.label)
        if word is not None and word not in self.numbers:
            known = ", ".join(self.numbers)
            raise RunError(f"clip {clip.id}, label {self.label}: expected one of --opt labels ({known}), got {word!r}")
        return None if word is None else self.numbers[word]


def target_of(options: Mapping[str, str]) -> Target | None:
    """What the options `dimension`, `labels` and `label` ask for; None if nothing.

    Raises:
        RunError: If they contradict each other, or a number is none.
    """
    words = pairs(options, "labels")
    if words and "dimension" in options:
        raise RunError("options dimension and labels: expected one of them, got both")
    if not words:
        return Target(options["dimension"], "", {}) if options.get("dimension") else None
    try:
        numbers = {word: float(number) for word, number in words}
    except ValueError as error:
        raise RunError(f"option labels: expected word:number pairs, got {options['labels']!r}") from error
    if not all(map(math.isfinite, numbers.values())):
        raise RunError(f"option labels: expected finite numbers, got {options['labels']!r}")
    return Target("", options.get("label", "raw"), numbers)
