"""What exporters of whole corpora share: which clips go where, and what is left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from storage.errors import RunError
from storage.exporters._base import choice, some, spec_of, write_json
from storage.records import CLIP_ID, Clip, Features
from storage.timeline import latest_end

if TYPE_CHECKING:
    from storage.store import FeatureStore

Rows = npt.NDArray[np.float32]

FEATURES = "features to export, separated by commas; default all"
DEFAULT_SPLIT = "split of clips that have none, such as train"
SPLITS = "what the corpus's splits are, such as train:train,val:valid,val:test; default by their names"
MISSING = "what to do with clips that lack something: error or omit; default error"
# Fields of a clip that matter to a reader of features: not where its media is.
ABOUT = ("id", "split", "text", "language", "speaker", "group", "label", "label_raw", "source_id", "duration")
THREE = ("train", "valid", "test")
_USUAL = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "dev": "valid", "test": "test"}


def asked_features(store: FeatureStore, options: Mapping[str, str]) -> list[str]:
    """Features that the option `features` names; all of the store's by default.

    Raises:
        RunError: If the store lacks one.
    """
    asked = [name.strip() for name in options.get("features", "").split(",") if name.strip()] or list(store.specs)
    return [spec_of(store, name).name for name in dict.fromkeys(asked)]


def pairs(options: Mapping[str, str], name: str) -> list[tuple[str, str]]:
    """An option such as `a:b,c:d` in parts; empty if it is not given.

    Raises:
        RunError: If a part is not a pair.
    """
    found = []
    for item in (part.strip() for part in options.get(name, "").split(",")):
        word, colon, value = item.rpartition(":")
        if item and not (colon and word and value):
            raise RunError(f"option {name}: expected pairs such as a:b,c:d, got {item!r}")
        if item:
            found.append((word.strip(), value.strip()))
    return found


def whole_number(options: Mapping[str, str], name: str, default: int, least: int = 1, most: int = 10**15) -> int:
    """Value of an option that is a whole number.

    Raises:
        RunError: If it is none, too small or too large.
    """
    text = options.get(name, str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise RunError(f"option {name}: expected a whole number from {least} to {most}, got {text!r}")
    return int(text)


def lacking(store: FeatureStore, features: Sequence[str]) -> dict[str, list[str]]:
    """Ids of the clips that have no values, by feature, in manifest order."""
    without: dict[str, list[str]] = {name: [] for name in features}
    for clip in store.clips():
        for name in features:
            if not store.has(clip.id, name):
                without[name].append(clip.id)
    return without


def refuse_lacking(without: Mapping[str, Sequence[str]], options: Mapping[str, str], effect: str) -> None:
    """Refuse clips that lack something, unless the option `missing` says to leave them out.

    Args:
        without: Ids by what they lack.
        options: The export's options.
        effect: What leaving them out means, such as `leaves them out of the pickle`.

    Raises:
        RunError: Names what is lacking, the clips and the option.
    """
    if choice(options, "missing", ("error", "omit")) == "omit":
        return
    for what, ids in without.items():
        if ids:
            raise RunError(
                f"{len(ids)} clips have no {what}: {some(ids)}; --opt missing=omit {effect} "
                f"and lists them in missing.json"
            )


def write_records(folder: Path, without: Mapping[str, Sequence[str]], provenance: str) -> list[str]:
    """Write `missing.json` and `provenance.json`; give one line about each thing that clips lack."""
    write_json(folder / "missing.json", without)
    (folder / "provenance.json").write_text(f"{provenance}\n", encoding="utf-8")
    return [f"{what}: {len(ids)} clips have none, left out: {some(ids)}" for what, ids in without.items() if ids]


def filled(features: Features) -> Rows:
    """(T, D) float32 values, 0 in rows that are not valid; in place where they may be written to, to hold them once."""
    values = features.values if features.values.flags.writeable else features.values.copy()
    values[~features.valid] = 0
    return values


def seconds_of(store: FeatureStore, clip: Clip, features: Sequence[str]) -> float:
    """Length of a clip: as probed, or the latest end of its features where it could not be probed."""
    return clip.duration or latest_end(store.get(clip.id, name) for name in features if store.has(clip.id, name))


def by_split(store: FeatureStore, options: Mapping[str, str]) -> dict[str, list[str]]:
    """Ids of the clips of each split, in manifest order.

    Raises:
        RunError: If a clip has no split and the option `default_split` is not given, or its name is not fit for files.
    """
    splits: dict[str, list[str]] = defaultdict(list)
    for clip in store.clips():
        split = clip.split or options.get("default_split")
        if not split:
            raise RunError(f"clip {clip.id} has no split; --opt default_split=train puts such clips into train")
        if not CLIP_ID.fullmatch(split) or not split.strip("."):
            raise RunError(f"clip {clip.id}: split {split!r} cannot be the name of a folder or file")
        splits[split].append(clip.id)
    return dict(splits)


def three_splits(store: FeatureStore, options: Mapping[str, str]) -> tuple[dict[str, list[str]], list[str]]:
    """Ids of `train`, `valid` and `test`, made of the corpus's own splits.

    Returns:
        The ids, an empty list where the corpus has no such split; and one line about each thing that is not plain.

    Raises:
        RunError: If a split is none of the usual ones and the option `splits` does not say what it is.
    """
    own, given = by_split(store, options), pairs(options, "splits")
    for source, target in given:
        if source not in own or target not in (*THREE, "none"):
            expected = f"one of {', '.join(own)} to one of {', '.join(THREE)}, none"
            raise RunError(f"option splits: expected {expected}; got {source}:{target}")
    chosen = given or [(name, _USUAL.get(name, "")) for name in own]
    unclear = [name for name in own if not dict(chosen).get(name)]
    if unclear:
        raise RunError(
            f"split {unclear[0]!r}: train, valid or test? --opt splits={unclear[0]}:test,... says so for every split; "
            f"{unclear[0]}:none leaves it out"
        )
    three = {t: list(dict.fromkeys(i for s, to in chosen if to == t for i in own[s])) for t in THREE}
    remarks = [f"split {s}: {len(own[s])} clips left out, as told" for s, to in chosen if to == "none"]
    shared = [f"split {s}: used more than once" for s in own if sum(s == c for c, _ in chosen) > 1]
    return three, remarks + shared


def about(clip: Clip) -> dict[str, Any]:
    """What is known of a clip, as plain JSON types; fields that it lacks are left out."""
    fields = {name: getattr(clip, name) for name in ABOUT}
    kept = {name: value for name, value in fields.items() if value is not None}
    return kept | {"labels": dict(clip.labels), "dimensions": dict(clip.dimensions)}
