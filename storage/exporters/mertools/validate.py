"""Validates the trees that MERTools reads."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from storage.exporters._shared.legacy_pickle import load_npz
from storage.exporters._shared.validation import npy_problem, prefixes, problems_in
from storage.exporters.mertools.layout import FACE_SIDE, FACES, FEATURES, TRANSCRIPTS, WORDS

_FOLDER = re.compile(r".+[-_](UTT|FRA)")
_CORPUS = re.compile(r"(train|val|test\d*|whole)_corpus")


def validate_tree(folder: Path) -> Iterator[str]:
    """Re-read an export.

    Yields:
        One line per problem: clip, field, expected, got.
    """
    labels = {path.name: _labels(path) for path in sorted(folder.glob("*.npz"))}
    names = {name for corpora in labels.values() for members in corpora.values() for name in _names(members)}
    for file, corpora in labels.items():
        for corpus, members in corpora.items():
            yield from _check_corpus(f"{file}, {corpus}", corpus, members)
    for tree in sorted((folder / FEATURES).iterdir()):
        yield from _check_features(tree, names)
    if (folder / FACES).is_dir():
        yield from _check_faces(folder / FACES)
    for path in sorted(folder.glob(TRANSCRIPTS)):
        yield from _check_transcript(path)


def prefix_problems(names: Iterable[str]) -> Iterator[str]:
    """Names that MER2023's loader confuses: it looks for `<name>*` and wants exactly one file.

    Yields:
        One line per name. Not part of `validate_tree`, for all later loaders take such names.
    """
    for name, other in prefixes(names):
        yield f"clip {name}, name: expected one that no other begins with, got {other}"


def _labels(path: Path) -> dict[str, Any]:
    return {name: array.tolist() if isinstance(array, np.ndarray) else array for name, array in load_npz(path).items()}


def _names(members: object) -> list[str]:
    return [str(name) for name in members] if isinstance(members, dict) else []


def _check_corpus(where: str, corpus: str, members: object) -> Iterator[str]:
    if not _CORPUS.fullmatch(corpus):
        yield f"{where}: expected train_corpus, val_corpus, test_corpus, test1_corpus or whole_corpus, got {corpus}"
    if not isinstance(members, dict):
        yield f"{where}: expected a dict of clips, got {type(members).__name__}"
        return
    for name, label in members.items():
        yield from problems_in([_label_problem(f"{where}, clip {name}", label)])
    if len({type(label.get("emo")) for label in members.values() if isinstance(label, dict)}) > 1:
        yield f"{where}, emo: expected all words or all numbers, got both"


def _label_problem(where: str, label: object) -> str | None:
    if not isinstance(label, dict) or list(label) != ["emo", "val"]:
        return f"{where}: expected emo and val, got {label!r}"
    emotion, valence = label["emo"], label["val"]
    if type(emotion) is str and emotion not in WORDS:
        return f"{where}, emo: expected one of {', '.join(WORDS)}, got {emotion}"
    if type(emotion) not in (str, int) or (type(emotion) is int and emotion < 0):
        return f"{where}, emo: expected a word or a whole number, plain, got {emotion!r}"
    if type(valence) is not float or not np.isfinite(valence):
        return f"{where}, val: expected a plain finite number, got {valence!r}"
    return None


def _check_features(tree: Path, names: set[str]) -> Iterator[str]:
    match = _FOLDER.fullmatch(tree.name)
    if match is None:
        yield f"{FEATURES}/{tree.name}: expected a name that ends in -UTT, _UTT, -FRA or _FRA, got {tree.name}"
        return
    stored = {path.stem for path in tree.glob("*.npy")}
    width: int | None = None
    for name in sorted(stored | names):
        path = tree / f"{name}.npy"
        where = f"clip {name}, {tree.name}"
        problem = npy_problem(path, where, (width,) if match[1] == "UTT" else (None, width), None)
        if problem is not None:
            yield problem
            continue
        shape = np.load(path, mmap_mode="r").shape
        width = shape[-1]
        if 0 in shape:
            yield f"{where}: expected at least one row and column, got {shape}"


def _check_faces(folder: Path) -> Iterator[str]:
    for entry in sorted(folder.iterdir()):
        path, where = entry / f"{entry.name}.npy", f"clip {entry.name}, {FACES}"
        problem = npy_problem(path, where, (None, FACE_SIDE, FACE_SIDE, 3), np.uint8)
        if problem is None and not len(np.load(path, mmap_mode="r")):
            problem = f"{where}: expected at least one face, got none"
        yield from problems_in([problem])


def _check_transcript(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    if header != ["name", "chinese", "english"]:
        yield f"{path.name}: expected columns name,chinese,english, got {','.join(header)}"
    seen: dict[str, list[str]] = {}
    for name, *texts in rows:
        if name in seen:
            yield f"{path.name}, clip {name}: expected one row, got two"
        seen[name] = texts
