"""One HDF5 file: one feature of the clips of one shard. The layout is documented in `docs/store_format.md`.

```
/values (N, D) float32   rows of all clips, one after another; float16 where the spec says so
/times (N, 2) float64    seconds from each clip's start
/valid (N,) bool
/offsets (n + 1,) int64  clip i owns rows offsets[i]:offsets[i + 1]
/clip_ids /checksums (n,) text
/inputs (n, k) uint64    digest of each input that clip i was made from; which inputs: the spec's `reads`
/generations (n,) int64  of two results for a clip the one of the higher generation counts
/spec (1,) text          JSON
/flags (n,) text         JSON, what is unusual about the media of clip i; only where some clip has any
/failures                table of clips that gave no values: text columns, attempt (n,) int64, inputs, generations
attributes: format, feature, digest, run, versions (JSON), libraries (JSON: those of them that can be compared), device,
            largest_error (float16 only)
```

Written by one process, published whole, never changed afterwards.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from storage.errors import StoreError
from storage.records import Failure, Features, FeatureSpec
from storage.store.files import create_hdf5, exists, publish
from storage.store.layout import SHARD_FORMAT
from storage.store.shard_datasets import open_shard_file, texts
from storage.store.shard_reader import ARRAYS, FAILURE_TEXTS, ShardContents, ShardReader, contents_of, spec_digest

if TYPE_CHECKING:
    import h5py

Array = npt.NDArray[Any]
LEGACY = "any"
_OWN_ATTRIBUTES = ("format", "feature", "digest")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a shard file holds for one clip.

    Attributes:
        clip_id: The clip.
        outcome: Values, or the reason why there are none.
        inputs: Digest of each input of the clip, by name (`storage.identity`); those that the feature reads are kept.
        flags: What is unusual about the clip's media.
        generation: Of two results for a clip the one of the higher generation counts.
    """

    clip_id: str
    outcome: Features | Failure
    inputs: Mapping[str, int] = field(default_factory=dict)
    flags: Mapping[str, float] = field(default_factory=dict)
    generation: int = 0


def checksum(arrays: Iterable[Array]) -> str:
    """BLAKE2b (8 bytes, hexadecimal) over the bytes on disk of values, times and valid, in this order."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write_shard_file(
    path: Path, spec: FeatureSpec, entries: Sequence[Entry], attributes: Mapping[str, Any]
) -> ShardContents:
    """Write, flush to disk, reopen and check, then publish.

    Args:
        path: Final path; must not exist.
        spec: What the values are.
        entries: One per clip, in order.
        attributes: Provenance to keep beside the spec (run, versions); plain JSON types.

    Returns:
        What the file holds.

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
        contents, _, problems = checked_contents(temporary)
        if contents is None or problems:
            raise StoreError(f"{path}: what was read back differs from what was written: {problems[0]}")
    return replace(contents, path=path)


def _write(path: Path, spec: FeatureSpec, entries: Sequence[Entry], attributes: Mapping[str, Any]) -> None:
    stored = [(e, e.outcome) for e in entries if isinstance(e.outcome, Features)]
    failed = [(e, e.outcome) for e in entries if isinstance(e.outcome, Failure)]
    offsets = np.cumsum([0, *(len(f.valid) for _, f in stored)], dtype=np.int64)
    with create_hdf5(path) as file:
        file.attrs.update({"format": SHARD_FORMAT, "feature": spec.name, "digest": spec.digest})
        checksums, largest_error = _write_rows(file, spec, stored, offsets.tolist())
        file.create_dataset("offsets", data=offsets)
        _write_text(file, "clip_ids", [e.clip_id for e, _ in stored])
        _write_origins(file, spec, [e for e, _ in stored])
        _write_text(file, "checksums", checksums)
        if any(e.flags for e, _ in stored):
            _write_text(file, "flags", [json.dumps(dict(e.flags), sort_keys=True) for e, _ in stored])
        group = file.create_group("failures")
        for name in FAILURE_TEXTS:
            _write_text(group, name, [getattr(failure, name) for _, failure in failed])
        group.create_dataset("attempt", data=np.array([failure.attempt for _, failure in failed], np.int64))
        _write_origins(group, spec, [e for e, _ in failed])
        # HDF5 keeps attributes of more than 64 KiB only in a dataset of their own.
        _write_text(file, "spec", [json.dumps(spec.to_dict(), ensure_ascii=False)])
        if spec.dtype != "float32":
            file.attrs["largest_error"] = largest_error
        for name, value in attributes.items():
            file.attrs[name] = value if isinstance(value, str | int | float) else json.dumps(value)


def _write_origins(group: h5py.Group, spec: FeatureSpec, entries: Sequence[Entry]) -> None:
    legacy = [LEGACY in entry.inputs for entry in entries]
    if any(legacy):  # written again as merflow 0.1 has it: one digest of media, segment and text
        name = "fingerprints" if group.name == "/" else "fingerprint"
        _write_text(group, name, [f"{entry.inputs[LEGACY]:016x}" for entry in entries])
    names = () if any(legacy) else spec.clip_inputs
    inputs = np.array([[e.inputs.get(name, 0) for name in names] for e in entries], np.uint64)
    group.create_dataset("inputs", data=inputs.reshape(len(entries), len(names)))
    group.create_dataset("generations", data=np.array([e.generation for e in entries], np.int64))


def entries_of(shard: ShardContents, reader: ShardReader, wanted: Container[str]) -> Iterator[Entry]:
    """What a shard file holds of some clips, to be written into another one.

    Args:
        shard: What the file holds.
        reader: Reads its rows.
        wanted: Ids of the clips.
    """
    names = (LEGACY,) if shard.is_legacy else shard.spec.clip_inputs
    for clip_id, row in shard.rows.items():
        if clip_id in wanted:
            inputs = dict(zip(names, row.inputs, strict=False))
            flags = shard.flags.get(clip_id, {})
            yield Entry(clip_id, reader.rows(row.start, row.stop), inputs, flags, row.generation)
    for failure, digests, generation in shard.failures:
        if failure.clip_id in wanted:
            inputs = dict(zip(names, digests, strict=False))
            yield Entry(failure.clip_id, failure, inputs, generation=generation)


def attributes_of(path: Path) -> dict[str, Any]:
    """Provenance that a shard file keeps beside its spec, as plain JSON types."""
    with closing(open_shard_file(path)) as file:
        kept = {key: value for key, value in file.attrs.items() if key not in _OWN_ATTRIBUTES}
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in kept.items()}


def _write_rows(
    file: h5py.File, spec: FeatureSpec, stored: Sequence[tuple[Entry, Features]], offsets: Sequence[int]
) -> tuple[list[str], float]:
    """Write the arrays clip by clip; give each clip's checksum, and the largest error that the dtype made."""
    shapes = {"values": (offsets[-1], len(spec.columns)), "times": (offsets[-1], 2), "valid": (offsets[-1],)}
    types = {"values": spec.dtype, "times": "float64", "valid": "bool"}
    checksums, largest_error = [], 0.0
    arrays: dict[str, Array] = {name: np.empty(shapes[name], types[name]) for name in ARRAYS}
    for (entry, features), start in zip(stored, offsets, strict=False):
        values, error = _rounded(features, spec, entry.clip_id)
        largest_error = max(largest_error, error)
        rows = (values, features.times, features.valid)
        for name, array in zip(ARRAYS, rows, strict=True):
            arrays[name][start : start + len(array)] = array
        checksums.append(checksum(rows))
    for name, array in arrays.items():  # whole arrays: a write of h5py costs more than the copy
        file.create_dataset(name, data=array)
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
    from h5py import string_dtype

    group.create_dataset(name, data=np.array(values, dtype=object), dtype=string_dtype())


def checksums_of(path: Path) -> dict[str, str]:
    """The recorded checksum of each stored clip of a shard file."""
    with closing(open_shard_file(path)) as file:
        return dict(zip(texts(file, "clip_ids"), texts(file, "checksums"), strict=True))


def check_shard_file(path: Path) -> list[str]:
    """Re-read everything a shard file holds.

    Returns:
        One line per problem; empty if it is whole.
    """
    return checked_contents(path)[2]


def checked_contents(path: Path) -> tuple[ShardContents | None, dict[str, str], list[str]]:
    """Re-read everything a shard file holds.

    Returns:
        What it holds and each clip's checksum, None and nothing if it cannot be read; and one line per problem:
        unreadable, digest, clip that occurs twice, shape, dtype, non-finite values, checksum.
    """
    try:
        with closing(open_shard_file(path)) as file:
            contents = contents_of(path, file)
            checksums = dict(zip(texts(file, "clip_ids"), texts(file, "checksums"), strict=True))
            ids = [*texts(file, "clip_ids"), *(failed.failure.clip_id for failed in contents.failures)]
            digest = file.attrs["digest"]
        with closing(ShardReader(path, contents.arrays)) as reader:
            problems = list(_check_clips(reader, contents, checksums))
    except (StoreError, OSError, KeyError, ValueError, TypeError) as error:
        return None, {}, [f"{path.name}: {error}"]
    if digest != spec_digest(contents.spec):
        problems.append(f"{path.name}: digest {digest} is not its spec's {contents.spec.digest}")
    twice = [clip_id for clip_id, count in Counter(ids).items() if count > 1]
    where = f"feature {contents.spec.name}: occurs twice in this file"
    return contents, checksums, problems + [f"{path.name}: clip {clip_id}, {where}" for clip_id in twice]


def _check_clips(reader: ShardReader, contents: ShardContents, checksums: Mapping[str, str]) -> Iterator[str]:
    for clip_id, (start, stop, *_) in contents.rows.items():
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
