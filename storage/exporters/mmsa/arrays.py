"""What MMSA's pickle is made of: rows of each clip, padded to one length, in arrays made when it is their turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from storage.clip import Clip
from storage.exporters._shared.arrays import Dtype, as_dtype
from storage.exporters._shared.labels import Target, UnlabelledRule
from storage.exporters._shared.legacy_pickle import Later
from storage.exporters._shared.selection import abbreviate
from storage.exporters._shared.validation import refuse_invalid
from storage.exporters.mmsa.layout import PARTS, SEPARATOR
from storage.exporters.mmsa.validate import split_problems
from storage.records import Features, FeatureSpec
from storage.timeline import Mask, Method, Times, align, clip_end, fit_length, regular_grid, within
from storage.vocabulary.tokens import TOKENS, WORD
from storage.wording import counted, having

if TYPE_CHECKING:
    from storage.store.store import FeatureStore


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of each clip, on each feature's own clock or on one for all.

    Attributes:
        store: Where they are.
        specs: Feature of each array: `audio`, `vision`, and any of `text` and `text_bert`.
        clock: Steps per second of the one clock, or the feature whose steps it is; None for each feature's own.
        method: How rows are put on the one clock.
        clips: The clips by id.
        dtype: Type of the values; tokens are whole numbers.
    """

    store: FeatureStore
    specs: Mapping[str, FeatureSpec]
    clock: float | str | None
    method: Method
    clips: Mapping[str, Clip]
    dtype: Dtype = "float32"

    def read(self, clip_id: str, key: str) -> Features:
        """One clip's rows for one array. Tokens are never aligned.

        Args:
            clip_id: The clip.
            key: The array, such as `audio`.
        """
        features = self._stored(clip_id, key)
        if self.clock is None or key == "text_bert":
            return features
        grid, spoken = self._grid(clip_id, self.clock)
        values, valid = align(features, grid, self.method, self.specs[key].centre_offsets)
        if not spoken.all():
            values, valid = np.where(spoken[:, None], values, np.float32(np.nan)), valid & spoken
        return Features(values, grid, valid)

    def mask(self, clip_id: str, key: str) -> Mask:
        """Which of one clip's rows for one array are valid; without aligning all its columns.

        Args:
            clip_id: The clip.
            key: The array, such as `audio`.
        """
        features = self._stored(clip_id, key)
        if self.clock is None or key == "text_bert":
            return features.valid
        offsets = self.specs[key].centre_offsets or (0.0,)
        first = [offsets.index(offset) for offset in dict.fromkeys(offsets)]  # a column of each offset is enough
        narrow = Features(np.ascontiguousarray(features.values[:, first]), features.times, features.valid)
        grid, spoken = self._grid(clip_id, self.clock)
        return align(narrow, grid, self.method, [offsets[i] for i in first]).valid & spoken

    def _stored(self, clip_id: str, key: str) -> Features:
        """What the store has of a clip; one row without values where it has nothing, and that was asked for."""
        spec = self.specs[key]
        if self.store.has(clip_id, spec.name):
            return self.store.get(clip_id, spec.name)
        nothing = np.full((1, len(spec.columns)), np.nan, np.float32)
        return Features(nothing, np.array([[0.0, 1e-6]]), np.zeros(1, np.bool_))

    def _grid(self, clip_id: str, clock: float | str) -> tuple[Times, Mask]:
        """(N, 2) seconds of a clip's steps, and which of them are more than a special token."""
        names = [clock] if isinstance(clock, str) else [spec.name for spec in self.specs.values()]
        rows = {name: self.store.get(clip_id, name) for name in names if self.store.has(clip_id, name)}
        end = clip_end(self.clips[clip_id], rows, self.store.specs)
        if not isinstance(clock, str):
            grid = regular_grid(end, clock)
            return grid, np.ones(len(grid), np.bool_)
        grid, columns = within(rows[clock].times, end), self.store.specs[clock].columns
        if not {*TOKENS, WORD} <= set(columns):
            return grid, np.ones(len(grid), np.bool_)
        return grid, rows[clock].values[: len(grid), columns.index(WORD)] >= 0

    def array(self, key: str, clips: Sequence[str], length: int) -> npt.NDArray[Any]:
        """(N, length, D) rows of all clips, zeros at the end and where not valid; of tokens (N, 3, length).

        Args:
            key: The array, such as `audio`.
            clips: Ids of N clips.
            length: Rows of each.
        """
        dtype: Dtype = "float32" if key == "text_bert" else self.dtype
        array = np.zeros((len(clips), length, len(self.specs[key].columns)), dtype)
        for i, clip_id in enumerate(clips):
            features = self.read(clip_id, key)
            fitted = fit_length(features.values, features.valid, length)
            array[i] = as_dtype(fitted.values, dtype, f"clip {clip_id}, {key}")
            del fitted, features  # else they would stay until the next clip's are made
        if key != "text_bert":
            return array
        places = [self.specs[key].columns.index(name) for name in TOKENS]
        return np.ascontiguousarray(array[:, :, places].transpose(0, 2, 1), np.int64)


@dataclass(frozen=True, slots=True)
class Extent:
    """How many rows the clips have for one array.

    Attributes:
        rows: True number of each clip.
        padded: Number in the array.
        empty: Clips without one valid row.
    """

    rows: Mapping[str, int]
    padded: int
    empty: Sequence[str]

    def remarks(self, key: str) -> list[str]:
        """One line about each thing that is not as stored."""
        cut = [clip_id for clip_id, n in self.rows.items() if n > self.padded]
        lines = [f"{key}: {counted(len(cut), 'clip')} cut to {self.padded} rows: {abbreviate(cut)}"] if cut else []
        if self.empty:
            lines.append(f"{key}: {counted(len(self.empty), 'clip')} of zeros only: {abbreviate(self.empty)}")
        return lines


def extent_of(source: Source, key: str, clips: Sequence[str], rule: str) -> Extent:
    """Rows of one array over all its clips.

    Args:
        source: Where the rows are.
        key: The array.
        clips: Ids.
        rule: `max`, or `mean+3std`: mean plus three standard deviations, fraction cut off, as MMSA-FET pads.

    Raises:
        RunError: If a clip has no row at all: MMSA packs sequences of one row or more.
    """
    rows, empty = {}, []
    for clip_id in clips:
        valid = source.mask(clip_id, key)
        if not len(valid):
            raise RunError(f"clip {clip_id}, {key}: expected one row or more, got none")
        rows[clip_id] = len(valid)
        empty += [] if valid.any() else [clip_id]
    counts = np.array(list(rows.values()))
    return Extent(rows, int(counts.max() if rule == "max" else counts.mean() + 3 * counts.std()), empty)


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that decides what the pickle holds, but the clips.

    Attributes:
        source: Where the rows come from.
        extents: How many rows each array has.
        target: Where the labels come from.
        unlabelled: What number clips without one get.
        parts: Letters of the modalities whose labels every clip has.
    """

    source: Source
    extents: Mapping[str, Extent]
    target: Target
    unlabelled: UnlabelledRule
    parts: list[str]

    @property
    def has_placeholders(self) -> bool:
        """Whether texts are zeros, for none are stored: MMSA looks for them even where `feature_T` replaces them."""
        return not {"text", "text_bert"} & self.source.specs.keys()

    def items(self, split: str, clips: list[Clip]) -> dict[str, object]:
        """One split's part of the pickle; its arrays are made and checked when it is their turn.

        Args:
            split: Name of the split.
            clips: Its clips.
        """
        own = [self.target.of(clip) for clip in clips]
        given = [self.unlabelled.number_of(c) if n is None else n for c, n in zip(clips, own, strict=True)]
        numbers = np.array(given, np.float32)
        plain: dict[str, Any] = {
            "id": [f"{clip.group or clip.id}{SEPARATOR}{clip.id}" for clip in clips],
            "raw_text": [clip.text or "" for clip in clips],
            "regression_labels": numbers,
            **{f"regression_labels_{p}": self._labels(p, clips) for p in self.parts},
            "classification_labels": [int(sign) + 1 for sign in np.sign(numbers)],
            "annotations": [clip.label_raw or "" for clip in clips],
        }
        if self.source.clock is None:
            plain |= {f"{key}_lengths": self._lengths(key, clips) for key in ("audio", "vision")}
        refuse_invalid(split_problems(split, plain), "mmsa")
        if self.has_placeholders:
            shapes: dict[str, Any] = {"text": ((1, 1), np.float32), "text_bert": ((3, 1), np.int64)}
            for key, (shape, dtype) in shapes.items():
                plain[key] = np.zeros((len(clips), *shape), dtype)
        arrays = {key: Later(partial(self._array, split, key, clips, plain)) for key in self.source.specs}
        return plain | arrays

    def _labels(self, part: str, clips: list[Clip]) -> npt.NDArray[np.float32]:
        return np.array([self.target.of(clip, PARTS[part]) for clip in clips], np.float32)

    def _lengths(self, key: str, clips: list[Clip]) -> list[int]:
        extent = self.extents[key]
        return [min(extent.rows[clip.id], extent.padded) for clip in clips]

    def _array(self, split: str, key: str, clips: list[Clip], plain: Mapping[str, Any]) -> object:
        array = self.source.array(key, [clip.id for clip in clips], self.extents[key].padded)
        entries = {name: plain[name] for name in ("id", f"{key}_lengths") if name in plain}
        refuse_invalid(split_problems(split, {**entries, key: array}), "mmsa")
        return array

    def described(self, key: str) -> dict[str, object]:
        """Feature, rows and columns of one array."""
        spec = self.source.specs[key]
        columns = list(TOKENS if key == "text_bert" else spec.columns)
        return {"feature": spec.name, "source": spec.source, "rows": self.extents[key].padded, "columns": columns}

    def dataset(self, train: Sequence[Clip]) -> dict[str, object]:
        """`datasetCommonParams` of MMSA's configuration: of the corpus whose name is borrowed.

        Args:
            train: Clips of the training split.
        """
        aligned = self.source.clock is not None
        keys = ("text" if "text" in self.source.specs else "text_bert", "audio", "vision")
        rows = [self.extents[key].padded if key in self.extents else 1 for key in keys]
        widths = [len(self.source.specs[key].columns) if key in self.source.specs else 1 for key in keys]
        widths[0] = widths[0] if keys[0] == "text" else 768  # of the BERT that MMSA runs on the tokens
        settings = {
            "featurePath": f"{'aligned' if aligned else 'unaligned'}.pkl",
            "seq_lens": rows,
            "feature_dims": widths,
            "train_samples": len(train),
            "num_classes": 3,
            "language": "cn" if train and all((clip.language or "").startswith("zh") for clip in train) else "en",
            "KeyEval": "Loss",
        }
        borrowed = "sims" if len(self.parts) == len(PARTS) else "mosi"
        return {"datasetCommonParams": {borrowed: {"aligned" if aligned else "unaligned": settings}}}

    def remarks(self, clips: list[Clip]) -> list[str]:
        """What the arrays are, and what a reader may miss."""
        lines = []
        for key, spec in self.source.specs.items():
            extent = self.extents[key]
            lines += [f"{key}: {spec.name}, {extent.padded} rows x {len(spec.columns)} columns", *extent.remarks(key)]
        for key, models in (("text", "models without BERT"), ("text_bert", "models with BERT")):
            if key not in self.source.specs and self.has_placeholders:
                lines.append(f"{key}: zeros in its place, so that MMSA can take it from another file (feature_T)")
            elif key not in self.source.specs:
                lines.append(f"no {key}: MMSA's {models} do not open this pickle")
        if len(self.parts) < len(PARTS):
            lines.append("no labels of each modality: not to be opened as sims or simsv2")
        silent = [clip.id for clip in clips if not clip.text]
        return lines + (
            [f"raw_text: {having(len(silent), 'clip')} none, left empty: {abbreviate(silent)}"] if silent else []
        )
