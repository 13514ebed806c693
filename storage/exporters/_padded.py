"""PKLs of clips padded with zeros at the end to one length."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from storage.exporters._openface import LEADING, leading_column
from storage.legacy_pickle import dump
from storage.records import Features, FeatureSpec

if TYPE_CHECKING:
    from storage.store import FeatureStore

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Modality:
    """One kind of PKL.

    Attributes:
        kind: `video` or `audio`; the PKLs' folder, file names and keys begin with it.
        suffix: What follows a clip's id in its name.
        spec: The feature.
        layout: Name of the choice of columns.
        leading: Columns made from the rows' times and mask, which come first.
        index: (n,) places of the feature's own columns that follow.
    """

    kind: str
    suffix: str
    spec: FeatureSpec
    layout: str
    leading: tuple[str, ...]
    index: npt.NDArray[np.intp]

    def rows(self, features: Features) -> Rows:
        """(T, D) float32 values of one clip; 0 in the feature's own columns where a row is not valid."""
        own = np.where(features.valid[:, None], features.values[:, self.index], np.float32(0))
        return np.column_stack([*(leading_column(name, features) for name in self.leading), own])

    def columns(self) -> list[dict[str, str]]:
        """Name and source of every column, in order."""
        source = f"{self.spec.name} ({self.spec.source})"
        made = [{"name": name, "source": f"made by merflow: {LEADING[name]}"} for name in self.leading]
        return made + [{"name": self.spec.columns[i], "source": source} for i in self.index]


def write_modality(
    store: FeatureStore, folder: Path, modality: Modality, splits: Mapping[str, Sequence[str]], one_length: bool
) -> Iterator[str]:
    """Write the PKLs of all splits, their lengths and columns.

    Args:
        store: Where the features are; clips that lack this one are left out.
        folder: Where to make the modality's own folder.
        modality: What to write.
        splits: Ids of the clips of each split, in order.
        one_length: Pad all splits to the longest clip of all, not each to its own.

    Yields:
        One line about each file.
    """
    target = folder / f"{modality.kind}_feature"
    target.mkdir()
    write_json(target / "columns.json", {"layout": modality.layout, "columns": modality.columns()})
    stored = {s: [i for i in ids if store.has(i, modality.spec.name)] for s, ids in splits.items()}
    lengths = {s: {i: len(store.get(i, modality.spec.name).valid) for i in ids} for s, ids in stored.items()}
    longest = max((n for of_split in lengths.values() for n in of_split.values()), default=0)
    for split, rows in lengths.items():
        name = f"{split}_{modality.kind}_features"
        padded_to = longest if one_length else max(rows.values(), default=0)
        items = [_item(store, modality, clip_id, padded_to) for clip_id in rows]
        with (target / f"{name}.pkl").open("wb") as file:
            dump(items, file)
        write_json(target / f"{name}.lengths.json", {f"{i}{modality.suffix}": n for i, n in rows.items()})
        yield f"{name}.pkl: {len(rows)} clips, {padded_to} rows x {len(modality.columns())} columns"


def _item(store: FeatureStore, modality: Modality, clip_id: str, length: int) -> dict[str, object]:
    rows = modality.rows(store.get(clip_id, modality.spec.name))
    padded = np.zeros((length, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    return {f"{modality.kind}_name": f"{clip_id}{modality.suffix}", f"{modality.kind}_feature": padded}


def write_json(path: Path, value: object) -> None:
    """Write a JSON file for people and programs: indented, UTF-8."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def link_tree(source: Path, copy: Path) -> None:
    """Give the files of a folder a second place: hard links, or copies where the file system has no links."""
    copy.mkdir()
    for file in sorted(source.iterdir()):
        try:
            os.link(file, copy / file.name)
        except OSError:
            shutil.copyfile(file, copy / file.name)
