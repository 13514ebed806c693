"""Rows of a table file as text: CSV (comma, semicolon or tab), JSONL, or a JSON list of objects."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from configs.errors import RunError
from storage.corpora._shared.text_encoding import encoding_of, require_encoding
from storage.corpora._shared.tree import refuse_pointer

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".json")
_DELIMITERS = (",", "\t", ";")


@dataclass(frozen=True)
class TableFile:
    """A table file; its rows are parsed afresh by each loop.

    Attributes:
        path: The file.
        columns: Names of the columns, in order.
        encoding: How the file's bytes are read: as told, or `utf-8-sig` (UTF-8 with or without a mark), `utf-16` (with
            its mark), `gb18030` (Chinese), `cp1252` or `latin-1`.
    """

    path: Path
    columns: list[str]
    encoding: str

    @classmethod
    def open(cls, path: Path, encoding: str | None = None) -> TableFile:
        """Read a table file once, for its columns and encoding.

        Args:
            path: The file.
            encoding: How its bytes are to be read; found out where not given.

        Raises:
            RunError: If the file is missing, has an unknown suffix, has no rows, or cannot be parsed; names the row.
        """
        if not path.is_file():
            raise RunError(f"{path}: expected a table file, found {'a folder' if path.is_dir() else 'nothing'}")
        if path.suffix.lower() not in SUFFIXES:
            raise RunError(f"{path}: expected a table: {' '.join(SUFFIXES)}")
        refuse_pointer(path)
        if encoding is not None:
            require_encoding(encoding)
        file = cls(path, [], encoding or encoding_of(path))
        columns: dict[str, None] = {}
        is_csv = path.suffix.lower() not in {".jsonl", ".json"}
        for _, cells in islice(file.rows(), 1 if is_csv else None):  # every row of a CSV has the columns of its header
            columns.update(dict.fromkeys(cells))
        if not columns:
            raise RunError(f"{path}: no rows")
        return cls(path, list(columns), file.encoding)

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line number (for a JSON list: item number, from 1) and cells of each row.

        Every cell stays text: leading zeros carry meaning. A cell that is absent or null is empty.

        Raises:
            RunError: If a row cannot be parsed; names it.
        """
        parse = {".jsonl": _jsonl, ".json": _json}.get(self.path.suffix.lower(), _csv)
        try:
            with self.path.open(encoding=self.encoding, newline="") as file:
                yield from parse(file)
        except ValueError as error:
            raise RunError(f"{self.path}: {' '.join(str(error).split())}") from error


def _csv(file: TextIO) -> Iterator[tuple[int, dict[str, str]]]:
    header = file.readline()
    file.seek(0)
    delimiter = max(_DELIMITERS, key=header.count)  # of equal ones the first
    lines = csv.reader(file, delimiter=delimiter, strict=True)
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


def _jsonl(file: TextIO) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield number, _cells(json.loads(line))
            except ValueError as error:
                raise ValueError(f"row {number}: {error}") from error


def _json(file: TextIO) -> Iterator[tuple[int, dict[str, str]]]:
    items = json.load(file)
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
