"""Reading one shard file: its index, and the rows of its clips. The layout is documented in `docs/store_format.md`.

h5py reads the index. Rows lie contiguous and uncompressed at locations the index gives, so they are read from there
directly: h5py would cost more per clip than the reading itself.
"""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from storage.errors import StoreError
from storage.identity import parse_fingerprint
from storage.records import Failure, Features, FeatureSpec
from storage.store.files import open_binary
from storage.store.shard_datasets import DAMAGE, open_shard_file, read_dataset, refuse_links, texts

if TYPE_CHECKING:
    import h5py

ARRAYS = ("values", "times", "valid")
_DIGESTS: dict[int, tuple[FeatureSpec, str]] = {}
FAILURE_TEXTS = tuple(f.name for f in fields(Failure) if f.name != "attempt")


class Row(NamedTuple):
    """Where a stored clip's rows are in a shard file, and what they were made from.

    Attributes:
        start: First row.
        stop: Row after the last one.
        inputs: Digest of each input, in the order of the spec's `clip_inputs`; empty where they are not known.
        generation: Of two results the one of the higher generation counts.
    """

    start: int
    stop: int
    inputs: tuple[int, ...] = ()
    generation: int = 0


class FailedRow(NamedTuple):
    """Why a clip has no values in a shard file; `inputs` and `generation` as for `Row`."""

    failure: Failure
    inputs: tuple[int, ...] = ()
    generation: int = 0


class ArrayLocation(NamedTuple):
    """Where one array lies in its file.

    Attributes:
        offset: Bytes before its first row.
        dtype: Type of its numbers.
        shape: Of all rows.
    """

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShardContents:
    """What a shard file holds, without its arrays.

    Attributes:
        path: The file.
        spec: What the values are.
        arrays: Where `values`, `times` and `valid` lie.
        rows: Where the rows of each stored clip are, by its id.
        failures: Clips without values.
        is_legacy: Whether merflow 0.1 made it: then `inputs` is one digest of media, segment and text.
        flags: What is unusual about the media of a clip, for those of which something is.
        versions: Of the libraries that made the values and are not in the digest, and the `device`; files of merflow
            0.1 have none.
    """

    path: Path
    spec: FeatureSpec
    arrays: Mapping[str, ArrayLocation]
    rows: Mapping[str, Row]
    failures: tuple[FailedRow, ...]
    is_legacy: bool = False
    flags: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def clip_ids(self) -> list[str]:
        """The clips with values, then those without."""
        return [*self.rows, *(failed.failure.clip_id for failed in self.failures)]


def read_contents(path: Path) -> ShardContents:
    """Read what a shard file holds, without its arrays.

    Raises:
        StoreError: If it is not a whole shard file, or its arrays have other types or shapes than the format's, or do
            not lie contiguous and uncompressed.
    """
    with closing(open_shard_file(path)) as file:
        return contents_of(path, file)


def contents_of(path: Path, file: h5py.File) -> ShardContents:
    """The same of a file that is open.

    Args:
        path: The file.
        file: It, opened by `open_shard_file`.

    Raises:
        StoreError: As `read_contents` does, and where the file is damaged in another way.
    """
    try:
        return _contents_of(path, file)
    except DAMAGE as error:
        raise StoreError(f"{path}: damaged: {error}") from error


def _contents_of(path: Path, file: h5py.File) -> ShardContents:
    refuse_links(file.id)
    offsets = read_dataset(file, "offsets").tolist()
    is_legacy = "fingerprints" in file or "fingerprint" in file["failures"]
    ids = texts(file, "clip_ids")
    clips = zip(ids, *_origins(file, "fingerprints", len(ids)), strict=True)
    rows = {c: Row(offsets[i], offsets[i + 1], inputs, g) for i, (c, inputs, g) in enumerate(clips)}
    spec = _spec(texts(file, "spec")[0])
    locations = {name: _location(path, file, name) for name in ARRAYS}
    _check_locations(path, locations, offsets[-1], len(spec.columns))
    device = {"device": str(file.attrs["device"])} if "device" in file.attrs else {}
    versions = _versions(file.attrs.get("libraries", "{}")) | device
    flags = _flags(file, list(rows))
    return ShardContents(path, spec, locations, rows, _failures(file), is_legacy, flags, versions)


def spec_digest(spec: FeatureSpec) -> str:
    """Digest of a spec that a file holds; those of one recipe share one spec, whose digest takes long once."""
    if id(spec) not in _DIGESTS or _DIGESTS[id(spec)][0] is not spec:
        _DIGESTS[id(spec)] = spec, spec.digest
    return _DIGESTS[id(spec)][1]


def _origins(group: h5py.Group, legacy: str, n_clips: int) -> tuple[list[tuple[int, ...]], list[int]]:
    """What each clip's result was made from, and its generation."""
    generations = read_dataset(group, "generations").tolist() if "generations" in group else [0] * n_clips
    if legacy in group:
        return [(parse_fingerprint(text),) for text in texts(group, legacy)], generations
    return list(map(tuple, read_dataset(group, "inputs").tolist())), generations


@lru_cache(maxsize=64)
def _versions(text: str) -> dict[str, str]:
    versions: dict[str, str] = json.loads(text)
    return versions


def _flags(file: h5py.File, clip_ids: list[str]) -> dict[str, dict[str, float]]:
    if "flags" not in file:
        return {}
    return {i: json.loads(text) for i, text in zip(clip_ids, texts(file, "flags"), strict=True) if text != "{}"}


@lru_cache(maxsize=64)
def _spec(text: str) -> FeatureSpec:
    # Shards of one feature have one spec, and parsing a thousand columns a thousand times takes seconds.
    return FeatureSpec.from_dict(json.loads(text))


def _failures(file: h5py.File) -> tuple[FailedRow, ...]:
    ids = texts(file, "failures/clip_id")
    if not ids:
        return ()
    columns = [texts(file, f"failures/{name}") for name in FAILURE_TEXTS]
    # Files of merflow 0.1 do not say how often a clip was tried.
    attempts = read_dataset(file, "failures/attempt").tolist() if "attempt" in file["failures"] else [1] * len(ids)
    origins = _origins(file["failures"], "fingerprint", len(ids))
    rows = zip(zip(*columns, strict=True), attempts, *origins, strict=True)
    named: list[tuple[dict[str, Any], int, tuple[int, ...], int]] = [
        (dict(zip(FAILURE_TEXTS, values, strict=True)), attempt, inputs, g) for values, attempt, inputs, g in rows
    ]
    return tuple(FailedRow(Failure(**by_name, attempt=a), inputs, g) for by_name, a, inputs, g in named)


def _location(path: Path, file: h5py.File, name: str) -> ArrayLocation:
    import h5py

    dataset = h5py.h5d.open(file.id, name.encode())
    shape, dtype, offset = dataset.shape, dataset.dtype, dataset.get_offset()
    if shape[0] and (offset is None or not dtype.isnative):
        raise StoreError(f"{path}: {name}: expected contiguous, uncompressed, little-endian numbers")
    return ArrayLocation(offset or 0, dtype, shape)


def _check_locations(path: Path, locations: Mapping[str, ArrayLocation], n_rows: int, width: int) -> None:
    kinds = {"values": ("f", (n_rows, width)), "times": ("f", (n_rows, 2)), "valid": ("b", (n_rows,))}
    for name, (kind, shape) in kinds.items():
        if locations[name].dtype.kind != kind or locations[name].shape != shape:
            shown = f"{locations[name].shape} {locations[name].dtype}"
            raise StoreError(f"{path}: {name}: expected {shape} {'bool' if kind == 'b' else 'float'}, got {shown}")


class ShardReader:
    """An open shard file. Threads may share one; processes may not.

    Args:
        path: The file.
        locations: From its index.

    Attributes:
        close: Closes the file; so does forgetting the reader.

    Raises:
        StoreError: If the file cannot be opened.
    """

    def __init__(self, path: Path, locations: Mapping[str, ArrayLocation]) -> None:
        self._path, self._locations = path, locations
        self._file = open_binary(path)
        self.close = weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()

    def arrays(self, start: int, stop: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Values, times and mask of some rows, in the types on disk.

        Args:
            start: First row.
            stop: Row after the last one.

        Raises:
            StoreError: If the file ends before them.
        """
        values, times, valid = (self._read(self._locations[name], start, stop) for name in ARRAYS)
        return values, times, valid

    def times_and_mask(self, start: int, stop: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Times and mask of some rows, without their values.

        Args:
            start: First row.
            stop: Row after the last one.

        Raises:
            StoreError: If the file ends before them.
        """
        times, valid = (self._read(self._locations[name], start, stop) for name in ("times", "valid"))
        return times, valid

    def rows(self, start: int, stop: int, columns: tuple[str, ...] = ()) -> Features:
        """The rows of one clip, as they were checked when they were written.

        Args:
            start: First row.
            stop: Row after the last one.
            columns: Names of the columns.

        Raises:
            StoreError: If the file ends before them.
        """
        values, times, valid = self.arrays(start, stop)
        # `Features(...)` would look at every number again: that takes as long as reading them, at each reading.
        features = object.__new__(Features)
        for name, array in zip(ARRAYS, (values.astype(np.float32, copy=False), times, valid), strict=True):
            object.__setattr__(features, name, array)
        object.__setattr__(features, "columns", columns)
        return features

    def _read(self, location: ArrayLocation, start: int, stop: int) -> npt.NDArray[Any]:
        rows = np.empty((stop - start, *location.shape[1:]), location.dtype)
        row_bytes = rows.nbytes // max(stop - start, 1)
        with self._lock:
            self._file.seek(location.offset + start * row_bytes)
            got = self._file.readinto(rows.reshape(-1).view(np.uint8).data)
        if stop > location.shape[0] or got != rows.nbytes:
            raise StoreError(f"{self._path}: ends before row {stop}")
        return rows
