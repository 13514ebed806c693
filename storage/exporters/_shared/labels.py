"""Labels of clips as consumers want them: a number to learn, or one of their own words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from configs.errors import RunError
from configs.plugins import Pairs, Section
from storage.clip import Clip
from storage.exporters._shared.selection import abbreviate
from storage.wording import counted

if TYPE_CHECKING:
    from storage.store.store import FeatureStore


class TargetOptions(Section):
    """The number that a clip is to be learnt for.

    Attributes:
        dimension: Continuous label to export, such as valence.
        labels: Numbers for categorical labels instead, such as negatif:-1,netral:0,positif:1.
        label: Which categorical label `labels` is about: raw, or the name of a further one.
    """

    dimension: str = ""
    labels: Pairs = ()
    label: str = "raw"


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
            words = ", ".join(self.numbers)
            raise RunError(f"clip {clip.id}, label {self.label}: expected one of --opt labels ({words}), got {word!r}")
        return None if word is None else self.numbers[word]


def target_of(options: TargetOptions) -> Target | None:
    """What the options `dimension`, `labels` and `label` ask for; None if nothing.

    Raises:
        RunError: If they contradict each other, or a number is not finite.
    """
    if options.labels and "dimension" in options.model_fields_set:
        raise RunError("options dimension and labels: expected one of them, got both")
    if not options.labels:
        return Target(options.dimension, "", {}) if options.dimension else None
    stated = ",".join(f"{word}:{number}" for word, number in options.labels)
    try:
        numbers = {word: float(number) for word, number in options.labels}
    except ValueError as error:
        raise RunError(f"option labels: expected word:number pairs, got {stated!r}") from error
    if not all(map(math.isfinite, numbers.values())):
        raise RunError(f"option labels: expected finite numbers, got {stated!r}")
    return Target("", options.label, numbers)


def word_of(clip: Clip, words: Iterable[str]) -> str | None:
    """A clip's label in a consumer's words: merflow's own label or the corpus's; None if neither is one of them.

    Args:
        clip: The clip.
        words: The consumer's.
    """
    raw = (clip.label_raw or "").strip()
    return next((word for word in (clip.label, raw, raw.lower()) if word in set(words)), None)


def require_labels(store: FeatureStore, words: Sequence[str], hint: str) -> None:
    """Check that every clip's label is one of a consumer's words.

    Args:
        store: Where the clips are.
        words: The consumer's.
        hint: Which option says what else to do.

    Raises:
        RunError: Names the clips, their labels and the words.
    """
    unfit = [
        f"{clip.id} ({'no label' if clip.label_raw is None else repr(clip.label_raw)})"
        for clip in store.clips()
        if word_of(clip, words) is None
    ]
    if unfit:
        expected = f"expected one of {', '.join(words)}; got {abbreviate(unfit)}"
        raise RunError(f"{counted(len(unfit), 'clip')}, label: {expected}; {hint}")
