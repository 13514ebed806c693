"""Validates an export in IndoMER's layout: names, keys, shapes, types, padding, ranges, and both spellings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from filecmp import cmp
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.errors import StoreError
from storage.exporters._shared.legacy_pickle import load
from storage.exporters._shared.validation import array_problem
from storage.exporters.indomer.layout import SUFFIXES
from storage.vocabulary.indomer_files import CLASSES, SPLIT_KEYS, parse_split_json

Rows = npt.NDArray[np.float32]


def validate_tree(folder: Path) -> Iterator[str]:
    """Re-read an export.

    Yields:
        One line per problem: file, clip, field, expected, got.
    """
    names: dict[tuple[str, str], set[str]] = {}
    for kind in SUFFIXES:
        paths = sorted((folder / f"{kind}_feature").glob("*.pkl"))
        if not paths:
            yield f"{kind}_feature: expected PKLs, got none"
        for path in paths:
            problems, in_pickle = _check_pkl(path, kind)
            yield from problems
            names[path.name.split(f"_{kind}_")[0], kind] = in_pickle
    yield from _check_spellings(folder)
    for path in sorted(folder.glob("?_Class/?_class_*.json")):
        if not path.name.endswith("_label_id.json"):
            yield from _check_split_json(path, names)


def _check_pkl(path: Path, kind: str) -> tuple[list[str], set[str]]:
    """The problems of one PKL, and the names in it."""
    try:
        columns = [c["name"] for c in json.loads((path.parent / "columns.json").read_text(encoding="utf-8"))["columns"]]
        lengths = json.loads(path.with_suffix(".lengths.json").read_text(encoding="utf-8"))
        items = load(path)
    except (OSError, ValueError, StoreError) as error:
        return [f"{path.name}: expected it with columns.json and its lengths.json, got {error}"], set()
    if not isinstance(items, list):
        return [f"{path.name}: expected a list of dicts, got {type(items).__name__}"], set()
    problems = list(_check_items(path.name, items, kind, columns, lengths))
    return problems, {str(item.get(f"{kind}_name")) for item in items if isinstance(item, dict)}


def _check_items(
    file: str, items: list[Any], kind: str, columns: Sequence[str], lengths: Mapping[str, int]
) -> Iterator[str]:
    keys = [f"{kind}_name", f"{kind}_feature"]
    steps: int | None = None
    for number, item in enumerate(items):
        if not isinstance(item, dict) or list(item) != keys:
            got = list(item) if isinstance(item, dict) else type(item).__name__
            yield f"{file}, item {number}: expected a dict of {keys}, got {got}"
            return
        name, value = str(item[keys[0]]), item[keys[1]]
        where = f"{file}, clip {name}, {keys[1]}"
        problem = array_problem(where, value, (steps, len(columns)))
        if problem is None:
            steps = len(value)
            problem = _name_problem(f"{file}, clip {name}", name, kind, lengths)
        problem = problem or _padding_problem(where, value, lengths[name]) or _range_problem(where, value, columns)
        if problem is not None:
            yield problem
    if (got := [item[keys[0]] for item in items]) != list(lengths):
        yield f"{file}: expected the {len(lengths)} clips of its lengths.json in order, got {len(got)} clips"


def _name_problem(where: str, name: str, kind: str, lengths: Mapping[str, int]) -> str | None:
    if not name.endswith(SUFFIXES[kind]):
        return f"{where}, {kind}_name: expected a name that ends in {SUFFIXES[kind]}, got {name}"
    return None if name in lengths else f"{where}: expected its number of rows in lengths.json, got none"


def _padding_problem(where: str, value: Rows, length: int) -> str | None:
    if len(value) < length:
        return f"{where}: expected at least its {length} rows, got {len(value)}"
    after = int(value[length:].any(axis=1).sum())
    return f"{where}: expected zeros after its {length} rows, got {after} rows of numbers" if after else None


def _range_problem(where: str, value: Rows, columns: Sequence[str]) -> str | None:
    for column, cells in zip(columns, value.T, strict=True):
        if not column.startswith("AU"):
            continue
        if column.endswith("_c") and (bad := cells[(cells != 0) & (cells != 1)]).size:
            return f"{where}, column {column}: expected 0 or 1, got {bad[0]:g}"
        if column.endswith("_r") and (bad := cells[(cells < 0) | (cells > 5)]).size:
            return f"{where}, column {column}: expected 0..5, got {bad[0]:g}"
    return None


def _check_spellings(folder: Path) -> Iterator[str]:
    for path in sorted((folder / "video_feature").glob("*")):
        twin = folder / "videos_feature" / path.name
        if not (twin.is_file() and (twin.samefile(path) or cmp(path, twin, shallow=False))):
            got = "other bytes" if twin.is_file() else "no file"
            yield f"videos_feature/{path.name}: expected the same as in video_feature, got {got}"


def _check_split_json(path: Path, names: Mapping[tuple[str, str], set[str]]) -> Iterator[str]:
    """Items that the README's loop would not find, and labels that the class set lacks."""
    classes, split = path.name[0], path.stem.split("_class_")[1]
    for item in parse_split_json(path.read_bytes()):
        where = f"{path.name}, clip {item.get('sample_id')}"
        if tuple(item) != SPLIT_KEYS[classes]:
            yield f"{where}: expected the keys {', '.join(SPLIT_KEYS[classes])}, got {', '.join(item)}"
        elif item["label"] not in CLASSES[classes]:
            yield f"{where}, label: expected {', '.join(CLASSES[classes])}, got {item['label']}"
        else:
            missing = [kind for kind in SUFFIXES if item[kind] not in names.get((split, kind), ())]
            yield from (f"{where}, {kind}: expected {item[kind]} in the {kind} PKL, got none" for kind in missing)
