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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import RunError
from storage.clip import CLIP_ID, Clip
from storage.exporters._shared.arrays import filled
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.files import write_npy, write_records
from storage.exporters._shared.labels import UnlabelledRule
from storage.exporters._shared.selection import (
    audio_seconds,
    clips_without,
    refuse_missing,
    selected_features,
    three_splits,
)
from storage.exporters.emobox.folds import Fold, folds_by, one_fold
from storage.exporters.emobox.lists import Lists, record_of
from storage.exporters.emobox.options import EmoboxOptions
from storage.exporters.emobox.validate import validate_folder

if TYPE_CHECKING:
    from storage.store.store import FeatureStore


class EmoboxExporter(Exporter[EmoboxOptions]):
    """Lists of clips in folds, and one npy per clip and feature."""

    name = "emobox"
    Options = EmoboxOptions

    def features(self) -> list[str]:
        """Features to export.

        Raises:
            RunError: If the store lacks one.
        """
        return selected_features(self.store, self.options)

    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write the folder, one clip at a time.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Raises:
            RunError: If an option is wrong, folds cannot be made, or a clip lacks a feature or a label and no option
                says what to do.
        """
        store, names, dataset = self.store, self.features(), self._dataset()
        without = clips_without(store, names)
        mute = {"media": [clip.id for clip in store.clips() if clip.audio is None and clip.video is None]}
        refuse_missing(without | mute, self.options.missing, "leaves them out of the lists")
        unlabelled, rule = [clip for clip in store.clips() if clip.label_raw is None], UnlabelledRule(self.options)
        rule.refuse(unlabelled, "one of the corpus's own")
        without |= {"label": [clip.id for clip in unlabelled if rule.is_left_out(clip)]} | mute
        kept = _Kept(store, {clip_id for ids in without.values() for clip_id in ids}, rule)
        folds, lines = self._folds(kept)
        label_map = _label_map(kept, dict(self.options.labels))
        root = destination / "data" / dataset
        root.mkdir(parents=True)
        for name in names:
            (destination / "features" / name).mkdir(parents=True)
        with ExitStack() as stack:
            lists = Lists(root, dataset, stack)
            for clip in kept:
                if clip.id in folds:
                    record = record_of(clip, dataset, audio_seconds(store, clip), self.options.sample_rate)
                    lists.add(record, folds[clip.id])
                    for name in names:
                        write_npy(
                            destination / "features" / name / f"{record['key']}.npy", filled(store.get(clip.id, name))
                        )
        (root / "label_map.json").write_text(json.dumps(label_map, indent=4), encoding="utf-8")
        return [*lines, *lists.lines(), *write_records(destination, without, provenance)]

    @staticmethod
    def validate(path: Path) -> Iterator[str]:
        """Re-read the folder; see `validate_folder`."""
        return validate_folder(path)

    def _dataset(self) -> str:
        name = self.options.dataset if self.options.dataset is not None else self.store.manifest.corpus
        if not CLIP_ID.fullmatch(name) or not name.strip("."):
            raise RunError(f"option dataset: expected a name of A-Z a-z 0-9 _ . -, got {name!r}")
        return name

    def _folds(self, kept: Iterable[Clip]) -> tuple[dict[str, list[Fold]], list[str]]:
        """Folds and splits of each clip, and remarks."""
        if self.options.by != "split":
            return folds_by(self.options.by, kept, self.options.folds), []
        three, lines = three_splits(self.store, self.options)
        ids = {clip.id for clip in kept}
        folds, held_out = one_fold(
            {split: [i for i in of_split if i in ids] for split, of_split in three.items()}, kept
        )
        return folds, [*lines, *held_out]


class _Kept:
    """The clips that are exported, streamed as often as asked."""

    def __init__(self, store: FeatureStore, left_out: set[str], rule: UnlabelledRule) -> None:
        self._store, self._left_out, self._rule = store, left_out, rule
        self._labels = {clip.label_raw: clip.label for clip in store.clips()}

    def __iter__(self) -> Iterator[Clip]:
        for clip in self._store.clips():
            if clip.id not in self._left_out:
                word = self._rule.of(clip) if clip.label_raw is None else clip.label_raw
                yield clip if clip.label_raw else replace(clip, label_raw=word, label=self._labels.get(word))


def _label_map(kept: Iterable[Clip], stated: Mapping[str, str]) -> dict[str, str]:
    """Label to show for each of the corpus's own: as told, or merflow's, or the same where merflow has none."""
    shown: dict[str, str] = {}
    for clip in kept:
        raw = str(clip.label_raw)
        label = stated.get(raw) or (clip.label.capitalize() if clip.label else raw)
        if shown.setdefault(raw, label) != label:
            both = f"{shown[raw]} and, in clip {clip.id}, {label}"
            raise RunError(f"label {raw!r}: expected one label to show, got {both}; --opt labels={raw}:NAME decides")
    return shown
