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
columns.json                       feature, rows and columns of each array, in order
missing.json, provenance.json      clips that were left out; where the numbers come from
```

`id` is `<group>$_$<clip id>`; a clip without a group is its own. Splits named `val`, `validation` and `dev` become
`valid`. Rows that are not valid are zeros. The pickle loads with NumPy 1.24 and newer. MMSA opens it as
`custom_feature` under the name of one of its own corpora: `sims` wants the labels of each modality, `mosi` does not.
One array of one split is in memory at a time, twice while it is written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from storage.errors import RunError
from storage.exporters._base import choice, some, spec_of, write_json
from storage.exporters._common import (
    DEFAULT_SPLIT,
    MISSING,
    SPLITS,
    lacking,
    refuse_lacking,
    three_splits,
    write_records,
)
from storage.exporters._mmsa import PARTS, TOKENS, Contents, Source, extent_of
from storage.exporters._target import TARGET_OPTIONS, Target, target_of
from storage.legacy_pickle import dump
from storage.records import Clip, FeatureSpec
from storage.timeline import METHODS, Method

if TYPE_CHECKING:
    from storage.store import FeatureStore

OPTIONS = {
    "audio_feature": "feature of `audio`; default gemaps",
    "vision_feature": "feature of `vision`; default action_units",
    "text_feature": "feature of `text`, or `text_bert` if it is token ids; or none; default the only text feature",
    "align": "none, or one clock for all: steps per second, or the feature whose steps it is; default none",
    "method": f"how rows are put on the one clock: {', '.join(METHODS)}; default {METHODS[0]}",
    "length": "max (the longest clip) or mean+3std (as MMSA-FET; longer clips lose their end); default max",
    "splits": SPLITS,
    "default_split": DEFAULT_SPLIT,
    "missing": MISSING,
    **TARGET_OPTIONS,
}
_DEFAULTS = {"audio": "gemaps", "vision": "action_units"}


def features_of(store: FeatureStore, options: Mapping[str, str]) -> list[str]:
    """The features of all arrays, and the one whose steps are the clock.

    Raises:
        RunError: If the store lacks one, or has several for the text and no option chooses.
    """
    source = _source(store, options)
    clock = [source.clock] if isinstance(source.clock, str) else []
    return list(dict.fromkeys([*(spec.name for spec in source.specs.values()), *clock]))


def write(store: FeatureStore, destination: Path, options: Mapping[str, str], provenance: str) -> list[str]:
    """Write the folder.

    Raises:
        RunError: If an option is wrong, a split has no clips, or a clip lacks a feature or a label and no option says
            what to do.
    """
    source, target = _source(store, options), _target(store, options)
    rule = choice(options, "length", ("max", "mean+3std"))
    three, lines = three_splits(store, options)
    without = _without(store, features_of(store, options), {i for ids in three.values() for i in ids}, target)
    refuse_lacking(without, options, "leaves them out of the pickle")
    splits = _splits(store, three, {i for ids in without.values() for i in ids})
    clips = {clip.id: clip for of_split in splits.values() for clip in of_split}
    extents = {key: extent_of(source, key, list(clips), rule) for key in source.specs}
    parts = [p for p, part in PARTS.items() if all(target.of(clip, part) is not None for clip in clips.values())]
    export = Contents(source, extents, target, parts)
    destination.mkdir()
    with (destination / f"{'unaligned' if source.clock is None else 'aligned'}.pkl").open("wb") as file:
        dump({name: export.items(name, of_split) for name, of_split in splits.items()}, file)
    write_json(destination / "columns.json", {key: export.described(key) for key in source.specs})
    lines += [f"{name}: {len(of_split)} clips" for name, of_split in splits.items()]
    return [*lines, *export.remarks(list(clips.values())), *write_records(destination, without, provenance)]


def _source(store: FeatureStore, options: Mapping[str, str]) -> Source:
    method = cast("Method", choice(options, "method", METHODS))
    return Source(store, _specs(store, options), _clock(store, options), method)


def _specs(store: FeatureStore, options: Mapping[str, str]) -> dict[str, FeatureSpec]:
    """Feature of each array."""
    names = {key: options.get(f"{key}_feature", default) for key, default in _DEFAULTS.items()}
    specs = {key: spec_of(store, name, f"; choose one with {key}_feature=NAME") for key, name in names.items()}
    texts = [name for name, spec in store.specs.items() if spec.modality == "text"]
    if len(texts) > 1 and "text_feature" not in options:
        raise RunError(f"{store.path}: text features {', '.join(texts)}: choose with --opt text_feature=NAME or none")
    chosen = options.get("text_feature", texts[0] if texts else "none")
    if chosen == "none":
        return specs
    spec = spec_of(store, chosen)
    return specs | {"text_bert" if set(TOKENS) <= set(spec.columns) else "text": spec}


def _clock(store: FeatureStore, options: Mapping[str, str]) -> float | str | None:
    clock = options.get("align", "none")
    if clock == "none" or clock in store.specs:
        return None if clock == "none" else clock
    try:
        rate = float(clock)
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        known = ", ".join(store.specs)
        raise RunError(f"option align: expected none, steps per second, or a feature ({known}); got {clock!r}")
    return rate


def _target(store: FeatureStore, options: Mapping[str, str]) -> Target:
    target = target_of(options)
    if target is None:
        names = sorted({name for clip in store.clips() for name in clip.dimensions})
        known = f" (the clips have {some(names)})" if names else ""
        raise RunError(f"no label to learn: --opt dimension=NAME{known} or --opt labels=word:number,... says which")
    return target


def _without(store: FeatureStore, features: list[str], wanted: set[str], target: Target) -> dict[str, list[str]]:
    """Ids of the wanted clips that lack each feature, or the label."""
    without = {name: [i for i in ids if i in wanted] for name, ids in lacking(store, features).items()}
    return without | {"label": [c.id for c in store.clips() if c.id in wanted and target.of(c) is None]}


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
