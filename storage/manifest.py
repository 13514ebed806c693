"""A manifest: the ordered clips of a corpus on disk, as Parquet or JSONL.

Parquet has one column per field of `Clip`; `labels`, `dimensions` and `files` are JSON text. JSONL has one clip per
line and leaves out fields that have their default. What else is known (format, corpus, media root) is in the Parquet
schema's metadata under `merflow`, or in the first line of the JSONL. Clips stream: a million rows never sit in memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from storage.atomic import publish
from storage.clip import Clip
from storage.errors import StoreError

FORMAT = 1
_KEY = "merflow"
_BATCH = 4096
_FIELDS = tuple(f.name for f in fields(Clip))
_NUMBERS = ("start", "end", "duration")
_JSON = ("labels", "dimensions", "files")
_DEFAULTS = {name: getattr(Clip("any"), name) for name in _FIELDS if name != "id"}


@dataclass(frozen=True)
class Manifest:
    """Ordered clips on disk. Iterating streams them; nothing is kept.

    Attributes:
        path: The file.
        root: Folder that the clips' media paths are relative to.
        corpus: Name of the corpus.
    """

    path: Path
    root: Path
    corpus: str

    @classmethod
    def open(cls, path: str | Path, root: str | Path | None = None) -> Manifest:
        """Open a manifest.

        Args:
            path: File made by `write_manifest`.
            root: Media folder to use instead of the recorded one, where the media have moved.

        Raises:
            StoreError: If the file is missing, is not a manifest, is damaged, or has a format this version does not
                know.
        """
        file = Path(path)
        is_parquet = _is_parquet(file)
        if not file.is_file():
            raise StoreError(f"{file}: no such manifest; make one with `merflow ingest`")
        with _readable(file):
            header = _parquet_header(file) if is_parquet else _jsonl_header(file)
        if header.get("format") != FORMAT:
            raise StoreError(f"{file}: expected manifest format {FORMAT}, got {header.get('format')}")
        return cls(file, Path(root) if root is not None else file.parent / str(header["root"]), str(header["corpus"]))

    def __len__(self) -> int:
        return self._length

    @cached_property
    def _length(self) -> int:
        with _readable(self.path):
            if not _is_parquet(self.path):
                with self.path.open("rb") as lines:
                    return sum(1 for _ in lines) - 1
            import pyarrow.parquet as pq

            return int(pq.read_metadata(self.path).num_rows)

    def __iter__(self) -> Iterator[Clip]:
        """Stream the clips in order.

        Raises:
            StoreError: If the file turns out to be damaged.
        """
        rows = _parquet_rows(self.path) if _is_parquet(self.path) else _jsonl_rows(self.path)
        with _readable(self.path):
            for row in rows:
                yield _clip_from(row)


def write_manifest(path: str | Path, clips: Iterable[Clip], root: Path, corpus: str) -> int:
    """Write a manifest whole or not at all, replacing an older one.

    Args:
        path: File to write; its suffix, `.parquet` or `.jsonl`, picks the format.
        clips: The clips, in order; may be a generator.
        root: Folder that their media paths are relative to. It is recorded relative to the manifest's folder if it
            lies inside, so that the two can move together, and as an absolute path if not.
        corpus: Name of the corpus.

    Returns:
        The number of clips.

    Raises:
        StoreError: If the suffix is another one, an id occurs twice, or a text cannot be stored as UTF-8.
    """
    file = Path(path)
    write = _write_parquet if _is_parquet(file) else _write_jsonl
    header = {"format": FORMAT, "corpus": corpus, "root": _recorded(root, file.parent)}
    try:
        with publish(file) as temporary:
            return write(temporary, _distinct(clips, file), header)
    except UnicodeEncodeError as error:
        shown = str(error.object)[:80].encode("utf-8", "backslashreplace").decode()
        raise StoreError(f"{file}: {shown!r} cannot be stored as UTF-8; rename the file or repair the text") from error


def _recorded(root: Path, folder: Path) -> str:
    # Not `resolve`: a media folder reached over a link must stay the one that the user named.
    media, here = Path(os.path.abspath(root)), Path(os.path.abspath(folder))  # noqa: PTH100
    return media.relative_to(here).as_posix() if media.is_relative_to(here) else str(media)


def _distinct(clips: Iterable[Clip], file: Path) -> Iterator[Clip]:
    seen: set[str] = set()
    for clip in clips:
        if clip.id in seen:
            raise StoreError(f"{file}: clip id {clip.id!r} occurs twice; ids must be unique over the corpus")
        seen.add(clip.id)
        yield clip


def _is_parquet(file: Path) -> bool:
    if file.suffix not in {".parquet", ".jsonl"}:
        raise StoreError(f"{file}: expected a manifest named *.parquet or *.jsonl")
    return file.suffix == ".parquet"


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes its reader say into one line. pyarrow's errors are OSError and ValueError."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StoreError(f"{file}: damaged, or not a manifest of merflow: {reason}") from error


def _row_of(clip: Clip) -> dict[str, Any]:
    return {name: getattr(clip, name) for name in _FIELDS}


def _clip_from(row: dict[str, Any]) -> Clip:
    kept = {name: value for name, value in row.items() if name in _FIELDS}
    if kept.get("crop") is not None:
        kept["crop"] = tuple(kept["crop"])
    return Clip(**kept)


def _parquet_header(file: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    header: dict[str, Any] = json.loads((pq.read_schema(file).metadata or {})[_KEY.encode()])
    return header


def _parquet_rows(file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as source:
        for batch in source.iter_batches(_BATCH):
            for row in batch.to_pylist():
                texts = {name: row.pop(name, None) for name in _JSON}  # manifests of merflow 0.1 have no `files`
                yield row | {name: json.loads(text) for name, text in texts.items() if text is not None}


def _write_parquet(temporary: Path, clips: Iterator[Clip], header: dict[str, Any]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        **dict.fromkeys(_NUMBERS, pa.float64()),
        **dict.fromkeys(("audio_track", "video_track", "audio_channel"), pa.int32()),
        "crop": pa.list_(pa.float64()),
    }
    columns = [pa.field(name, types.get(name, pa.string()), nullable=name != "id") for name in _FIELDS]
    schema = pa.schema(columns, metadata={_KEY: json.dumps(header)})
    count = 0
    with pq.ParquetWriter(temporary, schema) as writer:
        while rows := [_row_of(clip) for clip in islice(clips, _BATCH)]:
            for row in rows:
                row.update({name: _dump(dict(row[name])) for name in _JSON})
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))
            count += len(rows)
    return count


def _jsonl_header(file: Path) -> dict[str, Any]:
    with file.open("rb") as lines:
        header: dict[str, Any] = json.loads(lines.readline())[_KEY]
    return header


def _jsonl_rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open("rb") as lines:
        yield from (json.loads(line) for line in islice(lines, 1, None))


def _write_jsonl(temporary: Path, clips: Iterator[Clip], header: dict[str, Any]) -> int:
    count = 0
    with temporary.open("w", encoding="utf-8", newline="\n") as out:
        out.write(_dump({_KEY: header}) + "\n")
        for clip in clips:
            row = {k: v for k, v in _row_of(clip).items() if k == "id" or v != _DEFAULTS[k]}
            out.write(_dump({k: dict(v) if k in _JSON else v for k, v in row.items()}) + "\n")
            count += 1
    return count


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
