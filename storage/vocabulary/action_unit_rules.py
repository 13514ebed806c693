"""Peak frame, active action units and emotion of a clip, by the two rules that MERR is said to be made with.

`documented` is the procedure in the text of Cheng et al., "Emotion-LLaMA: Multimodal Emotion Recognition and Reasoning
with Instruction Tuning", NeurIPS 2024, and its documentation; `mer_factory` is what the code of MER-Factory (which
says that it follows it) does. They differ, so nothing here has a default rule. Where the text leaves something open:

- An AU is *frequent* if its `_c` is 1 in at least half of the valid rows; if no AU is, those with the highest count
  are. A blink (AU45) never counts. AU28 counts but has no amplitude.
- A clip without any AU has its peak in its first valid row; ties always go to the first row.

Rows that are not valid are never a peak and never counted. `mer_factory` does not look at `success`; OpenFace writes 0
in the AU columns of failed frames, so here such rows are 0 in the curve whose local maxima are sought, which is the
same. The one difference: in a clip whose AUs are 0 throughout, theirs takes frame 1 even if it failed.

Columns are named as OpenFace names them (`AU01_r`, `AU01_c`); other columns are ignored. Values are read to six
decimals: OpenFace writes two, and 0.8 must stay 0.8 after its time as float32.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from storage.errors import StoreError
from storage.records import Features

Rule = Literal["documented", "mer_factory"]
RULES: tuple[Rule, ...] = ("documented", "mer_factory")

BLINK = "AU45"
ACTIVE = 0.8  # least `_r` of mer_factory: of a row's sum, of an emotion's mean; an active AU has more
CHRONOLOGICAL_DISTANCE = 20  # rows between two local maxima; MER-Factory's command line passes 15
SAME_MOMENT = 0.1  # seconds between the overall peak and the chronological one that names the emotion
NEUTRAL = "neutral"

# Each rule's emotions and their AUs, in the order in which equal scores are ranked.
EMOTIONS: Mapping[Rule, Mapping[str, tuple[str, ...]]] = {
    "documented": {
        "surprise": ("AU05", "AU26"),
        "happiness": ("AU06", "AU12"),
        "sadness": ("AU01", "AU04", "AU15"),
        "anger": ("AU04", "AU05", "AU07", "AU23"),
    },
    "mer_factory": {
        "happy": ("AU06", "AU12", "AU14"),
        "sad": ("AU01", "AU04", "AU15", "AU14"),
        "surprise": ("AU01", "AU02", "AU05", "AU26"),
        "fear": ("AU01", "AU02", "AU04", "AU05", "AU07", "AU20", "AU26"),
        "angry": ("AU04", "AU05", "AU07", "AU23", "AU10", "AU17"),
        "contempt": ("AU12", "AU10", "AU14", "AU17"),
        "worried": ("AU28", "AU20"),
        "disgust": ("AU09", "AU15"),
    },
}
# The rules' words in MERR's nine labels. None: MERR has no such label, and Emotion-LLaMA's loader stops at it.
# No rule ever gives MERR's ninth label, `doubt`.
MERR_LABELS: Mapping[str, str | None] = {
    **{word: word for word in (NEUTRAL, "angry", "happy", "sad", "worried", "surprise", "fear", "contempt")},
    "happiness": "happy",
    "sadness": "sad",
    "anger": "angry",
    "disgust": None,
}


@dataclass(frozen=True, slots=True)
class Peak:
    """The row in which a clip's face is most expressive.

    Attributes:
        row: Its number from 0; MERR's own `peak_index` counts so.
        frame: Its number from 1, as OpenFace and MER-Factory count.
        time: Seconds from the clip's start at which the row begins.
        score: Sum of the `_r` that the rule looks at.
        aus: Active AUs such as `AU05`, by number. `documented`: `_c` is 1, without the blink; `mer_factory`: `_r` over
            0.8, blink included.
    """

    row: int
    frame: int
    time: float
    score: float
    aus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Emotion:
    """An emotion that a row's AUs show.

    Attributes:
        word: As the rule spells it; `MERR_LABELS` translates.
        score: Mean `_r` of the emotion's AUs that have one, 0..5.
        strength: `slight`, `moderate` (from 1.6) or `strong` (from 2.4); `documented` has no strengths: empty.
    """

    word: str
    score: float
    strength: str = ""


def peak_frame(features: Features, columns: Sequence[str], rule: Rule) -> Peak | None:
    """The peak of a clip; None if no row is valid.

    `documented`: the row with the largest sum of the frequent AUs' `_r`. `mer_factory`: of all `_r`.

    Args:
        features: One row per frame.
        columns: Names of the features' columns.
        rule: One of `RULES`.

    Raises:
        StoreError: If the AU columns that the rule reads are not there.
    """
    table = _Table(features, columns)
    chosen = frequent_aus(features, columns) if rule == "documented" else tuple(table.intensity)
    score = table.total(chosen)
    if not table.valid.any():
        return None
    row = int(np.where(table.valid, score, -1.0).argmax())
    aus = table.present(row) if rule == "documented" else table.active(row)
    return Peak(row, row + 1, float(features.times[row, 0]), float(score[row]), aus)


def frequent_aus(features: Features, columns: Sequence[str]) -> tuple[str, ...]:
    """The AUs that occur most often over the clip, by number: MERR's `AU_list` as its documentation has it.

    In the published file most lists are shorter (one AU in 59 % of 4,487), as if cut down to the label's own AUs.

    Args:
        features: The feature with the action units, of one clip.
        columns: Names of the feature's columns.

    Raises:
        StoreError: If there are no AU presence columns.
    """
    table = _Table(features, columns)
    count = {au: int(seen.sum()) for au, seen in table.presences().items() if au != BLINK}
    most, rows = max(count.values(), default=0), int(table.valid.sum())
    least = max(1.0, min(most, rows / 2))
    return tuple(au for au, n in count.items() if n >= least)


def peak_aus(features: Features, columns: Sequence[str], row: int) -> tuple[str, ...]:
    """The AUs present (`_c`) in one row without the blink, by number: MERR's `peak_AU_list`; none if not valid.

    Args:
        features: The feature with the action units, of one clip.
        columns: Names of the feature's columns.
        row: Number of the row.

    Raises:
        StoreError: If there are no AU presence columns.
    """
    return _Table(features, columns).present(row)


def emotions_at(features: Features, columns: Sequence[str], row: int, rule: Rule) -> tuple[Emotion, ...]:
    """The emotions that one row shows, highest score first; none if the row is not valid.

    `documented`: every AU of the combination is present (`_c`). `mer_factory`: at least half of them are, and the mean
    of their `_r` is 0.8 or more (AU28 has no `_r`, so `worried` is scored by AU20 alone).

    Args:
        features: The feature with the action units, of one clip.
        columns: Names of the feature's columns.
        row: Number of the row.
        rule: `documented` or `mer_factory`.

    Raises:
        StoreError: If there are no AU presence columns.
    """
    table = _Table(features, columns)
    emotions = [e for word, aus in EMOTIONS[rule].items() if (e := table.emotion(row, rule, word, aus)) is not None]
    return tuple(sorted(emotions, key=lambda emotion: -emotion.score))


def chronological_peaks(
    features: Features, columns: Sequence[str], distance: int = CHRONOLOGICAL_DISTANCE
) -> tuple[int, ...]:
    """Rows of the local maxima of the sum of all `_r`, as MER-Factory finds them: the first and last row never are.

    Args:
        features: One row per frame.
        columns: Names of the features' columns.
        distance: Least rows between two maxima.

    Raises:
        StoreError: If there are no AU intensity columns.
    """
    from scipy.signal import find_peaks

    table = _Table(features, columns)
    rows, _ = find_peaks(table.total(tuple(table.intensity)), height=ACTIVE, distance=distance)
    return tuple(int(row) for row in rows)


def clip_emotion(
    features: Features, columns: Sequence[str], rule: Rule, distance: int = CHRONOLOGICAL_DISTANCE
) -> str | None:
    """The one emotion of a clip, in the rule's own word, `neutral` if it shows none; None if no row is valid.

    `documented`: the highest at the peak. `mer_factory`, as its export does: the highest at the first chronological
    peak (of those that show any) within 0.1 s of the overall peak, else at the first one.

    Args:
        features: The feature with the action units, of one clip.
        columns: Names of the feature's columns.
        rule: `documented` or `mer_factory`.
        distance: Least frames between two peaks of `mer_factory`.

    Raises:
        StoreError: If the AU columns that the rule reads are not there.
    """
    _Table(features, columns).presences()  # every emotion needs them; a clip without peaks would not ask
    peak = peak_frame(features, columns, rule)
    if peak is None:
        return None
    rows = (peak.row,) if rule == "documented" else chronological_peaks(features, columns, distance)
    shown = [(row, emotions[0].word) for row in rows if (emotions := emotions_at(features, columns, row, rule))]
    times = features.times[:, 0]
    # MER-Factory compares the time that it printed with two decimals.
    near = [word for row, word in shown if abs(round(float(times[row]), 2) - peak.time) < SAME_MOMENT]
    return (near or [word for _, word in shown] or [NEUTRAL])[0]


class _Table:
    """The AU columns of a clip by AU; rows that are not valid are 0."""

    def __init__(self, features: Features, columns: Sequence[str]) -> None:
        self.valid = features.valid
        self.intensity = self._by_au(features, columns, "r")
        self._presence = {au: seen == 1 for au, seen in self._by_au(features, columns, "c").items()}
        if not self.intensity:
            raise StoreError("no AU intensity columns: expected names such as AU01_r among the feature's columns")

    @staticmethod
    def _by_au(features: Features, columns: Sequence[str], kind: str) -> dict[str, npt.NDArray[np.float64]]:
        at = {name[:4]: i for i, name in enumerate(columns) if re.fullmatch(rf"AU\d\d_{kind}", name)}
        values = features.values[:, [at[au] for au in sorted(at)]].astype(np.float64).round(6)
        values[~features.valid] = 0
        return dict(zip(sorted(at), values.T, strict=True))

    def presences(self) -> dict[str, npt.NDArray[np.bool_]]:
        if not self._presence:
            raise StoreError("no AU presence columns: expected names such as AU01_c among the feature's columns")
        return self._presence

    def total(self, aus: Sequence[str]) -> npt.NDArray[np.float64]:
        """(T,) sum of the `_r` of those AUs that have one."""
        score = np.zeros(len(self.valid))
        for au in aus:
            score += self.intensity.get(au, 0.0)
        return score.round(6)

    def present(self, row: int) -> tuple[str, ...]:
        return tuple(au for au, seen in self.presences().items() if seen[row] and au != BLINK)

    def active(self, row: int) -> tuple[str, ...]:
        return tuple(au for au, r in self.intensity.items() if r[row] > ACTIVE)

    def emotion(self, row: int, rule: Rule, word: str, aus: tuple[str, ...]) -> Emotion | None:
        presence = self.presences()
        if not all(au in presence for au in aus):
            return None
        seen = sum(bool(presence[au][row]) for au in aus)
        score = float(np.mean([self.intensity[au][row] for au in aus if au in self.intensity]))
        if rule == "documented":
            return Emotion(word, score) if seen == len(aus) else None
        if seen < len(aus) / 2 or score < ACTIVE:
            return None
        strength = "strong" if score >= 3 * ACTIVE else "moderate" if score >= 2 * ACTIVE else "slight"
        return Emotion(word, score, strength)
