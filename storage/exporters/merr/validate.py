"""Validates the tree that Emotion-LLaMA loads."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.exporters._shared.validation import NOT_TEXT, npy_problem, problems_in
from storage.exporters.merr.layout import EDITIONS, ENTRY_KEYS, FINE, JSON, LABELS, NCEV, SENTENCES, TRANSCRIPT, WIDTH

_AU = re.compile(r"AU\d\d")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]\d+)?")


def validate_tree(folder: Path) -> Iterator[str]:
    """Re-read an export.

    Yields:
        One line per problem: clip, field, expected, got.
    """
    annotations = annotations_of(folder)
    if not annotations:
        yield "annotation: expected a .txt, got none"
        return
    edition = next((name for name, slots in EDITIONS.items() if any((folder / s).is_dir() for s in slots)), "merr")
    counts: dict[str, int] = {}
    for where, line in _lines(annotations):
        problem = _line_problem(where, line)
        if problem is not None:
            yield problem
            continue
        name, count, _ = line.split(" ")
        if name in counts:
            yield f"{where}, clip {name}: expected each clip once, got it twice"
        counts[name] = int(count)
        paths = {slot: folder / slot / f"{name}.npy" for slot in EDITIONS[edition]}
        yield from problems_in(npy_problem(path, f"clip {name}, {slot}", (WIDTH,)) for slot, path in paths.items())
    yield from _check_lists_with_valence(folder, counts)
    yield from _check_json(folder, counts)
    yield from _check_transcript(folder / TRANSCRIPT, counts, SENTENCES[edition])


def annotations_of(folder: Path) -> list[Path]:
    """The annotations of a tree, without the lists that have a valence too."""
    return [path for path in sorted(folder.glob("*.txt")) if not path.name.endswith(NCEV)]


def _check_lists_with_valence(folder: Path, counts: Mapping[str, int]) -> Iterator[str]:
    """Each line is one of an annotation and a number."""
    for where, line in _lines(sorted(folder.glob(f"*{NCEV}"))):
        plain, _, valence = line.rpartition(" ")
        problem = _line_problem(where, plain)
        if problem is not None:
            yield problem
        elif not _NUMBER.fullmatch(valence):
            yield f"{where}, valence: expected a number, got {valence}"
        elif counts.get(plain.split(" ")[0]) != int(plain.split(" ")[1]):
            yield f"{where}: expected a clip of the annotation with its number of frames, got {plain!r}"


def _lines(annotations: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Every line with its place."""
    for path in annotations:
        for number, line in enumerate(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"), 1):
            yield f"{path.name}, line {number}", line


def _line_problem(where: str, line: str) -> str | None:
    fields = line.split(" ")
    if len(fields) != 3 or not all(fields):
        return f"{where}: expected a name, a number of frames and an emotion between single spaces, got {line!r}"
    name, count, emotion = fields
    if not (count.isascii() and count.isdigit() and int(count) > 0):
        return f"{where}, clip {name}, number of frames: expected a whole number of 1 or more, got {count}"
    if emotion not in LABELS:
        return f"{where}, clip {name}, emotion: expected one of {', '.join(LABELS)}, got {emotion}"
    return None


def _check_json(folder: Path, counts: Mapping[str, int]) -> Iterator[str]:
    for name in (JSON, FINE):
        if not (folder / name).is_file():
            yield f"{name}: expected a file, the loader opens it, got none"
            return
    entries = json.loads((folder / JSON).read_text(encoding="utf-8"))
    for name, count in counts.items():
        where = f"{JSON}, clip {name}"
        if name not in entries:
            yield f"{where}: expected an entry, got none"
        else:
            yield from problems_in(_field_problem(where, key, value, count) for key, value in entries[name].items())


def _field_problem(where: str, key: str, value: Any, count: int) -> str | None:
    if key not in ENTRY_KEYS:
        return f"{where}: expected keys of {', '.join(ENTRY_KEYS)}, got {key}"
    if key.endswith("AU_list"):
        good = isinstance(value, list) and all(isinstance(au, str) and _AU.fullmatch(au) for au in value)
        expected = "a list of action units such as AU05"
    elif key == "peak_index":
        good = isinstance(value, str) and value.isascii() and value.isdigit() and int(value) < count
        expected = f"text of a whole number below the {count} frames"
    elif key == "pseu_emotion":
        good, expected = value in LABELS, f"one of {', '.join(LABELS)}"
    else:
        good, expected = isinstance(value, str), "text"
    return None if good else f"{where}, {key}: expected {expected}, got {value!r}"


def _check_transcript(path: Path, counts: Mapping[str, int], columns: Sequence[str]) -> Iterator[str]:
    if not path.is_file():
        yield f"{path.name}: expected a file, got none"
        return
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    if header != list(columns):
        yield f"{path.name}: expected the columns {','.join(columns)}, got {','.join(header)}"
        return
    sentences = {row[0]: row[-1] for row in rows}
    if counts and all(name.isdigit() for name in sentences):
        yield f"{path.name}, name: expected some that are not a number, which pandas would read as one, got none"
    for name in counts:
        if name not in sentences:
            yield f"{path.name}, clip {name}: expected a sentence, got no row"
        elif sentences[name] in NOT_TEXT:
            yield f"{path.name}, clip {name}, sentence: expected text, got {sentences[name]!r}, which is none to pandas"
