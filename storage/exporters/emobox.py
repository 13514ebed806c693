"""EmoBox: folds of clips as JSON lines and JSON, a map of labels, and one npy per clip and feature.

```
data/<ds>/<ds>.jsonl, <ds>.json                         all clips
data/<ds>/label_map.json                                corpus's own label -> label to show
data/<ds>/fold_<k>/<ds>_{train,valid,test}_fold_<k>.*   the clips of each split of fold k, from 1; jsonl and json
features/<feature>/<ds>-<clip_id>.npy (T, D) float32    zeros in rows that are not valid
missing.json, provenance.json                           clips that were left out; where the numbers come from
```

A clip's key is `<ds>-<clip_id>`, `emo` its own label, `wav` its media below `downloads/<ds>/`. Folds by speaker or by
group divide nobody between their splits: with N folds, part k of N equal parts is the test of fold k and the next part
its valid. By split there is one fold, of the corpus's own splits; where the corpus has no valid split, a fifth of
train is held out, by group (or else speaker). There always is a valid file: EmoBox without one makes it empty. Every
clip listed has its npy, for EmoBox drops the others silently. `num_frame` is length times the option `sample_rate`.
One clip is in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storage.errors import RunError
from storage.exporters._base import choice
from storage.exporters._common import (
    DEFAULT_SPLIT,
    FEATURES,
    MISSING,
    SPLITS,
    asked_features,
    filled,
    lacking,
    pairs,
    refuse_lacking,
    seconds_of,
    three_splits,
    whole_number,
    write_records,
)
from storage.exporters._emobox import Lists, record_of
from storage.exporters._emobox_check import check
from storage.exporters._folds import Place, folds_by, one_fold
from storage.records import CLIP_ID, Clip

if TYPE_CHECKING:
    from storage.store import FeatureStore

__all__ = ["OPTIONS", "check", "features_of", "write"]

OPTIONS = {
    "features": FEATURES,
    "dataset": "name of the data set, in keys and paths; default the corpus's",
    "by": "what makes the folds: split, speaker or group; default split",
    "folds": "number of folds by speaker or group; default 5",
    "splits": SPLITS,
    "default_split": DEFAULT_SPLIT,
    "sample_rate": "of the audio, in Hz, for `sample_rate` and `num_frame`; default 16000, at which EmoBox reads it",
    "labels": "labels to show for the corpus's own, such as exc:Happy; default merflow's, as in Happy",
    "missing": MISSING,
}


def features_of(store: FeatureStore, options: Mapping[str, str]) -> list[str]:
    """Features to export.

    Raises:
        RunError: If the store lacks one.
    """
    return asked_features(store, options)


def write(store: FeatureStore, destination: Path, options: Mapping[str, str], provenance: str) -> list[str]:
    """Write the folder, one clip at a time.

    Raises:
        RunError: If an option is wrong, folds cannot be made, or a clip lacks a feature or a label and no option says
            what to do.
    """
    names, dataset = features_of(store, options), _dataset(store, options)
    rate = whole_number(options, "sample_rate", 16000)
    without = lacking(store, names) | {
        "label": [clip.id for clip in store.clips() if clip.label_raw is None],
        "media": [clip.id for clip in store.clips() if clip.audio is None and clip.video is None],
    }
    refuse_lacking(without, options, "leaves them out of the lists")
    left_out = {clip_id for ids in without.values() for clip_id in ids}
    kept = _Kept(store, left_out)
    places, lines = _places(store, kept, options)
    label_map = _label_map(kept, options)
    root = destination / "data" / dataset
    root.mkdir(parents=True)
    for name in names:
        (destination / "features" / name).mkdir(parents=True)
    with ExitStack() as stack:
        lists = Lists(root, dataset, stack)
        for clip in kept:
            if clip.id in places:
                record = record_of(clip, dataset, seconds_of(store, clip, names), rate)
                lists.add(record, places[clip.id])
                for name in names:
                    path = destination / "features" / name / f"{record['key']}.npy"
                    np.save(path, filled(store.get(clip.id, name)), allow_pickle=False)
    (root / "label_map.json").write_text(json.dumps(label_map, indent=4), encoding="utf-8")
    return [*lines, *lists.lines(), *write_records(destination, without, provenance)]


class _Kept:
    """The clips that are exported, streamed as often as asked."""

    def __init__(self, store: FeatureStore, left_out: set[str]) -> None:
        self._store, self._left_out = store, left_out

    def __iter__(self) -> Iterator[Clip]:
        return (clip for clip in self._store.clips() if clip.id not in self._left_out)


def _dataset(store: FeatureStore, options: Mapping[str, str]) -> str:
    name = options.get("dataset", store.manifest.corpus)
    if not CLIP_ID.fullmatch(name) or not name.strip("."):
        raise RunError(f"option dataset: expected a name of A-Z a-z 0-9 _ . -, got {name!r}")
    return name


def _places(
    store: FeatureStore, kept: Iterable[Clip], options: Mapping[str, str]
) -> tuple[dict[str, list[Place]], list[str]]:
    """Folds and splits of each clip, and remarks."""
    unit = choice(options, "by", ("split", "speaker", "group"))
    if unit != "split":
        return folds_by(unit, kept, whole_number(options, "folds", 5, least=3, most=100)), []
    three, lines = three_splits(store, options)
    ids = {clip.id for clip in kept}
    places, held_out = one_fold({split: [i for i in of_split if i in ids] for split, of_split in three.items()}, kept)
    return places, [*lines, *held_out]


def _label_map(kept: Iterable[Clip], options: Mapping[str, str]) -> dict[str, str]:
    """Label to show for each of the corpus's own: as told, or merflow's, or the same where merflow has none."""
    told = dict(pairs(options, "labels"))
    shown: dict[str, str] = {}
    for clip in kept:
        raw = str(clip.label_raw)
        label = told.get(raw) or (clip.label.capitalize() if clip.label else raw)
        if shown.setdefault(raw, label) != label:
            both = f"{shown[raw]} and, in clip {clip.id}, {label}"
            raise RunError(f"label {raw!r}: expected one label to show, got {both}; --opt labels={raw}:NAME decides")
    return shown
