"""The two forms of a manifest on disk, Parquet and JSONL: rows in, rows out, and the columns that planning needs.

Parquet has one column per field of `Clip`, and one per input digest (`storage.identity`), so that a plan is a join of
columns. What is a mapping or a list in `Clip` is JSON text, but for the crop. JSONL has one clip per line and leaves
out fields that have their default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from storage.clip import Clip, Word
from storage.face_points import PointedFace
from storage.identity import INPUTS, digest_columns, input_digests
from storage.remote import local_copy

if TYPE_CHECKING:
    import pyarrow as pa

KEY = "merflow"
_EMPTY = (None, "{}", "[]")
BATCH = 4096
FIELDS = tuple(f.name for f in fields(Clip))
_NUMBERS = ("start", "end", "duration", "frame_rate")
_JSON = (
    *("labels", "votes", "dimensions", "scales", "series", "folds", "about", "files"),
    *("label_set", "lacks", "words", "main_face"),
)
_MADE: dict[str, Callable[[Any], Any]] = {  # what becomes of a list in a file
    **dict.fromkeys(("crop", "label_set", "lacks"), tuple),
    "words": lambda words: tuple(Word(*word) for word in words),
    "main_face": lambda face: PointedFace(tuple(face[0]), face[1]),
}
_DEFAULTS = {name: getattr(Clip("any"), name) for name in FIELDS if name != "id"}
DIGESTS = {name: f"digest_{name}" for name in INPUTS}
_VALUES = attrgetter(*FIELDS)
MediaRecord = tuple[str | None, str | None, Mapping[str, str]]


class RepeatedIdError(Exception):
    """Two clips of a manifest have one id, which is the error's text."""


@dataclass(frozen=True)
class ManifestColumns:
    """What planning needs of all clips, in manifest order.

    Attributes:
        ids: Arrow array of the ids.
        digests: (n,) uint64 by input, see `storage.identity.INPUTS`.
        seconds: (n,) float64 probed seconds; NaN where the media could not be probed.
    """

    ids: pa.ChunkedArray
    digests: dict[str, npt.NDArray[np.uint64]]
    seconds: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.seconds)


def clip_from(row: dict[str, Any]) -> Clip:
    """The clip of a row; unknown columns, of later versions, are left out."""
    kept = {name: value for name, value in row.items() if name in FIELDS}
    kept |= {name: made(kept[name]) for name, made in _MADE.items() if kept.get(name) is not None}
    return Clip(**kept)


def parquet_schema(header: dict[str, Any]) -> pa.Schema:
    """Columns of a Parquet manifest.

    Args:
        header: What else is known of it.
    """
    import pyarrow as pa

    types = {
        **dict.fromkeys(_NUMBERS, pa.float64()),
        **dict.fromkeys(("audio_track", "video_track", "audio_channel"), pa.int32()),
        "crop": pa.list_(pa.float64()),
        "audio_is_cut": pa.bool_(),
    }
    columns = [pa.field(name, types.get(name, pa.string()), nullable=name != "id") for name in FIELDS]
    columns += [pa.field(column, pa.uint64(), nullable=False) for column in DIGESTS.values()]
    return pa.schema(columns, metadata={KEY: json.dumps(header)})


def parquet_header(file: Path) -> dict[str, Any]:
    """What a Parquet manifest says of itself."""
    import pyarrow.parquet as pq

    header: dict[str, Any] = json.loads((pq.read_schema(local_copy(file)).metadata or {})[KEY.encode()])
    return header


def parquet_rows(file: Path, wanted: npt.NDArray[np.int64] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet manifest, in order.

    Args:
        file: The manifest.
        wanted: Numbers of the rows to give, ascending; all if None.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(local_copy(file)) as source:
        columns = [name for name in source.schema_arrow.names if name in FIELDS]
        first = 0
        for batch in source.iter_batches(BATCH, columns=columns):
            last = first + len(batch)
            if wanted is not None:
                begin, end = np.searchsorted(wanted, (first, last))
                batch = batch.take((wanted[begin:end] - first).tolist()) if end > begin else batch.slice(0, 0)  # noqa: PLW2901
            first = last
            for row in batch.to_pylist():
                texts = {name: row.pop(name, None) for name in _JSON}  # older manifests lack some
                yield row | {name: json.loads(text) for name, text in texts.items() if text not in _EMPTY}


def write_parquet(temporary: Path, clips: Iterator[Clip], header: dict[str, Any]) -> int:
    """Write clips as they come; give their number.

    Args:
        temporary: File to write.
        clips: The clips.
        header: What else is known of the manifest.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, count = parquet_schema(header), 0
    with pq.ParquetWriter(temporary, schema) as writer:
        while batch := list(islice(clips, BATCH)):
            fields = zip(*map(_VALUES, batch), strict=True)
            columns = [
                pa.array(_column(name, values), schema.field(name).type)
                for name, values in zip(FIELDS, fields, strict=True)
            ]
            columns += [_numbers(digests) for digests in digest_columns(batch).values()]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            count += len(batch)
    ids = parquet_ids(temporary)
    if len(ids.unique()) < len(ids):
        raise RepeatedIdError(next(row["values"] for row in ids.value_counts().to_pylist() if row["counts"] > 1))
    return count


def _column(name: str, values: Sequence[Any]) -> Sequence[Any]:
    if name not in _JSON:
        return values
    empty = "[]" if name in _MADE else "{}"
    if not any(values):  # most are, and a million of them are not looked at one by one
        return [empty] * len(values)
    return [dump(_plain(name, value)) if value else empty for value in values]


def _plain(name: str, value: Any) -> Any:
    """A field of a clip as JSON takes it: any mapping as a dict."""
    return dict(value) if name in _JSON and name not in _MADE else value


def _numbers(values: Sequence[int]) -> pa.Array:
    import pyarrow as pa

    # `pa.array` of a NumPy array would bring pandas.
    return pa.Array.from_buffers(pa.uint64(), len(values), [None, pa.py_buffer(np.array(values, np.uint64))])


def jsonl_header(file: Path) -> dict[str, Any]:
    """What a JSONL manifest says of itself."""
    with local_copy(file).open("rb") as lines:
        header: dict[str, Any] = json.loads(lines.readline())[KEY]
    return header


def jsonl_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSONL manifest, in order."""
    with local_copy(file).open("rb") as lines:
        yield from (json.loads(line) for line in islice(lines, 1, None))


def write_jsonl(temporary: Path, clips: Iterator[Clip], header: dict[str, Any]) -> int:
    """Write clips as they come; give their number; arguments as for `write_parquet`.

    Args:
        temporary: File to write.
        clips: The clips.
        header: What else is known of the manifest.
    """
    count = 0
    seen: set[str] = set()
    with temporary.open("w", encoding="utf-8", newline="\n") as out:
        out.write(dump({KEY: header}) + "\n")
        for clip in clips:
            if clip.id in seen:
                raise RepeatedIdError(clip.id)
            seen.add(clip.id)
            row = {name: getattr(clip, name) for name in FIELDS}
            row = {k: v for k, v in row.items() if k == "id" or v != _DEFAULTS[k]}
            out.write(dump({k: _plain(k, v) for k, v in row.items()}) + "\n")
            count += 1
    return count


def parquet_ids(file: Path) -> pa.ChunkedArray:
    """Ids of a Parquet manifest, in order."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(local_copy(file)) as source:
        return source.read(columns=["id"]).column("id")


def parquet_languages(file: Path, rows: npt.NDArray[np.int64]) -> dict[str, int]:
    """How many clips of a Parquet manifest are in each language, of those that say one.

    Args:
        file: The manifest.
        rows: Numbers of the clips that count.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(local_copy(file)) as source:
        named = source.read(columns=["language"]).column("language").take(rows.tolist())
    return {row["values"]: row["counts"] for row in named.drop_null().value_counts().to_pylist()}


def parquet_media(file: Path) -> Iterator[MediaRecord]:
    """Paths and records of the media of each clip of a Parquet manifest that has any."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(local_copy(file)) as source:
        if "files" not in source.schema_arrow.names:
            return
        for batch in source.iter_batches(BATCH, columns=["video", "audio", "files"]):
            for video, audio, files in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if files not in {None, "{}"}:
                    yield video, audio, json.loads(files)


def parquet_columns(file: Path) -> ManifestColumns | None:
    """What planning needs of a Parquet manifest; None if an older merflow wrote it without digests."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(local_copy(file)) as source:  # `read_table` would bring pandas
        if not set(DIGESTS.values()) <= set(source.schema_arrow.names):
            return None
        table = source.read(columns=["id", "duration", *DIGESTS.values()])
    digests: dict[str, npt.NDArray[np.uint64]] = {
        name: _as_numpy(table.column(column), np.uint64) for name, column in DIGESTS.items()
    }
    return ManifestColumns(
        table.column("id"), digests, _as_numpy(table.column("duration").fill_null(float("nan")), np.float64)
    )


def _as_numpy(column: pa.ChunkedArray, kind: type[np.generic]) -> npt.NDArray[Any]:
    """A column of numbers without nulls; `to_numpy` would bring pandas."""
    chunks = [np.frombuffer(c.buffers()[1], kind, len(c), c.offset * 8) for c in column.chunks if len(c)]
    return np.concatenate([np.zeros(0, kind), *chunks])


def columns_of(clips: Iterable[Clip]) -> ManifestColumns:
    """The same of clips one by one.

    Args:
        clips: The clips, in order.
    """
    import pyarrow as pa

    ids: list[str] = []
    seconds: list[float] = []
    digests: dict[str, list[int]] = {name: [] for name in INPUTS}
    for clip in clips:
        ids.append(clip.id)
        seconds.append(np.nan if clip.duration is None else clip.duration)
        for name, digest in input_digests(clip).items():
            digests[name].append(digest)
    arrays = {name: np.array(values, np.uint64) for name, values in digests.items()}
    return ManifestColumns(pa.chunked_array([pa.array(ids, pa.string())]), arrays, np.array(seconds, np.float64))


def dump(value: object) -> str:
    """JSON text that keeps letters of every language readable."""
    return json.dumps(value, ensure_ascii=False)
