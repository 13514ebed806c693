"""Validates a Lance export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.exporters.lance.layout import RESERVED, TABLE, TIMES, VALID

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_BYTES = 1 << 20


def validate_folder(folder: Path) -> Iterator[str]:
    """Re-read the table, some clips at a time.

    Yields:
        One line per problem, with clip, column, what was expected and what was found.
    """
    import lance

    if not (folder / TABLE).is_dir():
        yield f"{TABLE}: expected a table, got none"
        return
    table = lance.dataset(str(folder / TABLE))
    names = table.schema.names
    if tuple(names[: len(RESERVED)]) != RESERVED:
        yield f"{TABLE}: expected the columns {', '.join(RESERVED)} first, got {', '.join(names[: len(RESERVED)])}"
        return
    specs = json.loads((table.schema.metadata or {}).get(b"merflow", b"{}")).get("specs", {})
    seen: set[str] = set()
    count = table.count_rows()
    size = sum(file.stat().st_size for file in (folder / TABLE).rglob("*") if file.is_file())
    rows = max(1, _BATCH_BYTES * count // max(size, 1))
    for first in range(0, count, rows):  # a scan reads hundreds of megabytes ahead, whatever it is told
        batch = table.take(list(range(first, min(first + rows, count))))
        ids = batch.column("id").to_pylist()
        yield from (f"{TABLE}, clip {i}: expected once, got twice" for i in ids if i in seen)
        seen |= set(ids)
        for name, spec in specs.items():
            yield from _problems(batch, ids, name, len(spec["columns"]))


def _problems(batch: pa.Table, ids: list[str], name: str, width: int) -> Iterator[str]:
    column, framed = batch.column(name), name + TIMES in batch.schema.names
    for row, clip_id in enumerate(ids):
        if not column[row].is_valid:
            continue
        where = f"{TABLE}, clip {clip_id}, {name}"
        values = _numbers(column[row], width if framed else 0)
        if not np.isfinite(values).all():
            yield f"{where}: expected finite numbers, got {int((~np.isfinite(values)).sum())} that are not"
        if framed:
            times, valid = _numbers(batch.column(name + TIMES)[row], 2), batch.column(name + VALID)[row].values
            if not len(values) == len(times) == len(valid):
                yield f"{where}: expected as many times and truth values as its {len(values)} rows"


def _numbers(cell: Any, width: int) -> Any:
    inner = cell.values
    return inner.flatten().to_numpy().reshape(-1, width) if width else inner.to_numpy()
