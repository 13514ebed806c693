"""A manifest: the ordered clips of a corpus on disk, as Parquet or JSONL, and the folders where their media lie.

What is known beside the clips (format, corpus, media folders) is in the Parquet schema's metadata under `merflow`, or
in the first line of the JSONL. Clips stream: a million rows never sit in memory. The files themselves: see
`manifest_files.py`.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.paths import as_path, is_address, is_remote
from storage.atomic import publish
from storage.clip import Clip
from storage.errors import StoreError
from storage.manifest_files import (
    ManifestColumns,
    MediaRecord,
    RepeatedIdError,
    clip_from,
    columns_of,
    jsonl_header,
    jsonl_rows,
    parquet_columns,
    parquet_header,
    parquet_ids,
    parquet_media,
    parquet_rows,
    write_jsonl,
    write_parquet,
)
from storage.remote import local_copy

FORMAT = 4
_READABLE = (1, 2, 3, FORMAT)


@dataclass(frozen=True)
class Manifest:
    """Ordered clips on disk. Iterating streams them; nothing is kept.

    Attributes:
        path: The file.
        roots: Folder that paths of clips are relative to, by the name that clips have in `root`; the first one is that
            of clips without.
        corpus: Name of the corpus.
        adopted: In a store's manifest: digests of the manifests that went into it, see `manifest_edits.adopt`.
    """

    path: Path
    roots: Mapping[str, Path]
    corpus: str
    adopted: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def open(cls, path: str | Path, roots: Mapping[str, Path] | None = None) -> Manifest:
        """Open a manifest.

        Args:
            path: File made by `write_manifest`.
            roots: Media folders to use instead of the recorded ones, by name; an empty name is that of the only one.

        Raises:
            StoreError: If the file is missing, is not a manifest, is damaged, has a format this version does not
                know, or no media folder of a given name.
        """
        file = as_path(path)
        is_parquet = _is_parquet(file)
        if not file.is_file():
            raise StoreError(f"{file}: no such manifest; make one with `merflow ingest`")
        with _readable(file):
            header = parquet_header(file) if is_parquet else jsonl_header(file)
            version = header.get("format")
        if version not in _READABLE:
            raise StoreError(f"{file}: expected manifest format {', '.join(map(str, _READABLE))}, got {version}")
        with _readable(file):
            corpus = str(header["corpus"])
            recorded = header["roots"] if version > 1 else {corpus: header["root"]}
            found = {name: _found(file.parent, root) for name, root in recorded.items()}
            adopted = tuple(header.get("adopted", ()))
        return cls(file, _replaced(file, found, roots or {}), corpus, adopted)

    def root_of(self, clip: Clip) -> Path:
        """Folder that a clip's paths are relative to.

        Args:
            clip: A clip of this manifest.

        Raises:
            StoreError: If the manifest has no media folder of the clip's name for it.
        """
        if clip.root is None:
            return next(iter(self.roots.values()))
        if clip.root not in self.roots:
            raise StoreError(f"{self.path}: clip {clip.id} lies in the media folder {clip.root!r}, which it lacks")
        return self.roots[clip.root]

    def __len__(self) -> int:
        return self._length

    @cached_property
    def _length(self) -> int:
        with _readable(self.path):
            if not _is_parquet(self.path):
                with local_copy(self.path).open("rb") as lines:
                    return sum(1 for _ in lines) - 1
            import pyarrow.parquet as pq

            return int(pq.read_metadata(local_copy(self.path)).num_rows)

    def __iter__(self) -> Iterator[Clip]:
        """Stream the clips in order.

        Raises:
            StoreError: If the file turns out to be damaged.
        """
        rows = parquet_rows(self.path) if _is_parquet(self.path) else jsonl_rows(self.path)
        with _readable(self.path):
            for row in rows:
                yield clip_from(row)

    def columns(self) -> ManifestColumns:
        """Ids, input digests and seconds of all clips, as arrays.

        Raises:
            StoreError: If the file turns out to be damaged.
        """
        if _is_parquet(self.path):
            with _readable(self.path):
                found = parquet_columns(self.path)
            if found is not None:
                return found
        return columns_of(self)

    def ids(self) -> list[str]:
        """Ids of all clips, in order, without reading more of a Parquet file.

        Raises:
            StoreError: If the file turns out to be damaged.
        """
        if not _is_parquet(self.path):
            return [clip.id for clip in self]
        with _readable(self.path):
            ids: list[str] = parquet_ids(self.path).to_pylist()
        return ids

    def media_records(self) -> Iterator[MediaRecord]:
        """What the manifest keeps of the media files of each clip that has any.

        Raises:
            StoreError: If the file turns out to be damaged.
        """
        if _is_parquet(self.path):
            with _readable(self.path):
                yield from parquet_media(self.path)
            return
        yield from ((clip.video, clip.audio, clip.files) for clip in self if clip.files)

    def take(self, rows: npt.NDArray[np.int64]) -> Iterator[Clip]:
        """Stream some of the clips.

        Args:
            rows: Their numbers, ascending.

        Raises:
            StoreError: If the file turns out to be damaged.
        """
        if not _is_parquet(self.path):
            wanted = set(rows.tolist())
            yield from (clip for number, clip in enumerate(self) if number in wanted)
            return
        with _readable(self.path):
            for row in parquet_rows(self.path, rows):
                yield clip_from(row)


def write_manifest(
    path: str | Path,
    clips: Iterable[Clip],
    root: Path | Mapping[str, Path],
    corpus: str,
    adopted: Iterable[str] = (),
) -> int:
    """Write a manifest whole or not at all, replacing an older one.

    Args:
        path: File to write; its suffix, `.parquet` or `.jsonl`, picks the format.
        clips: The clips, in order; may be a generator.
        root: Folder that their media paths are relative to, or several by the names that clips have in `root`. One
            is recorded relative to the manifest's folder if it lies inside, so that the two can move together, and as
            an absolute path if not.
        corpus: Name of the corpus; also that of a single media folder.
        adopted: Digests of the manifests that went into a store's manifest.

    Returns:
        The number of clips.

    Raises:
        StoreError: If the suffix is another one, an id occurs twice, or a text cannot be stored as UTF-8.
    """
    file = as_path(path)
    write = write_parquet if _is_parquet(file) else write_jsonl
    header = header_of(file, {corpus: root} if not isinstance(root, Mapping) else root, corpus, adopted)
    try:
        with publish(file) as temporary, _without_collector():
            return write(temporary, iter(clips), header)
    except RepeatedIdError as error:
        raise StoreError(f"{file}: clip id '{error}' occurs twice; ids must be unique over the corpus") from error
    except UnicodeEncodeError as error:
        shown = str(error.object)[:80].encode("utf-8", "backslashreplace").decode()
        raise StoreError(f"{file}: {shown!r} cannot be stored as UTF-8; rename the file or repair the text") from error


def header_of(file: Path, roots: Mapping[str, Path], corpus: str, adopted: Iterable[str] = ()) -> dict[str, Any]:
    """What a manifest says of itself beside its clips; arguments as for `write_manifest`.

    Args:
        file: The manifest.
        roots: Media folders by name.
        corpus: Name of the corpus.
        adopted: Digests of the manifests that went into a store's manifest.
    """
    recorded = {name: _recorded(folder, file.parent) for name, folder in roots.items()}
    hashes = list(adopted)
    return {"format": FORMAT, "corpus": corpus, "roots": recorded} | ({"adopted": hashes} if hashes else {})


def free_name(name: str, taken: Container[str]) -> str:
    """A name for one more media folder: the name itself, or with a number where it is taken.

    Args:
        name: The corpus's.
        taken: Names of other media folders.
    """
    numbered = (f"{name}-{number}" for number in count(2))
    return next(free for free in chain([name], numbered) if free not in taken)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Clips hold no cycles, and looking for some among a million of them takes a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _replaced(file: Path, found: Mapping[str, Path], given: Mapping[str, Path]) -> dict[str, Path]:
    """The recorded media folders, or what was given for them."""
    names = ", ".join(found)
    if "" in given and len(found) > 1:
        raise StoreError(f"{file}: has several media folders ({names}); give --root NAME=PATH")
    unknown = [name for name in given if name and name not in found]
    if unknown:
        raise StoreError(f"{file}: no media folder {unknown[0]!r}; media folders: {names}")
    return {name: as_path(given.get(name, given.get("", root))) for name, root in found.items()}


def _found(folder: Path, recorded: str) -> Path:
    return as_path(recorded) if is_address(recorded) or recorded.startswith("/") else folder / recorded


def _recorded(root: Path, folder: Path) -> str:
    if is_remote(root) or is_remote(folder):
        inside = is_remote(root) and is_remote(folder) and root.is_relative_to(folder)
        return root.relative_to(folder).as_posix() if inside else str(root.absolute())
    # Not `resolve`: a media folder reached over a link must stay the one that the user named.
    media, here = Path(os.path.abspath(root)), Path(os.path.abspath(folder))  # noqa: PTH100
    return media.relative_to(here).as_posix() if media.is_relative_to(here) else str(media)


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
