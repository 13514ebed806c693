"""Lance: one table with a row per clip and features as columns; for `lance` and `datasets`.

```
clips.lance/                 a row per clip, in manifest order:
  id, split, text, ...       what is known of the clip; `labels` and `dimensions` are JSON
  <feature>                  of one row per clip: D floats; else T lists of D floats; null where the clip has none
  <feature>_times            T pairs of seconds from the clip's start, of features with rows
  <feature>_valid            T truth values; where False, the floats are 0
missing.json, provenance.json   clips that lack a feature; where the numbers come from
```

`pip install merflow[lance]`. Columns, units and recipes are JSON text under `merflow` in the schema's metadata. Some
16 MiB of values are in memory at a time. Any clip is read without the others, and any column without the others:
`lance.dataset("out/clips.lance").take([7], columns=["gemaps"])`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.errors import RunError
from storage.clip import Clip
from storage.exporters._shared.arrays import filled
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.files import write_records
from storage.exporters._shared.selection import ABOUT, clips_without, refuse_missing, selected_features
from storage.exporters.lance.layout import RESERVED, TABLE, TIMES, VALID
from storage.exporters.lance.options import LanceOptions
from storage.exporters.lance.validate import validate_folder
from storage.wording import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from storage.records import FeatureSpec
    from storage.store.store import FeatureStore

_BATCH_BYTES = 1 << 22


class LanceExporter(Exporter[LanceOptions]):
    """One Lance table of all clips."""

    name = "lance"
    Options = LanceOptions

    def features(self) -> list[str]:
        """Features to export.

        Raises:
            RunError: If the store lacks one, its column would be another's, or the package `pylance` is not there.
        """
        try:
            import lance  # noqa: F401  only whether it is there
        except ImportError as error:
            raise RunError("format lance: needs the package pylance: pip install merflow[lance]") from error
        names = selected_features(self.store, self.options)
        columns = [*RESERVED, *(column for name in names for column in (name, name + TIMES, name + VALID))]
        twice = next((name for name in names if columns.count(name) > 1), None)
        if twice is not None:
            raise RunError(f"feature {twice!r}: this name means something else in this format; choose others")
        return names

    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write the table, some clips at a time.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Raises:
            RunError: If a clip lacks a feature and no option says what to do.
        """
        import lance
        import pyarrow as pa

        names = self.features()
        without = clips_without(self.store, names)
        refuse_missing(without, self.options.missing, "has no value in their place")
        destination.mkdir()
        schema = _schema([self.store.specs[name] for name in names], provenance)
        reader = pa.RecordBatchReader.from_batches(schema, _batches(self.store, names, schema))
        table = lance.write_dataset(reader, str(destination / TABLE))
        lines = [f"{TABLE}: {counted(table.count_rows(), 'clip')}, {counted(len(names), 'feature')}"]
        write_records(destination, without, provenance)
        return [*lines, *(f"{name}: {counted(len(ids), 'clip')} without" for name, ids in without.items() if ids)]

    @staticmethod
    def validate(path: Path) -> Iterator[str]:
        """Re-read the table; see `validate_folder`."""
        return validate_folder(path)


def _schema(specs: Sequence[FeatureSpec], provenance: str) -> pa.Schema:
    import pyarrow as pa

    fields = [(name, pa.float64() if name == "duration" else pa.string()) for name in RESERVED]
    for spec in specs:
        row = pa.list_(pa.float32(), len(spec.columns))
        if spec.level == "utterance":
            fields.append((spec.name, row))
        else:
            fields.append((spec.name, pa.list_(row)))
            fields.append((spec.name + TIMES, pa.list_(pa.list_(pa.float64(), 2))))
            fields.append((spec.name + VALID, pa.list_(pa.bool_())))
    metadata = {"specs": {spec.name: spec.to_dict() for spec in specs}, "provenance": json.loads(provenance)}
    return pa.schema(fields, metadata={"merflow": json.dumps(metadata, ensure_ascii=False)})


def _batches(store: FeatureStore, names: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    columns: dict[str, list[Any]] = {field.name: [] for field in schema}
    size = 0
    for clip, available in store.iterate(names):
        for name, value in _about(clip).items():
            columns[name].append(value)
        for name in names:
            features, frames = available.get(name), name + TIMES in columns
            values = None if features is None else filled(features)
            columns[name].append(values if values is None or frames else values[0])
            if frames:
                columns[name + TIMES].append(None if features is None else features.times)
                columns[name + VALID].append(None if features is None else features.valid)
            size += 0 if values is None else values.nbytes
        if size >= _BATCH_BYTES:
            yield _batch(columns, schema)
            columns, size = {name: [] for name in columns}, 0
    if columns["id"]:
        yield _batch(columns, schema)


def _batch(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([_array(columns[field.name], field.type) for field in schema], schema=schema)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A column of plain values, or of NumPy arrays with None among them; no array becomes a list of Python numbers."""
    import pyarrow as pa

    if not pa.types.is_list(kind) and not pa.types.is_fixed_size_list(kind):
        return pa.array(values, kind)
    mask = pa.array([value is None for value in values])
    present = [value for value in values if value is not None]
    if pa.types.is_fixed_size_list(kind):
        rows = [np.zeros(kind.list_size, np.float32) if value is None else value for value in values]
        return pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(rows)), type=kind, mask=mask)
    lengths = [0 if value is None else len(value) for value in values]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    inner = _rows(present, kind.value_type)
    return pa.ListArray.from_arrays(offsets, inner, type=kind, mask=mask)


def _rows(arrays: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if not arrays:
        return pa.array([], kind)
    flat = np.concatenate([array.ravel() for array in arrays])
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind)
    return pa.array(flat)


def _about(clip: Clip) -> dict[str, Any]:
    known = {name: getattr(clip, name) for name in ABOUT}
    texts = {name: json.dumps(dict(getattr(clip, name)), ensure_ascii=False) for name in ("labels", "dimensions")}
    return known | texts
