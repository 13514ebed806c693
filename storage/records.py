"""The nouns of merflow: Clip, Shard, FeatureSpec, Features, Failure. Read this file first.

Everything here is plain data: no file, model or network is touched. `Manifest`, which streams clips from
disk, is in `storage.manifest`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

CLIP_ID = re.compile(r"[A-Za-z0-9_.-]+")

Modality = Literal["audio", "video", "text"]
Level = Literal["frame", "utterance"]


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(value: object) -> str:
    """First 16 hex digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of a corpus: where its media is, which part of it, and what is known about it.

    Attributes:
        id: Unique over the corpus, characters `A-Za-z0-9_.-`.
        video: Path of the video, relative to the manifest's root, or a URL; None if the clip has none.
        audio: Path of the audio; often the same file as `video`.
        start: Seconds into the media where the clip starts; None means from the beginning.
        end: Seconds into the media where the clip ends; None means to the end.
        audio_channel: 0-based channel to use; None means FFmpeg's standard down-mix to mono.
        crop: Part of the picture to use as fractions (left, top, right, bottom) of the upright frame.
        split: Corpus split such as `train`; None if the corpus has none.
        text: Transcript.
        language: BCP 47 tag of the spoken language.
        speaker: Speaker id.
        group: Clips of one group must not be divided between train and test.
        label_raw: Label as the corpus spells it.
        label: Label in merflow's vocabulary; None where the raw label has no counterpart.
        labels: Further categorical labels by name, such as `{"audio": "positif"}`.
        dimensions: Continuous labels by name, such as `{"valence": 3.5}`, on the corpus's own scale.
        source_id: The corpus's own name for the clip.
        duration: Probed seconds; None if the media could not be probed.
        fingerprint: Digest of media, segment and text; labels are not in it.
    """

    id: str
    video: str | None = None
    audio: str | None = None
    start: float | None = None
    end: float | None = None
    audio_channel: int | None = None
    crop: tuple[float, float, float, float] | None = None
    split: str | None = None
    text: str | None = None
    language: str | None = None
    speaker: str | None = None
    group: str | None = None
    label_raw: str | None = None
    label: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    dimensions: Mapping[str, float] = field(default_factory=dict)
    source_id: str | None = None
    duration: float | None = None
    fingerprint: str = ""

    def __post_init__(self) -> None:
        """Refuse ids and segments no later step could use."""
        if not CLIP_ID.fullmatch(self.id):
            raise ValueError(f"clip id {self.id!r}: expected characters A-Z a-z 0-9 _ . - only")
        if self.start is not None and self.start < 0:
            raise ValueError(f"clip {self.id}: start is {self.start}, expected 0 or more seconds")
        if self.end is not None and self.end <= (self.start or 0.0):
            raise ValueError(f"clip {self.id}: end {self.end} is not after start {self.start or 0.0}")

    def with_fingerprint(self, media: Mapping[str, str]) -> Clip:
        """Return this clip with its fingerprint set.

        Args:
            media: SHA-256 of every media file's bytes by `video` and `audio`.
        """
        parts = [dict(media), self.start, self.end, self.audio_channel, self.crop, self.text]
        return replace(self, fingerprint=digest_of(parts))


@dataclass(frozen=True, slots=True)
class Shard:
    """Some clips sent to a worker together. Only a batch: what is done is known per clip.

    Attributes:
        id: Unique over all runs, used in file names.
        clips: The clips, in manifest order.
    """

    id: str
    clips: tuple[Clip, ...]


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What a feature's numbers are. Known without loading any weights.

    Attributes:
        name: Feature name, the folder in the store.
        extractor: Module that makes it, such as `hubert`.
        modality: `audio`, `video` or `text`.
        level: `frame` (many rows per clip) or `utterance` (one row).
        columns: Column names, in order; their number is the feature's width.
        units: Unit of each column, or one unit for all; empty string for none.
        hop: Seconds between rows; None if it varies.
        window: Seconds of media one row sees; None if it varies.
        recipe: Every setting that can change a number.
        weights: Where the weights came from and their SHA-256; empty for extractors without weights.
        precision: Arithmetic, such as `float32`.
        code: Version of the extractor's code; raised whenever its numbers change.
        source: Engine whose numbers these are, such as `openSMILE 3.0` or `py-feat`.
        synthetic: True if weights are random: such numbers mean nothing.
        dtype: Type of the values on disk; they are read as float32 whatever it is.
    """

    name: str
    extractor: str
    modality: Modality
    level: Level
    columns: tuple[str, ...]
    units: tuple[str, ...] = ("",)
    hop: float | None = None
    window: float | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    code: int = 1
    source: str = ""
    synthetic: bool = False
    dtype: Literal["float32", "float16"] = "float32"

    @property
    def digest(self) -> str:
        """Digest of everything that can change a number; the feature's name is not in it."""
        return digest_of({k: v for k, v in self.to_dict().items() if k != "name"})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for files."""
        plain: dict[str, Any] = json.loads(canonical_json({f.name: getattr(self, f.name) for f in fields(self)}))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureSpec:
        """The inverse of `to_dict`."""
        known = {f.name for f in fields(cls)}
        kept = {k: v for k, v in values.items() if k in known}
        return cls(**(kept | {k: tuple(kept[k]) for k in ("columns", "units") if k in kept}))

    def first_difference(self, other: FeatureSpec) -> str | None:
        """Name the first field in which two specs differ, with both values; None if they agree."""
        return _first_difference(self.to_dict(), other.to_dict(), "")


def _first_difference(ours: Any, theirs: Any, path: str) -> str | None:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            found = _first_difference(ours.get(key), theirs.get(key), f"{path}.{key}" if path else key)
            if found:
                return found
        return None
    if ours == theirs:
        return None
    return f"{path}: {_shorten(ours)} against {_shorten(theirs)}"


def _shorten(value: object, limit: int = 60) -> str:
    text = canonical_json(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """One feature of one clip.

    Attributes:
        values: (T, D) float32; a row is NaN throughout exactly where `valid` is False.
        times: (T, 2) float64 seconds from the clip's start, half-open [start, end), in order.
        valid: (T,) bool; False where the engine had nothing to measure, such as no face.
    """

    values: npt.NDArray[np.float32]
    times: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Check every invariant once, where the data is made.

        Raises:
            ValueError: Naming the array, what was expected and what was found.
        """
        n = self.values.shape[0]
        if self.values.ndim != 2 or self.values.dtype != np.float32:
            _refuse("values", "(T, D) float32", self.values)
        if self.times.shape != (n, 2) or self.times.dtype != np.float64:
            _refuse("times", f"({n}, 2) float64", self.times)
        if self.valid.shape != (n,) or self.valid.dtype != np.bool_:
            _refuse("valid", f"({n},) bool", self.valid)
        if not np.isfinite(self.times).all() or (self.times[:, 1] <= self.times[:, 0]).any():
            raise ValueError("times: expected finite, half-open [start, end) with end after start")
        if (np.diff(self.times[:, 0]) < 0).any():
            raise ValueError("times: expected rows in order of start")
        if not np.isfinite(self.values if self.valid.all() else self.values[self.valid]).all():  # most need no copy
            raise ValueError("values: NaN or infinity in a row marked valid")
        if not np.isnan(self.values[~self.valid]).all():
            raise ValueError("values: numbers in a row marked not valid, expected NaN")


def _refuse(name: str, expected: str, got: npt.NDArray[Any]) -> NoReturn:
    raise ValueError(f"{name}: expected {expected}, got {got.shape} {got.dtype}")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one clip has no values for one feature.

    Attributes:
        clip_id: The clip.
        feature: The feature it could not give.
        reason: One of `storage.errors.REASONS`.
        message: One line for a person.
        stage: `open`, `decode`, `extract` or `check`.
        state: `failed`, or `skipped` where a rule of the run configuration says that this is expected.
    """

    clip_id: str
    feature: str
    reason: str
    message: str
    stage: str = "extract"
    state: Literal["failed", "skipped"] = "failed"
