"""What of a clip a person should look at before training on it, by plain rules on the quality features.

No clip is dropped for a flag. Rules are few and stated on the page; the numbers behind them are in the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage.store.store import FeatureStore
from storage.store.survey import Survey


class Rule(NamedTuple):
    """When a clip gets a flag.

    Attributes:
        flag: The flag's name.
        extractor: Extractor of the feature that it looks at.
        column: The column.
        sign: `<`, `>` or `=`.
        limit: The number that it is compared with.
        meaning: What the flag says.
    """

    flag: str
    extractor: str
    column: str
    sign: str
    limit: float
    meaning: str


RULES = (
    Rule("no face", "quality", "face_share", "=", 0.0, "no frame shows a face"),
    Rule("few faces", "quality", "face_share", "<", 0.5, "fewer than half of the frames show the main face"),
    Rule("many faces", "quality", "most_faces", ">", 1.5, "some frame shows several faces"),
    Rule("cuts", "quality", "track_count", ">", 1.5, "several face tracks: a cut, or several people"),
    Rule("small face", "quality", "face_size", "<", 0.1, "the face is under a tenth of the frame's short side"),
    Rule("blurred", "quality", "sharpness", "<", 20.0, "variance of the Laplacian under 20"),
    Rule("dark", "quality", "underexposed", ">", 0.5, "more than half of the pixels are black"),
    Rule("blown out", "quality", "overexposed", ">", 0.5, "more than half of the pixels are white"),
    Rule("very short", "quality", "duration", "<", 0.5, "under half a second of video"),
    Rule("silence", "audio_quality", "silence_share", ">", 0.5, "more than half of the audio is silent"),
    Rule("no speech", "audio_quality", "speech_share", "=", 0.0, "no speech was found"),
    Rule("clipping", "audio_quality", "clipped_share", ">", 0.001, "more than 0.1 % of the samples are at full scale"),
    Rule("noisy", "audio_quality", "snr", "<", 10.0, "estimated SNR under 10 dB, of clips with speech"),
    Rule("very short", "audio_quality", "duration", "<", 0.5, "under half a second of audio"),
)
_NEEDS = {"few faces": "no face", "small face": "no face", "noisy": "no speech"}  # not told beside these


def flags_of(store: FeatureStore, survey: Survey) -> tuple[list[list[str]], dict[str, str]]:
    """Flags of every clip, in manifest order, and what each flag says.

    Flags of unusual media, such as `holes`, are those that the shard files hold (`docs/media.md`).

    Args:
        store: The store.
        survey: Of the store.
    """
    ids = survey.columns.ids.to_pylist()
    place = {clip_id: i for i, clip_id in enumerate(ids)}
    flags: list[list[str]] = [[] for _ in ids]
    meanings: dict[str, str] = {}
    for rule, mask in _by_rule(store, place):
        meanings.setdefault(rule.flag, rule.meaning)
        for i in np.flatnonzero(mask):
            if rule.flag not in flags[i] and _NEEDS.get(rule.flag) not in flags[i]:
                flags[i].append(rule.flag)
    for of_clips in store.index.flags.values():
        for number, found in of_clips.items():
            at = place.get(store.index.ids[number])
            if at is not None:
                flags[at] += [name for name in found if name not in flags[at]]
    for names in flags:
        for name in names:
            meanings.setdefault(name, "unusual media, see docs/media.md")
    return flags, meanings


def _by_rule(store: FeatureStore, place: dict[str, int]) -> Iterator[tuple[Rule, npt.NDArray[np.bool_]]]:
    """Each rule with the clips that it is about."""
    for name, spec in store.specs.items():
        rules = [rule for rule in RULES if rule.extractor == spec.extractor and rule.column in spec.columns]
        if not rules or spec.level != "utterance":
            continue
        table = store.to_frame(name)
        at = np.array([place[clip_id] for clip_id in table.index], np.int64)
        for rule in rules:
            values = table[rule.column].to_numpy()
            holds = {"<": values < rule.limit, ">": values > rule.limit, "=": values == rule.limit}[rule.sign]
            mask = np.zeros(len(place), np.bool_)
            mask[at] = holds
            yield rule, mask
