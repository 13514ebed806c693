"""Validates an EmoBox export: EmoBox drops or misreads silently what does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from storage.exporters._shared.validation import npy_problem
from storage.exporters.emobox.layout import KEYS, SPLITS, TIME_KEYS


def validate_folder(folder: Path) -> Iterator[str]:
    """Re-read an export.

    Yields:
        One line per problem, with file, clip, field, what was expected and what was found.
    """
    for root in sorted((folder / "data").iterdir()):
        label_map = json.loads((root / "label_map.json").read_text(encoding="utf-8"))
        everything: set[str] = set()
        for clip in _lines(root / f"{root.name}.jsonl"):
            everything.add(str(clip.get("key")))
            yield from _clip(f"{root.name}.jsonl, clip {clip.get('key')}", clip, root.name, label_map)
            yield from _features(folder, str(clip.get("key")))
        yield from _same(root / root.name)
        yield from _folds(root, everything)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines)


def _clip(where: str, clip: Mapping[str, Any], dataset: str, label_map: Mapping[str, str]) -> Iterator[str]:
    if tuple(clip) not in (KEYS, KEYS + TIME_KEYS):
        yield f"{where}: expected keys {', '.join(KEYS)}, got {', '.join(clip)}"
        return
    rules = {
        "key": (clip["key"].startswith(f"{dataset}-"), f"it to begin with {dataset}-"),
        "wav": (clip["wav"].startswith(f"downloads/{dataset}/") or "://" in clip["wav"], "a path below downloads/"),
        "length": (clip["length"] > 0, "more than 0 seconds"),
        "num_frame": (abs(clip["num_frame"] - clip["length"] * clip["sample_rate"]) <= 1, "length times sample_rate"),
        "emo": (clip["emo"] in label_map, f"one of {', '.join(label_map)}"),
        "channel": (clip["channel"] >= 1, "1 or more"),
    }
    for key, (is_good, expected) in rules.items():
        if not is_good:
            yield f"{where}, {key}: expected {expected}, got {clip[key]!r}"


def _features(folder: Path, key: str) -> Iterator[str]:
    for feature in sorted((folder / "features").iterdir()):
        problem = npy_problem(feature / f"{key}.npy", f"clip {key}, {feature.name}", (None, None))
        if problem:
            yield problem


def _same(stem: Path) -> Iterator[str]:
    """Compare a list's JSON with its JSON lines."""
    whole = json.loads(stem.with_name(f"{stem.name}.json").read_text(encoding="utf-8"))
    keys = []
    for clip in _lines(stem.with_name(f"{stem.name}.jsonl")):
        keys.append(clip["key"])
        differing = [k for k, v in whole.get(clip["key"], {}).items() if clip.get(k) != v]
        for key in differing:
            expected, got = clip.get(key), whole[clip["key"]][key]
            yield f"{stem.name}.json, clip {clip['key']}, {key}: expected {expected!r} as in jsonl, got {got!r}"
    if list(whole) != keys:
        yield f"{stem.name}.json: expected the {len(keys)} clips of its jsonl in order, each once, got {len(whole)}"


def _folds(root: Path, everything: set[str]) -> Iterator[str]:
    tested: set[str] = set()
    for fold in sorted(root.glob("fold_*")):
        seen: dict[str, str] = {}
        for split in SPLITS:
            stem = fold / f"{root.name}_{split}_{fold.name}"
            if not all(stem.with_name(f"{stem.name}{suffix}").is_file() for suffix in (".json", ".jsonl")):
                yield f"{fold.name}: expected {stem.name}.json and .jsonl, got none"
                continue
            yield from _same(stem)
            for clip in _lines(stem.with_name(f"{stem.name}.jsonl")):
                if clip["key"] in seen or clip["key"] not in everything:
                    got = f"{seen.get(clip['key'], 'a clip that the whole list lacks')} and {split}"
                    yield f"{fold.name}, clip {clip['key']}: expected it once, in one split, got {got}"
                seen[clip["key"]] = split
        tested |= {key for key, split in seen.items() if split == "test"}
    if len(list(root.glob("fold_*"))) > 1 and tested != everything:
        yield f"{root.name}: expected every clip in the test of a fold, got {len(tested)} of {len(everything)}"
