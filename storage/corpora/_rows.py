"""Rows of a table file as text: CSV (comma or tab), JSONL, or a JSON list of objects."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.errors import RunError

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".json")
_ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")  # the last one reads anything


@dataclass(frozen=True)
class Table:
    """A table file.

    Attributes:
        columns: Names of the columns, in order.
        rows: Line number (for a JSON list: item number, from 1) and cells of each row, as text; a cell that is absent
            or null is empty.
        encoding: How the file's bytes were read: `utf-8-sig` (UTF-8 with or without a mark), `cp1252` or `latin-1`.
    """

    columns: list[str]
    rows: list[tuple[int, dict[str, str]]]
    encoding: str


def read_table(path: Path) -> Table:
    """Read a table file whole. Every cell stays text: leading zeros carry meaning.

    Raises:
        RunError: If the file is missing, has an unknown suffix, has no rows, or cannot be parsed; names the row.
    """
    if not path.is_file():
        raise RunError(f"{path}: expected a table file, found {'a folder' if path.is_dir() else 'nothing'}")
    parse = {".jsonl": _jsonl, ".json": _json}.get(path.suffix.lower(), _csv)
    if path.suffix.lower() not in SUFFIXES:
        raise RunError(f"{path}: expected a table: {' '.join(SUFFIXES)}")
    text, encoding = _decode(path.read_bytes())
    try:
        rows = list(parse(text))
    except ValueError as error:
        raise RunError(f"{path}: {' '.join(str(error).split())}") from error
    if not rows:
        raise RunError(f"{path}: no rows")
    columns = list(dict.fromkeys(name for _, cells in rows for name in cells))
    return Table(columns, rows, encoding)


def _decode(data: bytes) -> tuple[str, str]:
    for encoding in _ENCODINGS[:-1]:
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return data.decode(_ENCODINGS[-1]), _ENCODINGS[-1]


def _csv(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    header = text.split("\n", 1)[0]
    delimiter = "\t" if header.count("\t") > header.count(",") else ","
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [name.strip() for name in next(lines, [])]
        twice = [name for name in columns if columns.count(name) > 1]
        if twice:
            raise ValueError(f"column {twice[0]!r} occurs twice")
        for cells in filter(None, lines):
            if len(cells) != len(columns):
                raise ValueError(f"expected {len(columns)} cells as in the header, got {len(cells)}")
            yield lines.line_num, dict(zip(columns, cells, strict=True))
    except (csv.Error, ValueError) as error:
        raise ValueError(f"row {lines.line_num}: {error}") from error


def _jsonl(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, _cells(json.loads(line))
            except ValueError as error:
                raise ValueError(f"row {number}: {error}") from error


def _json(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    items = json.loads(text)
    if not isinstance(items, list):
        raise ValueError(f"expected a list of objects, got {type(items).__name__}")  # noqa: TRY004
    for number, item in enumerate(items, 1):
        try:
            yield number, _cells(item)
        except ValueError as error:
            raise ValueError(f"row {number}: {error}") from error


def _cells(item: object) -> dict[str, str]:
    if not isinstance(item, dict):
        raise ValueError(f"expected an object, got {type(item).__name__}")  # noqa: TRY004
    return {str(name): _text(value) for name, value in item.items()}


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
