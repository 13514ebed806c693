"""Parquet: one table per feature, one row per step, and one table of the clips; for pandas, Arrow, DuckDB, datasets.

```
<feature>.parquet    clip_id, row (from 0), start, end (seconds from the clip's start), valid, and
                     wide: one float column per column of the feature; list: `values`, one list of D floats
README.md            a data set card, so that `datasets.load_dataset(folder, "gemaps")` reads one table
clips.parquet        one row per clip: clip_id, split, text, labels, `labels.<name>`, `dimensions.<name>`, ...
missing.json, provenance.json   clips that a feature's table lacks; where the numbers come from
```

Values are null in rows that are not valid. Clips are in manifest order, each within one row group, about 16 MiB of
values to a group. What the numbers are (columns, units, recipe, provenance) is JSON text under `merflow` in the
schema's metadata. One row group is in memory at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from storage.clip import Clip
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.files import write_records
from storage.exporters._shared.selection import ABOUT, abbreviate, clips_without, refuse_missing, selected_features
from storage.exporters.parquet.layout import CARD, CLIPS_FILE, INDEX, LIST
from storage.exporters.parquet.options import ParquetOptions
from storage.exporters.parquet.validate import validate_folder
from storage.records import Features, FeatureSpec
from storage.wording import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from storage.store.store import FeatureStore

_WIDEST = 1000
_GROUP_BYTES = 1 << 24
_CLIPS = 4096


class ParquetExporter(Exporter[ParquetOptions]):
    """A table per feature, and one of the clips."""

    name = "parquet"
    Options = ParquetOptions

    def features(self) -> list[str]:
        """Features to export.

        Raises:
            RunError: If the store lacks one, or one is called like the table of clips.
        """
        names = selected_features(self.store, self.options)
        if "clips" in names:
            raise RunError("feature 'clips': this name means something else in this format; choose others")
        return names

    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write the folder.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Raises:
            RunError: If a clip lacks a feature and no option says what to do, or a feature's column names cannot be a
                table's.
        """
        names = self.features()
        schemas = {name: _schema(self.store.specs[name], self.options.layout, provenance) for name in names}
        without = clips_without(self.store, names)
        refuse_missing(without, self.options.missing, "leaves them out of that table")
        destination.mkdir()
        lines = [
            _write_feature(self.store, destination, name, schema, self.options.compression)
            for name, schema in schemas.items()
        ]
        lines.append(_write_clips(self.store, destination / CLIPS_FILE, provenance))
        (destination / CARD).write_text(_card([*names, Path(CLIPS_FILE).stem]), encoding="utf-8", newline="")
        return [*lines, *write_records(destination, without, provenance)]

    @staticmethod
    def validate(path: Path) -> Iterator[str]:
        """Re-read all tables of features; see `validate_folder`."""
        return validate_folder(path)


def _schema(spec: FeatureSpec, layout: str, provenance: str) -> pa.Schema:
    import pyarrow as pa

    # Columns with names of their own are what people select by; those of networks are only numbered.
    is_named = len({name.rstrip("0123456789") for name in spec.columns}) > 1
    wide = layout == "wide" or (layout == "auto" and (is_named or len(spec.columns) <= _WIDEST))
    taken = [name for name in spec.columns if name in INDEX or spec.columns.count(name) > 1]
    if wide and taken:
        raise RunError(
            f"feature {spec.name}: columns {abbreviate(taken)} are there twice in a wide table; --opt layout=list"
        )
    values = [(name, pa.float32()) for name in spec.columns]
    fields = [*INDEX.items(), *(values if wide else [(LIST, pa.list_(pa.float32(), len(spec.columns)))])]
    metadata = {"spec": spec.to_dict(), "digest": spec.digest, "provenance": json.loads(provenance)}
    return pa.schema(fields, metadata={"merflow": json.dumps(metadata, ensure_ascii=False)})


def _card(tables: Sequence[str]) -> str:
    """A data set card whose configurations are the tables: each has its own columns."""
    configs = "".join(
        f"- config_name: {name}\n  data_files: {name}.parquet\n" + ("  default: true\n" if name == tables[0] else "")
        for name in tables
    )
    return f"---\nconfigs:\n{configs}---\n\nFeatures made with merflow; `provenance.json` says how.\n"


def _write_feature(store: FeatureStore, folder: Path, name: str, schema: pa.Schema, compression: str) -> str:
    import pyarrow.parquet as pq

    clips = rows = size = 0
    group: dict[str, Features] = {}
    path = folder / f"{name}.parquet"
    with pq.ParquetWriter(path, schema, use_dictionary=["clip_id"], compression=compression) as writer:
        for clip_id in store.clip_ids(name):
            group[clip_id] = store.get(clip_id, name)
            clips, rows, size = clips + 1, rows + len(group[clip_id].valid), size + group[clip_id].values.nbytes
            if size >= _GROUP_BYTES:
                writer.write_table(_table(group, schema), row_group_size=1 << 30)
                group, size = {}, 0
        if group:
            writer.write_table(_table(group, schema), row_group_size=1 << 30)
    return f"{name}.parquet: {counted(clips, 'clip')}, {rows} rows x {len(store.specs[name].columns)} columns"


def _table(group: Mapping[str, Features], schema: pa.Schema) -> pa.Table:
    """The rows of several clips."""
    import pyarrow as pa

    lengths = [len(features.valid) for features in group.values()]
    times, valid, values = (_joined([getattr(f, n) for f in group.values()]) for n in ("times", "valid", "values"))
    index = [
        pa.array(np.repeat(list(group), lengths), pa.string()),
        pa.array(np.concatenate([np.arange(n, dtype=np.int32) for n in lengths])),
        *(pa.array(column) for column in times.T),
        pa.array(valid),
    ]
    if pa.types.is_fixed_size_list(schema.types[-1]):
        lists = pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1], mask=pa.array(~valid))
        return pa.Table.from_arrays([*index, lists], schema=schema)
    return pa.Table.from_arrays([*index, *(pa.array(column, mask=~valid) for column in values.T)], schema=schema)


def _joined(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Arrays one after another; a single one as it is, not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _write_clips(store: FeatureStore, path: Path, provenance: str) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = sorted({f"labels.{name}" for clip in store.clips() for name in clip.labels})
    dimensions = sorted({f"dimensions.{name}" for clip in store.clips() for name in clip.dimensions})
    numbers = {"duration", *dimensions}
    names = ["clip_id", *(name for name in ABOUT if name != "id"), *labels, *dimensions]
    fields = [(name, pa.float64() if name in numbers else pa.string()) for name in names]
    metadata = {"corpus": store.manifest.corpus, "provenance": json.loads(provenance)}
    schema = pa.schema(fields, metadata={"merflow": json.dumps(metadata, ensure_ascii=False)})
    rows, count = (_row(clip) for clip in store.clips()), 0
    with pq.ParquetWriter(path, schema) as writer:
        while batch := list(islice(rows, _CLIPS)):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))
            count += len(batch)
    return f"{CLIPS_FILE}: {counted(count, 'clip')}"


def _row(clip: Clip) -> dict[str, Any]:
    labels = {f"labels.{name}": value for name, value in clip.labels.items()}
    dimensions = {f"dimensions.{name}": value for name, value in clip.dimensions.items()}
    return {"clip_id": clip.id, **{name: getattr(clip, name) for name in ABOUT if name != "id"}, **labels, **dimensions}
