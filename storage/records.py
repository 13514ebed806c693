"""The nouns of merflow beside `Clip`: Shard, FeatureSpec, Features, Failure. Read `clip.py` and this file first.

Everything here is plain data: no file, model or network is touched. `Manifest`, which streams clips from disk, is in
`storage.manifest`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from storage.clip import Clip
from storage.digests import canonical_json, digest_of
from storage.identity import Modality, Source, inputs_of
from storage.wording import shortened

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["frame", "utterance"]
_TUPLES = ("columns", "units", "centre_offsets", "reads")


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
        extractor: Name of the extractor that makes it, such as `hubert`.
        modality: `audio`, `video` or `text`.
        level: `frame` (many rows per clip) or `utterance` (one row).
        columns: Column names, in order; their number is the feature's width.
        units: Unit of each column, or one unit for all; empty string for none.
        hop: Seconds between rows; None if it varies.
        window: Seconds of media one row sees; None if it varies.
        reads: What of a clip it is made from, `audio`, `video`, `text`, `crops`; empty where that is the modality
            alone.
        centre_offsets: Seconds by which each column's centre lies after that of its row's times; empty where none does.
        recipe: Every setting that can change a number.
        weights: Where the weights came from and their SHA-256; empty for extractors without weights.
        precision: Arithmetic, such as `float32`.
        code: Version of the extractor's code; raised whenever its numbers change.
        source: Engine whose numbers these are, such as `openSMILE 3.0` or `py-feat`.
        synthetic: True if weights are random: such numbers mean nothing.
        dtype: Type of the values on disk; they are read as float32 whatever it is.
        inputs: Digest of each feature that it is computed from, by the feature's name.
        engines: Version of each library outside merflow that makes the numbers and is known, or must be assumed, to
            move them from version to version, such as FFmpeg.
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
    inputs: Mapping[str, str] = field(default_factory=dict)
    engines: Mapping[str, str] = field(default_factory=dict)
    centre_offsets: tuple[float, ...] = ()
    reads: tuple[Source, ...] = ()

    @property
    def digest(self) -> str:
        """Digest of everything that can change a number; neither the feature's name nor `reads` is in it."""
        return digest_of({k: v for k, v in self.to_dict().items() if k not in {"name", "reads"}})

    @property
    def clip_inputs(self) -> tuple[str, ...]:
        """Names of the inputs of a clip that its numbers depend on, see `storage.identity.INPUTS`."""
        return inputs_of(self.reads or (self.modality,))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for files; fields that came after version 0.1 only where there is something in them."""
        plain: dict[str, Any] = json.loads(canonical_json({f.name: getattr(self, f.name) for f in fields(self)}))
        return {
            key: value
            for key, value in plain.items()
            if value or key not in {"inputs", "engines", "centre_offsets", "reads"}
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureSpec:
        """The inverse of `to_dict`."""
        names = {f.name for f in fields(cls)}
        kept = {k: v for k, v in values.items() if k in names}
        return cls(**(kept | {k: tuple(kept[k]) for k in _TUPLES if k in kept}))

    def first_difference(self, other: FeatureSpec) -> str | None:
        """Name the first field in which two specs differ, with both values; None if they agree."""
        return _first_difference(self.to_dict(), other.to_dict(), "")


def _first_difference(ours: Any, theirs: Any, path: str) -> str | None:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            difference = _first_difference(ours.get(key), theirs.get(key), f"{path}.{key}" if path else key)
            if difference:
                return difference
        return None
    if ours == theirs:
        return None
    return f"{path}: {shortened(ours)} against {shortened(theirs)}"


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """One feature of one clip.

    Attributes:
        values: (T, D) float32; a row is NaN throughout exactly where `valid` is False.
        times: (T, 2) float64 seconds from the clip's start, half-open [start, end), in order.
        valid: (T,) bool; False where the engine had nothing to measure, such as no face.
        columns: Names of the D columns, where they are known.
    """

    values: npt.NDArray[np.float32]
    times: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]
    columns: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """A table of pandas: index (start, end) as time from the clip's start, columns by name; NaN where not valid."""
        from storage.frames import to_frame

        return to_frame(self.values, self.times, self.columns)

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
        attempt: How often it was tried, from 1.
    """

    clip_id: str
    feature: str
    reason: str
    message: str
    stage: str = "extract"
    state: Literal["failed", "skipped"] = "failed"
    attempt: int = 1
