"""Validates the tables of features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from storage.exporters.parquet.layout import CLIPS_FILE, INDEX, LIST

if TYPE_CHECKING:
    import pyarrow as pa


def validate_folder(folder: Path) -> Iterator[str]:
    """Re-read all tables of features, one row group at a time.

    Yields:
        One line per problem, with table, clip, field, what was expected and what was found.
    """
    for path in sorted(folder.glob("*.parquet")):
        if path.name != CLIPS_FILE:
            yield from _table(path)


def _table(path: Path) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        index = {field.name: str(field.type) for field in list(file.schema_arrow)[: len(INDEX)]}
        if index != INDEX:
            yield f"{path.name}: expected columns {INDEX} first, got {index}"
            return
        for field in list(file.schema_arrow)[len(INDEX) :]:
            of_lists = field.name == LIST and pa.types.is_fixed_size_list(field.type)
            if not pa.types.is_float32(field.type.value_type if of_lists else field.type):
                yield f"{path.name}, column {field.name}: expected float32, got {field.type}"
                return
        seen: set[str] = set()
        for number in range(file.num_row_groups):
            yield from _group(path.name, file.read_row_group(number), seen)


def _group(name: str, table: pa.Table, seen: set[str]) -> Iterator[str]:
    import pyarrow as pa

    ids, row, start, end, valid = (table[column].to_numpy() for column in INDEX)
    first = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]])) if len(ids) else np.empty(0, np.intp)
    for clip_id in ids[first]:
        if clip_id in seen:
            yield f"{name}, clip {clip_id}: expected its rows together in one row group, got more of them later"
        seen.add(clip_id)
    counted = np.arange(len(ids)) - np.repeat(first, np.diff([*first, len(ids)]))
    yield from _where(name, "row", ids, row != counted, "a count from 0", row)
    yield from _where(name, "start", ids, ~(start >= 0), "0 or more seconds", start)
    yield from _where(name, "end", ids, ~(end > start), "an end after the start", end)
    for column in table.column_names[len(INDEX) :]:
        values = table[column].combine_chunks()
        is_null = np.asarray(values.is_null())
        cells = np.where(is_null, "null", "a number")
        yield from _where(name, column, ids, is_null == valid, "null exactly where not valid", cells)
        numbers = values.drop_null()
        if len(numbers):
            flat = numbers.flatten() if isinstance(numbers, pa.FixedSizeListArray) else numbers
            rows = np.asarray(flat).reshape(len(numbers), -1)
            yield from _where(name, column, ids[~is_null], ~np.isfinite(rows).all(axis=1), "finite numbers", rows)


def _where(
    name: str, column: str, ids: npt.NDArray[np.object_], bad: npt.NDArray[np.bool_], expected: str, got: npt.ArrayLike
) -> Iterator[str]:
    """A line about the first bad row of a column, if there is one."""
    if bad.any():
        place = int(np.argmax(bad))
        yield f"{name}, clip {ids[place]}, {column}: expected {expected}, got {np.asarray(got)[place]} in row {place}"
