"""The tree that Emotion-LLaMA loads: one 1024-wide vector per clip of HuBERT, MAE and VideoMAE, and MERR's annotation.

```
MERR_coarse_grained.txt                 <clip> <number of pictures> <emotion>, single spaces, one of nine emotions
HL-UTT/<clip>.npy                       HuBERT, (1024,) float32
mae_340_UTT/<clip>.npy                  MAE
maeV_399_UTT/<clip>.npy                 VideoMAE
MERR_coarse_grained.json                {clip: {AU_list, peak_index, peak_AU_list, pseu_emotion, text}}
MERR_fine_grained.json                  empty: the loader opens it, and merflow writes no descriptions
transcription_en_all.csv                name,sentence
images/<first|middle|peak>/<clip>.png   upright full-size pictures for EVA, if asked for
missing.json, provenance.json           clips that lack something; where the numbers come from
```

A feature with a row per frame is averaged over its valid rows. 340 and 399 are epochs of the original checkpoints, not
sizes. `peak_index` counts pictures from 0 and is text, as in the published file. Its keys that somebody has to write
(`caption`, `visual_prior_list`, `audio_prior_list`) are left out. The rules of the peak and of `pseu_emotion` are in
`storage.au_rules`; a clip without a face has no keys made of action units. Cheng et al., "Emotion-LLaMA", NeurIPS 2024.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from storage.exporters._base import some, write_json
from storage.exporters._common import lacking, refuse_lacking, write_records
from storage.exporters._merr_check import FINE, JSON, LABELS, TRANSCRIPT, check_tree
from storage.exporters._merr_settings import OPTIONS, Settings, settings_of
from storage.exporters._merr_tree import Tree
from storage.exporters._per_clip import require_labels
from storage.exporters._pictures import pictures_at, reader_for, write_png

if TYPE_CHECKING:
    from storage.exporters import PictureReader
    from storage.records import Clip
    from storage.store import FeatureStore

__all__ = ["OPTIONS", "check", "features_of", "write", "write_pictures"]


def features_of(store: FeatureStore, options: Mapping[str, str]) -> list[str]:
    """The three features, the one that counts pictures and the one with action units, if any.

    Raises:
        RunError: If an option is wrong, the store lacks a feature, or one of the three is not 1024 wide.
    """
    return settings_of(store, options).features


def write(store: FeatureStore, destination: Path, options: Mapping[str, str], provenance: str) -> list[str]:
    """Write the tree, one clip in memory at a time.

    Raises:
        RunError: If an option is wrong, or a clip lacks something and no option says what to do.
    """
    settings = settings_of(store, options)
    if settings.missing == "error":
        refuse_lacking(lacking(store, settings.features), options, "leaves them out")
    if settings.emotion == "label" and settings.labels == "error":
        require_labels(store, LABELS, "--opt labels=omit leaves them out, emotion=pseudo names them by action units")
    destination.mkdir()
    tree = Tree(store, destination, settings)
    for clip in store.clips():
        tree.add(clip)
    lines = "".join(f"{line}\n" for line in tree.lines)
    (destination / settings.annotation).write_text(lines, encoding="utf-8", newline="")
    write_json(destination / JSON, tree.entries)
    write_json(destination / FINE, {})
    with (destination / TRANSCRIPT).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("name", "sentence"), *tree.sentences])
    write_records(destination, {**tree.without, **tree.partial}, provenance)
    return [*_remarks(store, settings, tree)]


def _remarks(store: FeatureStore, settings: Settings, tree: Tree) -> Iterator[str]:
    yield f"{settings.annotation}: {len(tree.lines)} clips"
    for slot, name in settings.slots.items():
        recipe = store.specs[name].recipe.get("recipe")
        # The published features were most likely made with the last layer; the same width hides another recipe.
        unlike = ", unlike the published features, most likely" if recipe == "merbench" else ""
        yield f"{slot}: {name}" + (f", recipe {recipe}{unlike}" if recipe else "")
    if settings.action_units is None:
        yield f"{JSON}: no action units, so only text"
    else:
        yield f"{JSON}: action units of {settings.action_units.source}, rule {settings.rule}; no captions"
    yield from (f"{what}: {len(ids)} clips left out: {some(ids)}" for what, ids in tree.without.items())
    yield from (f"{JSON}, {key}: {len(ids)} clips have none: {some(ids)}" for key, ids in tree.partial.items())


def write_pictures(
    store: FeatureStore, destination: Path, options: Mapping[str, str], reader: PictureReader | None
) -> list[str]:
    """Write the pictures that the option `images` names: the first, number N // 2 of N (counted from 0), the peak.

    Raises:
        RunError: If nothing was given to read media with, or a clip's media cannot be read.
    """
    settings = settings_of(store, options)
    if not settings.pictures:
        return []
    given, root, written = reader_for(reader, "images"), store.manifest.root, dict.fromkeys(settings.pictures, 0)
    lines = (destination / settings.annotation).read_text(encoding="utf-8").splitlines()
    counts = {name: int(count) for name, count, _ in (line.split(" ") for line in lines)}
    entries = json.loads((destination / JSON).read_text(encoding="utf-8"))
    for clip in store.clips():
        if clip.id in counts:
            peak = entries[clip.id].get("peak_index")
            places = {"first": 0, "middle": counts[clip.id] // 2, "peak": -1 if peak is None else int(peak)}
            chosen = {which: places[which] for which in settings.pictures if places[which] >= 0}
            _write_images(destination, given, root, clip, chosen)
            for which in chosen:
                written[which] += 1
    return [f"images/{which}: {number} of {len(counts)} clips" for which, number in written.items()]


def _write_images(folder: Path, reader: PictureReader, root: Path, clip: Clip, places: Mapping[str, int]) -> None:
    for index, picture in pictures_at(reader, clip, root, set(places.values())):
        for which in (which for which, at in places.items() if at == index):
            write_png(folder / "images" / which / f"{clip.id}.png", picture)


def check(folder: Path) -> Iterator[str]:
    """What is wrong with an export, one line per problem: clip, field, expected, got."""
    return check_tree(folder)
