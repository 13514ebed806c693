"""Labels of clips as consumers want them: a number to learn, or one of their own words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from configs.errors import RunError
from configs.plugins import CommaList, Pairs, Section
from storage.clip import Clip
from storage.exporters._shared.selection import abbreviate
from storage.wording import counted


class Unlabelled(Section):
    """Clips without the label that is exported.

    Attributes:
        unlabelled: error names them, omit leaves them out, anything else is their label; test:neutral is for one split.
    """

    unlabelled: CommaList = ("error",)


class UnlabelledRule:
    """What becomes of clips without a label.

    Args:
        options: The export's options.
    """

    def __init__(self, options: Unlabelled) -> None:
        plain = [rule for rule in options.unlabelled if ":" not in rule]
        self._usual = plain[-1] if plain else "error"
        self._by_split = dict(rule.split(":", 1) for rule in options.unlabelled if ":" in rule)

    def of(self, clip: Clip) -> str:
        """`error`, `omit`, or the label that the clip gets."""
        return self._by_split.get(clip.split or "", self._usual)

    def is_left_out(self, clip: Clip) -> bool:
        """Whether a clip without a label has no place in the export: it is left out, or an error."""
        return self.of(clip) in {"error", "omit"}

    def refuse(self, unlabelled: Sequence[Clip], expected: str) -> None:
        """Refuse those of the clips without a label that no rule allows.

        Args:
            unlabelled: Clips without a label.
            expected: What their label should have been.

        Raises:
            RunError: Names the clips, their labels and the option.
        """
        wrong = [clip for clip in unlabelled if self.of(clip) == "error"]
        if wrong:
            named = [f"{c.id} ({'no label' if c.label_raw is None else repr(c.label_raw)})" for c in wrong]
            raise RunError(
                f"{counted(len(wrong), 'clip')}, label: expected {expected}; got {abbreviate(named)}; "
                f"--opt unlabelled=omit leaves them out, unlabelled=LABEL gives them one, "
                f"unlabelled={wrong[0].split or 'SPLIT'}:LABEL those of one split"
            )

    def number_of(self, clip: Clip) -> float:
        """The number that a clip without a label gets.

        Raises:
            RunError: If the rule gives a word.
        """
        try:
            return float(self.of(clip))
        except ValueError as error:
            raise RunError(f"option unlabelled: expected error, omit or a number, got {self.of(clip)!r}") from error


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


def word_of(clip: Clip, words: Iterable[str], stated: Mapping[str, str] | None = None) -> str | None:
    """A clip's label in a consumer's words: merflow's own label or the corpus's; None if neither is one of them.

    Args:
        clip: The clip.
        words: The consumer's.
        stated: Word for the corpus's own label, which then counts.
    """
    raw = (clip.label_raw or "").strip()
    known = set(words)
    return next((word for word in ((stated or {}).get(raw), clip.label, raw, raw.lower()) if word in known), None)


def check_label_map(option: Sequence[tuple[str, str]], words: Sequence[str]) -> dict[str, str]:
    """The option `labels` of formats with words of their own.

    Args:
        option: Its value.
        words: The format's words.

    Raises:
        RunError: If it maps to something else.
    """
    wrong = [f"{raw}:{word}" for raw, word in option if word not in words]
    if wrong:
        raise RunError(f"option labels: expected LABEL:WORD with a word of {', '.join(words)}; got {wrong[0]}")
    return dict(option)
