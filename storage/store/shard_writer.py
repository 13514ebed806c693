"""One HDF5 file: one feature of the clips of one shard. The layout is documented in `docs/store_format.md`.

```
/values (N, D) float32   rows of all clips, one after another; float16 where the spec says so
/times (N, 2) float64    seconds from each clip's start
/valid (N,) bool
/offsets (n + 1,) int64  clip i owns rows offsets[i]:offsets[i + 1]
/clip_ids /fingerprints /checksums (n,) text
/spec (1,) text          JSON
/flags (n,) text         JSON, what is unusual about the media of clip i; only where some clip has any
/failures                table of clips that gave no values: text columns, and attempt (n,) int64
attributes: format, feature, digest, run, versions (JSON), libraries (JSON: those of them that can be compared), device,
            largest_error (float16 only)
```

Written by one process, published whole, never changed afterwards.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from storage.errors import StoreError
from storage.records import Failure, Features, FeatureSpec
from storage.store.files import create_hdf5, exists, publish
from storage.store.layout import SHARD_FORMAT
from storage.store.shard_reader import (
    ARRAYS,
    FAILURE_TEXTS,
    ShardContents,
    ShardReader,
    open_shard_file,
    read_contents,
    texts,
)

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a shard file holds for one clip: values or the reason why there are none, and what is unusual about it."""

    clip_id: str
    fingerprint: str
    outcome: Features | Failure
    flags: Mapping[str, float] = field(default_factory=dict)


def checksum(arrays: Iterable[Array]) -> str:
    """BLAKE2b (8 bytes, hexadecimal) over the bytes on disk of values, times and valid, in this order."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write_shard_file(path: Path, spec: FeatureSpec, entries: Sequence[Entry], attributes: Mapping[str, Any]) -> None:
    """Write, flush to disk, reopen and check, then publish.

    Args:
        path: Final path; must not exist.
        spec: What the values are.
        entries: One per clip, in order.
        attributes: Provenance to keep beside the spec (run, versions); plain JSON types.

    Raises:
        StoreError: If the file exists, a clip occurs twice, a clip's width is not the spec's, a value is too large
            for the spec's dtype, or what was read back differs.
    """
    if exists(path):
        raise StoreError(f"{path}: exists already; shard files are never overwritten")
    for entry in entries:
        if isinstance(entry.outcome, Features) and entry.outcome.values.shape[1] != len(spec.columns):
            got, width = entry.outcome.values.shape[1], len(spec.columns)
            raise StoreError(f"clip {entry.clip_id}, feature {spec.name}: expected {width} columns, got {got}")
    with publish(path) as temporary:
        _write(temporary, spec, entries, attributes)
        problems = check_shard_file(temporary)
        if problems:
            raise StoreError(f"{path}: what was read back differs from what was written: {problems[0]}")


def _write(path: Path, spec: FeatureSpec, entries: Sequence[Entry], attributes: Mapping[str, Any]) -> None:
    stored = [(e, e.outcome) for e in entries if isinstance(e.outcome, Features)]
    failed = [(e, e.outcome) for e in entries if isinstance(e.outcome, Failure)]
    offsets = np.cumsum([0, *(len(f.valid) for _, f in stored)], dtype=np.int64)
    with create_hdf5(path) as file:
        file.attrs.update({"format": SHARD_FORMAT, "feature": spec.name, "digest": spec.digest})
        checksums, largest_error = _write_rows(file, spec, stored, offsets.tolist())
        file.create_dataset("offsets", data=offsets)
        _write_text(file, "clip_ids", [e.clip_id for e, _ in stored])
        _write_text(file, "fingerprints", [e.fingerprint for e, _ in stored])
        _write_text(file, "checksums", checksums)
        if any(e.flags for e, _ in stored):
            _write_text(file, "flags", [json.dumps(dict(e.flags), sort_keys=True) for e, _ in stored])
        group = file.create_group("failures")
        for name in FAILURE_TEXTS:
            _write_text(group, name, [getattr(failure, name) for _, failure in failed])
        group.create_dataset("attempt", data=np.array([failure.attempt for _, failure in failed], np.int64))
        _write_text(group, "fingerprint", [e.fingerprint for e, _ in failed])
        # HDF5 keeps attributes of more than 64 KiB only in a dataset of their own.
        _write_text(file, "spec", [json.dumps(spec.to_dict(), ensure_ascii=False)])
        if spec.dtype != "float32":
            file.attrs["largest_error"] = largest_error
        for name, value in attributes.items():
            file.attrs[name] = value if isinstance(value, str | int | float) else json.dumps(value)


def _write_rows(
    file: h5py.File, spec: FeatureSpec, stored: Sequence[tuple[Entry, Features]], offsets: Sequence[int]
) -> tuple[list[str], float]:
    """Write the arrays clip by clip; give each clip's checksum, and the largest error that the dtype made."""
    shapes = {"values": (offsets[-1], len(spec.columns)), "times": (offsets[-1], 2), "valid": (offsets[-1],)}
    types = {"values": spec.dtype, "times": "float64", "valid": "bool"}
    datasets = [file.create_dataset(name, shapes[name], types[name]) for name in ARRAYS]
    checksums, largest_error = [], 0.0
    for (entry, features), start in zip(stored, offsets, strict=False):
        values, error = _rounded(features, spec, entry.clip_id)
        largest_error = max(largest_error, error)
        arrays = (values, features.times, features.valid)
        for dataset, array in zip(datasets, arrays, strict=True):
            if len(array):
                dataset[start : start + len(array)] = array
        checksums.append(checksum(arrays))
    return checksums, largest_error


def _rounded(features: Features, spec: FeatureSpec, clip_id: str) -> tuple[Array, float]:
    """Values in the spec's dtype, and the largest absolute error of that."""
    if spec.dtype == "float32":
        return features.values, 0.0
    with np.errstate(over="ignore"):
        values = features.values.astype(spec.dtype)
    if np.isinf(values).any():
        largest = np.nanmax(np.abs(features.values))
        raise StoreError(f"clip {clip_id}, feature {spec.name}: {largest:g} is too large for {spec.dtype}; use float32")
    valid = features.valid
    error = np.abs(values[valid].astype(np.float64) - features.values[valid]).max(initial=0.0)
    return values, float(error)


def _write_text(group: h5py.Group, name: str, values: list[str]) -> None:
    group.create_dataset(name, data=np.array(values, dtype=object), dtype=h5py.string_dtype())


def checksums_of(path: Path) -> dict[str, str]:
    """The recorded checksum of each stored clip of a shard file."""
    with closing(open_shard_file(path)) as file:
        return dict(zip(texts(file, "clip_ids"), texts(file, "checksums"), strict=True))


def check_shard_file(path: Path) -> list[str]:
    """Re-read everything a shard file holds.

    Returns:
        One line per problem: unreadable, digest, clip that occurs twice, shape, dtype, non-finite values, checksum.
        Empty if it is whole.
    """
    try:
        contents = read_contents(path)
        with closing(open_shard_file(path)) as file:
            ids = [*texts(file, "clip_ids"), *(failure.clip_id for failure, _ in contents.failures)]
            digest = file.attrs["digest"]
        with closing(ShardReader(path, contents.arrays)) as reader:
            problems = list(_check_clips(reader, contents, checksums_of(path)))
    except (StoreError, OSError, KeyError, ValueError, TypeError) as error:
        return [f"{path.name}: {error}"]
    if digest != contents.spec.digest:
        problems.append(f"{path.name}: digest {digest} is not its spec's {contents.spec.digest}")
    twice = [clip_id for clip_id, count in Counter(ids).items() if count > 1]
    return problems + [f"{path.name}: clip {i}, feature {contents.spec.name}: occurs twice in this file" for i in twice]


def _check_clips(reader: ShardReader, contents: ShardContents, checksums: Mapping[str, str]) -> Iterator[str]:
    for clip_id, (start, stop, _) in contents.rows.items():
        where = f"{contents.path.name}: clip {clip_id}, feature {contents.spec.name}"
        try:
            values, times, valid = reader.arrays(start, stop)
            Features(values.astype(np.float32, copy=False), times, valid)
        except (ValueError, StoreError) as error:
            yield f"{where}: {error}"
            continue
        computed = checksum((values, times, valid))
        if computed != checksums[clip_id]:
            yield f"{where}: checksum {computed}, expected {checksums[clip_id]}"
