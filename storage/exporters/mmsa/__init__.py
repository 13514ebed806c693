"""MMSA's pickle: `{train, valid, test}`, each with the arrays of all its clips.

```
unaligned.pkl, or aligned.pkl      {"train": {...}, "valid": {...}, "test": {...}}, each of them with
  id, raw_text                     lists of N texts
  audio, vision (N, T, D) float32  one T over all splits, zeros at the end; `text` the same, if stored
  text_bert (N, 3, L) int64        token ids, mask, segment ids, if stored
  regression_labels (N,) float32   and regression_labels_T, _A, _V if every clip has a label of each modality
  classification_labels            0, 1, 2: label below 0, 0, above 0
  annotations                      the corpus's own words
  audio_lengths, vision_lengths    lists of N whole numbers; not in an aligned pickle
dataset.json                       MMSA's own settings of a data set: path, rows, columns, training clips; see below
columns.json                       feature, rows and columns of each array, in order
missing.json, provenance.json      clips that were left out; where the numbers come from
```

With `align=words` the steps are words, or the tokens of `text_bert`: audio, vision and `text` are means over each
word, repeated for its pieces, and zeros for special tokens.

`id` is `<group>$_$<clip id>`; a clip without a group is its own. Splits named `val`, `validation` and `dev` become
`valid`. Rows that are not valid are zeros. Without a text feature, `text` and `text_bert` are zeros: MMSA looks for
them even where it takes the text from another file (its `feature_T`). The pickle loads with NumPy 1.24 and newer. MMSA
opens it as `custom_feature` under the name of one of its own corpora: `sims` wants the labels of each modality, `mosi`
does not.

`dataset.json` is the `datasetCommonParams` of MMSA's configuration for this pickle; docs/consumers/mmsa.md joins it
with the settings of the models that MMSA ships, so that `MMSA_run(config_file=...)` runs.
One array of one split is in memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import RunError
from storage.clip import Clip
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.files import write_json, write_records
from storage.exporters._shared.labels import Target, UnlabelledRule, target_of
from storage.exporters._shared.legacy_pickle import dump
from storage.exporters._shared.selection import (
    abbreviate,
    clips_without,
    refuse_broadcast,
    refuse_missing,
    require_clock,
    spec_of,
    three_splits,
)
from storage.exporters.mmsa.arrays import Contents, Source, extent_of
from storage.exporters.mmsa.layout import DATASET, PARTS
from storage.exporters.mmsa.options import MmsaOptions
from storage.exporters.mmsa.validate import validate_folder
from storage.records import FeatureSpec
from storage.vocabulary.spoken_words import WORDS
from storage.vocabulary.tokens import TOKENS, WORD
from storage.wording import counted

if TYPE_CHECKING:
    from storage.store.store import FeatureStore


class MmsaExporter(Exporter[MmsaOptions]):
    """One pickle with the arrays of all clips of train, valid and test."""

    name = "mmsa"
    Options = MmsaOptions

    @cached_property
    def _source(self) -> Source:
        source = Source(
            self.store,
            self._specs(),
            self._clock(),
            self.options.method,
            {clip.id: clip for clip in self.store.clips()},
            self.options.dtype,
        )
        if source.clock is not None:
            on_clock = [spec for key, spec in source.specs.items() if key != "text_bert"]
            refuse_broadcast(self.store, on_clock, self.options.broadcast)
        return source

    def features(self) -> list[str]:
        """The features of all arrays, and the one whose steps are the clock.

        Raises:
            RunError: If the store lacks one, or has several for the text and no option chooses.
        """
        clock = [self._source.clock] if isinstance(self._source.clock, str) else []
        return list(dict.fromkeys([*(spec.name for spec in self._source.specs.values()), *clock]))

    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write the folder.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Raises:
            RunError: If no label is chosen, a split has no clips, or a clip lacks a feature or a label and no option
                says what to do.
        """
        source, target = self._source, self._target()
        three, lines = three_splits(self.store, self.options)
        without = self._without({i for ids in three.values() for i in ids}, target)
        splits = _splits(self.store, three, {i for ids in without.values() for i in ids})
        clips = {clip.id: clip for of_split in splits.values() for clip in of_split}
        extents = {key: extent_of(source, key, list(clips), self.options.length) for key in source.specs}
        parts = [p for p, part in PARTS.items() if all(target.of(clip, part) is not None for clip in clips.values())]
        contents = Contents(source, extents, target, UnlabelledRule(self.options), parts)
        destination.mkdir()
        with (destination / f"{'unaligned' if source.clock is None else 'aligned'}.pkl").open("wb") as file:
            dump({name: contents.items(name, of_split) for name, of_split in splits.items()}, file)
        write_json(destination / "columns.json", {key: contents.described(key) for key in source.specs})
        write_json(destination / DATASET, contents.dataset(splits["train"]))
        lines += [f"{name}: {counted(len(of_split), 'clip')}" for name, of_split in splits.items()]
        return [*lines, *contents.remarks(list(clips.values())), *write_records(destination, without, provenance)]

    @staticmethod
    def validate(path: Path) -> Iterator[str]:
        """Look for the files; each array was validated before it was written, so as not to hold them all here."""
        return validate_folder(path)

    def _specs(self) -> dict[str, FeatureSpec]:
        """Feature of each array."""
        store, options = self.store, self.options
        names = {"audio": options.audio_feature, "vision": options.vision_feature}
        specs = {key: spec_of(store, name, f"; choose one with {key}_feature=NAME") for key, name in names.items()}
        if options.text_feature == "none":
            return specs
        asked = options.text_feature.split(",") if options.text_feature else None
        texts = [name for name, spec in store.specs.items() if spec.modality == "text" and spec.extractor != WORDS]
        for spec in [spec_of(store, name) for name in (texts if asked is None else asked)]:
            key = "text_bert" if set(TOKENS) <= set(spec.columns) else "text"
            if key in specs:
                what = "token ids" if key == "text_bert" else "vectors"
                raise RunError(
                    f"{store.path}: text features {', '.join(asked or texts)}: {specs[key].name} and {spec.name} are "
                    f"both {what}; choose with --opt text_feature=NAME, or none"
                )
            specs[key] = spec
        return specs

    def _clock(self) -> float | str | None:
        clock, specs = self.options.align, self.store.specs
        tokens = self._specs().get("text_bert")
        if clock == WORDS and tokens is not None:
            if WORD not in tokens.columns:
                raise RunError(
                    f"option align: the tokens of {tokens.name} have no times of words; "
                    f"extract them with `words: true` after `merflow ingest --words`, or with `words: alignment`"
                )
            return tokens.name
        if clock == "none" or clock in specs:
            if clock in specs:
                require_clock(self.store, specs[clock], "align")
            return None if clock == "none" else clock
        try:
            rate = float(clock)
        except ValueError:
            rate = math.nan
        if not (math.isfinite(rate) and rate > 0):
            expected = f"none, steps per second, or a feature ({', '.join(specs)})"
            raise RunError(f"option align: expected {expected}; got {clock!r}")
        return rate

    def _target(self) -> Target:
        target = target_of(self.options)
        if target is None:
            names = sorted({name for clip in self.store.clips() for name in clip.dimensions})
            available = f" (the clips have {abbreviate(names)})" if names else ""
            hint = f"--opt dimension=NAME{available} or --opt labels=word:number,... says which"
            raise RunError(f"no label to learn: {hint}")
        return target

    def _without(self, wanted: set[str], target: Target) -> dict[str, list[str]]:
        """Ids of the wanted clips that lack each feature, or the label; refused where no option says what to do."""
        lacking = clips_without(self.store, self.features())
        without = {name: [i for i in ids if i in wanted] for name, ids in lacking.items()}
        if self.options.missing == "zeros":
            without = {name: ids for name, ids in without.items() if name == self._source.clock}
        refuse_missing(without, self.options.missing, "leaves them out of the pickle, missing=zeros has zeros for it")
        rule = UnlabelledRule(self.options)
        unlabelled = [clip for clip in self.store.clips() if clip.id in wanted and target.of(clip) is None]
        rule.refuse(unlabelled, f"{target.dimension or target.label}")
        return without | {"label": [clip.id for clip in unlabelled if rule.is_left_out(clip)]}


def _splits(store: FeatureStore, three: Mapping[str, list[str]], left_out: set[str]) -> dict[str, list[Clip]]:
    clips = {clip.id: clip for clip in store.clips()}
    splits = {name: [clips[i] for i in ids if i not in left_out] for name, ids in three.items()}
    for name, of_split in splits.items():
        if not of_split:
            raise RunError(
                f"split {name}: expected clips, got none; MMSA opens train, valid and test: "
                f"--opt splits=train:train,val:valid,val:test uses val for two of them"
            )
    return splits
