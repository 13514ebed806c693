"""Validates MMSA's pickle: every rule is something that its loader fails on or silently misreads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.exporters._shared.legacy_pickle import load
from storage.exporters._shared.selection import THREE
from storage.exporters._shared.validation import array_problem
from storage.exporters.mmsa.layout import ALWAYS, ARRAYS, LENGTHS, SEPARATOR


def split_problems(split: str, items: Mapping[str, Any]) -> Iterator[str]:
    """What MMSA's loader would fail on or take for something else.

    Args:
        split: Name of the split.
        items: Its part of the pickle, or some entries of it; `id` among them.

    Yields:
        One line per problem.
    """
    ids = items.get("id", [])
    yield from _names(split, ids)
    for key, value in items.items():
        where = f"split {split}, {key}"
        if key in ARRAYS or key == "text_bert":
            lengths = items.get(f"{key}_lengths")
            is_good = lengths is not None and not list(_lengths(where, lengths, ids))
            yield from _array(where, value, ids, key == "text_bert", lengths if is_good else None)
        elif key.startswith("regression_labels"):
            yield from _labels(where, value, ids)
        elif key.endswith("_lengths"):
            yield from _lengths(where, value, ids)
        elif len(value) != len(ids):
            yield f"{where}: expected {len(ids)} entries, got {len(value)}"
        elif key == "raw_text":
            texts = zip(ids, value, strict=True)
            yield from (f"{where}, clip {i}: expected a text, got {t!r}" for i, t in texts if not isinstance(t, str))


def validate_folder(folder: Path) -> Iterator[str]:
    """Look for the files of an export, without reading the pickle.

    Args:
        folder: The export.

    Yields:
        One line per file that is missing.
    """
    pickles = [path.name for path in sorted(folder.glob("*.pkl"))]
    if pickles not in (["aligned.pkl"], ["unaligned.pkl"]):
        yield f"pickle: expected aligned.pkl or unaligned.pkl, got {', '.join(pickles) or 'none'}"
    if not (folder / "columns.json").is_file():
        yield "columns.json: expected a file, got none"


def validate_pickle(path: Path) -> Iterator[str]:
    """Re-read a whole pickle. The exporter checks each array before it writes it, not to hold them all in memory.

    Args:
        path: `aligned.pkl`, or another name where lengths are needed.

    Yields:
        One line per problem, with split, clip, field, what was expected and what was found.
    """
    data = load(path)
    if not isinstance(data, dict) or list(data) != list(THREE):
        got = list(data) if isinstance(data, dict) else type(data).__name__
        yield f"{path.name}: expected splits {', '.join(THREE)}, got {got}"
        return
    needed = ALWAYS if path.name == "aligned.pkl" else (*ALWAYS, *LENGTHS)
    for split, items in data.items():
        yield from (f"split {split}, {key}: expected, got none" for key in needed if key not in items)
        yield from split_problems(split, items)


def _names(split: str, ids: Sequence[Any]) -> Iterator[str]:
    seen: set[str] = set()
    for name in ids:
        if not isinstance(name, str) or SEPARATOR not in name or name in seen:
            yield f"split {split}, clip {name}, id: expected video{SEPARATOR}clip, each once, got {name!r}"
        seen.add(name)


def _array(where: str, value: Any, ids: Sequence[str], is_tokens: bool, lengths: Any) -> Iterator[str]:
    shape = (3, None) if is_tokens else (None, None)
    dtype: npt.DTypeLike = np.int64 if is_tokens else np.float32
    # Type and sides of all first, for nothing can be said about clips without.
    whole = value[:0] if isinstance(value, np.ndarray) else value
    if not is_tokens and getattr(value, "dtype", None) == np.float16:
        dtype = np.float16
    problem = array_problem(where, whole, (0, *shape), dtype)
    if problem or len(value) != len(ids):
        yield problem or f"{where}: expected {len(ids)} clips, got {len(value)}"
        return
    for i, (name, clip) in enumerate(zip(ids, value, strict=True)):
        if problem := array_problem(f"{where}, clip {name}", clip, shape, dtype):
            yield problem
        elif is_tokens and not np.isin(clip[1], (0, 1)).all():
            yield f"{where}, clip {name}: expected a mask of 0 and 1 in row 1, got {clip[1].max()}"
        elif lengths and clip[lengths[i] :].any():
            yield f"{where}, clip {name}: expected zeros after its {lengths[i]} rows, got others"
        elif lengths and lengths[i] > len(clip):
            yield f"{where}, clip {name}: expected no more than {len(clip)} rows, got a length of {lengths[i]}"


def _labels(where: str, value: Any, ids: Sequence[str]) -> Iterator[str]:
    if not isinstance(value, np.ndarray) or value.shape != (len(ids),):
        yield f"{where}: expected an array of {len(ids)} numbers, got {type(value).__name__} of {np.shape(value)}"
        return
    for name, number in zip(ids, value, strict=True):
        if not np.isfinite(number):
            yield f"{where}, clip {name}: expected a finite number, got {number}"


def _lengths(where: str, value: Sequence[Any], ids: Sequence[str]) -> Iterator[str]:
    if len(value) != len(ids):
        yield f"{where}: expected {len(ids)} entries, got {len(value)}"
        return
    for name, length in zip(ids, value, strict=True):
        if type(length) is not int or length < 1:
            yield f"{where}, clip {name}: expected a whole number of 1 or more, got {length!r}"
