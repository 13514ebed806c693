"""PKLs of clips padded with zeros at the end to one length."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from storage.exporters._shared.arrays import filled
from storage.exporters._shared.files import write_json
from storage.exporters._shared.legacy_pickle import Later, dump
from storage.exporters.indomer.layout import LEADING, SUFFIXES, leading_column
from storage.records import Features, FeatureSpec
from storage.wording import counted

if TYPE_CHECKING:
    from storage.store.store import FeatureStore

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Modality:
    """One kind of PKL.

    Attributes:
        kind: `video` or `audio`; the PKLs' folder, file names and keys begin with it.
        spec: The feature.
        layout: Name of the choice of columns.
        about: What the layout is.
        columns: Names of the columns, in order: the feature's own, or where it has none of that name, one that is made
            of the rows' times and mask.
    """

    kind: str
    spec: FeatureSpec
    layout: str
    about: str
    columns: tuple[str, ...]

    def rows(self, features: Features) -> Rows:
        """(T, D) float32 values of one clip; 0 in the feature's own columns where a row is not valid."""
        places = {name: i for i, name in enumerate(self.spec.columns)}
        own = filled(features)
        if self.columns == self.spec.columns:
            return own
        made = [c for c in self.columns if c not in places]
        table = np.column_stack([own, *(leading_column(name, features) for name in made)])
        places.update({name: own.shape[1] + i for i, name in enumerate(made)})
        return table[:, [places[name] for name in self.columns]]

    def describe(self) -> dict[str, Any]:
        """The layout, the engine whose numbers these are, and name and source of every column, in order."""
        own = set(self.spec.columns)
        feature = f"{self.spec.name} ({self.spec.source})"
        columns = [
            {"name": name, "source": feature if name in own else f"made by merflow: {LEADING[name]}"}
            for name in self.columns
        ]
        return {"layout": self.layout, "about": self.about, "source": self.spec.source, "columns": columns}


def write_modality(
    store: FeatureStore, folder: Path, modality: Modality, splits: Mapping[str, Sequence[str]], one_length: bool
) -> Iterator[str]:
    """Write the PKLs of all splits clip by clip, their lengths and columns.

    Args:
        store: Where the features are.
        folder: Where to make the modality's own folder.
        modality: What to write.
        splits: Ids of the clips of each split, in order; all have the feature.
        one_length: Pad all splits to the longest clip of all, not each to its own.

    Yields:
        One line about each file.
    """
    target = folder / f"{modality.kind}_feature"
    target.mkdir()
    layout = modality.describe()
    write_json(target / "columns.json", layout)
    lengths = {s: {i: store.length(i, modality.spec.name) for i in ids} for s, ids in splits.items()}
    longest = max((n for of_split in lengths.values() for n in of_split.values()), default=0)
    for split, rows in lengths.items():
        name = f"{split}_{modality.kind}_features"
        padded_to = longest if one_length else max(rows.values(), default=0)
        with (target / f"{name}.pkl").open("wb") as file:
            dump([Later(partial(_item, store, modality, clip_id, padded_to)) for clip_id in rows], file)
        suffix = SUFFIXES[modality.kind]
        write_json(target / f"{name}.lengths.json", {f"{clip_id}{suffix}": n for clip_id, n in rows.items()})
        yield f"{name}.pkl: {counted(len(rows), 'clip')}, {padded_to} rows x {len(layout['columns'])} columns"


def _item(store: FeatureStore, modality: Modality, clip_id: str, length: int) -> dict[str, object]:
    rows = modality.rows(store.get(clip_id, modality.spec.name))
    padded = np.zeros((length, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    return {f"{modality.kind}_name": f"{clip_id}{SUFFIXES[modality.kind]}", f"{modality.kind}_feature": padded}


def link_tree(source: Path, copy: Path) -> None:
    """Give the files of a folder a second place: hard links, or copies where the file system has no links.

    Args:
        source: The folder.
        copy: Its second place; made.
    """
    copy.mkdir()
    for file in sorted(source.iterdir()):
        try:
            os.link(file, copy / file.name)
        except OSError:
            shutil.copyfile(file, copy / file.name)
