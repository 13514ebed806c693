"""Peak frame, active action units and emotion of a clip, from its action units: what MERR's annotations start from.

One row per clip by both published rules, `documented` and `mer_factory`;
`storage.vocabulary.action_unit_rules` says what they are.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from configs.errors import RunError
from configs.plugins import Section
from extractors.core.extractor import Extractor
from extractors.core.media.clip_media import Media
from storage.errors import ClipError
from storage.records import Features, FeatureSpec
from storage.vocabulary.action_unit_rules import (
    BLINK,
    CHRONOLOGICAL_DISTANCE,
    EMOTIONS,
    NEUTRAL,
    RULES,
    Rule,
    clip_emotion,
    emotions_at,
    frequent_aus,
    peak_frame,
)
from storage.vocabulary.openface_columns import INTENSITY_AUS, PRESENCE_AUS

_PEAK = (("row", ""), ("frame", ""), ("time", "s"), ("score", "sum of AUxx_r"))
_SEEN = tuple(au for au in PRESENCE_AUS if au != BLINK)
_ACTIVE: dict[Rule, tuple[str, ...]] = {"documented": _SEEN, "mer_factory": INTENSITY_AUS}


def _columns() -> dict[str, str]:
    """Columns and their units."""
    columns = {f"frequent_{au}": "0/1" for au in _SEEN}
    for rule in RULES:
        columns |= {f"{rule}_{name}": unit for name, unit in _PEAK}
        columns |= {f"{rule}_{au}": "0/1" for au in _ACTIVE[rule]}
        columns |= {f"{rule}_{word}": "0..5" for word in EMOTIONS[rule]}
        columns |= {f"{rule}_is_{word}": "0/1" for word in (*EMOTIONS[rule], NEUTRAL)}
    return columns


COLUMNS = _columns()


class AuPeakOptions(Section):
    """Which action units, and how peaks are told apart.

    Attributes:
        of: The feature with the action units: `action_units`, or the name of one made by `openface`.
        distance: Least frames between two peaks of `mer_factory`: 20 in its code, 15 on its command line.
    """

    of: str = "action_units"
    distance: int = Field(default=CHRONOLOGICAL_DISTANCE, ge=1)


class AuPeak(Extractor[AuPeakOptions]):
    """The most expressive frame of a clip, and what the face shows in it.

    Columns: `frequent_AUxx` (1 for MERR's `AU_list`), then for each rule, with its name before them: `row` (frame
    from 0) and `frame` (from 1) of the peak, `time` at which it begins, `score`, `AUxx` (1 where active at the peak),
    a score for each emotion (mean `AUxx_r` of its AUs at the peak, 0 where the peak does not show it) and `is_...`,
    1 for the clip's one emotion, which for `mer_factory` may be that of another frame.
    """

    name = "au_peak"
    Options = AuPeakOptions
    modality: ClassVar[Literal["video"]] = "video"

    @property
    def needs(self) -> tuple[str, ...]:
        """The feature with the action units."""
        return (self.options.of,)

    def describe(self) -> FeatureSpec:
        """One row per clip; engine, and whether it is synthetic, as of the feature that it is made from.

        Raises:
            RunError: If that feature lacks OpenFace's AU columns.
        """
        source = self.inputs[self.options.of]
        wanted = (*(f"{au}_r" for au in INTENSITY_AUS), *(f"{au}_c" for au in PRESENCE_AUS))
        missing = [name for name in wanted if name not in source.columns]
        if missing or source.level != "frame":
            problem = f"has no column {missing[0]}" if missing else "is not frame-level"
            raise RunError(f"feature {self.feature}: {self.options.of!r} {problem}; `of:` must name action units")
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="video",
            level="utterance",
            columns=tuple(COLUMNS),
            units=tuple(COLUMNS.values()),
            recipe={"distance": self.options.distance},
            source=source.source,
            synthetic=source.synthetic,
        )

    def load(self, device: str) -> None:
        """Nothing to load."""

    def extract_clip(self, media: Media) -> Features:
        """One row; not valid if no frame of the clip has action units.

        Raises:
            ClipError: Why the clip has no action units.
        """
        units, columns = media.feature(self.options.of), self.inputs[self.options.of].columns
        if not len(units.times):
            raise ClipError("too_short", f"{self.options.of} has no rows")
        times = np.array([[units.times[0, 0], units.times[:, 1].max()]])
        row: dict[str, float] = {f"frequent_{au}": 1.0 for au in frequent_aus(units, columns)}
        for rule in RULES:
            peak = peak_frame(units, columns, rule)
            if peak is None:
                return self.checked(np.full((1, len(COLUMNS)), np.nan), times, [False])
            shown = {emotion.word: emotion.score for emotion in emotions_at(units, columns, peak.row, rule)}
            label = f"is_{clip_emotion(units, columns, rule, self.options.distance)}"
            at_peak = {"row": peak.row, "frame": peak.frame, "time": peak.time, "score": peak.score, label: 1.0}
            row |= {f"{rule}_{name}": v for name, v in (at_peak | shown | dict.fromkeys(peak.aus, 1.0)).items()}
        return self.checked([[row.get(name, 0.0) for name in COLUMNS]], times, [True])
