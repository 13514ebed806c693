"""One HDF5 file: one feature of the clips of one shard. The layout is documented in `docs/store_format.md`.

```
/values (N, D) float32   rows of all clips, one after another
/times (N, 2) float64    seconds from each clip's start
/valid (N,) bool
/offsets (n + 1,) int64  clip i owns rows offsets[i]:offsets[i + 1]
/clip_ids /fingerprints /checksums (n,) text
/failures                table of clips that gave no values
attributes: format, feature, digest, spec (JSON), run, versions (JSON)
```

Written by one process, published whole, never changed afterwards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from storage.atomic import publish
from storage.errors import StoreError
from storage.records import Failure, Features, FeatureSpec

FORMAT = 1
_FAILURE_FIELDS = tuple(f.name for f in fields(Failure))


@dataclass(frozen=True, slots=True)
class Entry:
    """What a shard file holds for one clip: values or the reason why there are none."""

    clip_id: str
    fingerprint: str
    outcome: Features | Failure


@dataclass(frozen=True, slots=True)
class Index:
    """What a shard file holds, without its arrays.

    Attributes:
        path: The file.
        spec: What the values are.
        rows: First and last row of each stored clip, and its fingerprint: `{clip_id: (start, stop, fingerprint)}`.
        failures: Clips without values, with their fingerprints.
    """

    path: Path
    spec: FeatureSpec
    rows: Mapping[str, tuple[int, int, str]]
    failures: tuple[tuple[Failure, str], ...]


def checksum(features: Features) -> str:
    """BLAKE2b (8 bytes, hexadecimal) over the bytes of values, times and valid, in this order."""
    digest = hashlib.blake2b(digest_size=8)
    for array in (features.values, features.times, features.valid):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def write_shard_file(path: Path, spec: FeatureSpec, entries: Sequence[Entry], attributes: Mapping[str, Any]) -> None:
    """Write, flush to disk, reopen and check, then publish.

    Args:
        path: Final path; must not exist.
        spec: What the values are.
        entries: One per clip, in order.
        attributes: Provenance to keep beside the spec (run, versions); plain JSON types.

    Raises:
        StoreError: If the file exists, a clip's width is not the spec's, or what was read back differs.
    """
    if path.exists():
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
    lengths = [len(f.valid) for _, f in stored]
    with h5py.File(path, "w", libver="latest", locking=False) as file:
        for name, empty in _EMPTY.items():
            parts = [getattr(f, name) for _, f in stored] or [empty(len(spec.columns))]
            file.create_dataset(name, data=np.concatenate(parts))
        file.create_dataset("offsets", data=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
        _write_text(file, "clip_ids", [e.clip_id for e, _ in stored])
        _write_text(file, "fingerprints", [e.fingerprint for e, _ in stored])
        _write_text(file, "checksums", [checksum(f) for _, f in stored])
        group = file.create_group("failures")
        columns = list(zip(*(astuple(f) for _, f in failed), strict=True)) or [()] * len(_FAILURE_FIELDS)
        for name, column in zip(_FAILURE_FIELDS, columns, strict=True):
            _write_text(group, name, list(column))
        _write_text(group, "fingerprint", [e.fingerprint for e, _ in failed])
        file.attrs.update({"format": FORMAT, "feature": spec.name, "digest": spec.digest})
        # HDF5 keeps attributes of more than 64 KiB only in a dataset of their own.
        _write_text(file, "spec", [json.dumps(spec.to_dict(), ensure_ascii=False)])
        for name, value in attributes.items():
            file.attrs[name] = value if isinstance(value, str | int | float) else json.dumps(value)


_EMPTY = {
    "values": lambda width: np.empty((0, width), np.float32),
    "times": lambda _: np.empty((0, 2), np.float64),
    "valid": lambda _: np.empty(0, np.bool_),
}


def _write_text(group: h5py.Group, name: str, values: list[str]) -> None:
    group.create_dataset(name, data=np.array(values, dtype=object), dtype=h5py.string_dtype())


def _texts(group: h5py.Group, name: str) -> list[str]:
    return [str(v) for v in group[name].asstr()[...]]


def open_shard_file(path: Path) -> h5py.File:
    """Open for reading, without file locks (network file systems).

    Raises:
        StoreError: If it is not a whole shard file of a known format.
    """
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise StoreError(f"{path}: not a readable HDF5 file: {error}") from error
    found = file.attrs.get("format")
    if found != FORMAT:
        file.close()
        raise StoreError(f"{path}: expected shard file format {FORMAT}, got {found}")
    return file


def read_index(path: Path) -> Index:
    """Read what a shard file holds, without its arrays."""
    with closing(open_shard_file(path)) as file:
        spec = FeatureSpec.from_dict(json.loads(_texts(file, "spec")[0]))
        offsets = file["offsets"][...].tolist()
        clips = zip(_texts(file, "clip_ids"), _texts(file, "fingerprints"), strict=True)
        rows = {c: (offsets[i], offsets[i + 1], f) for i, (c, f) in enumerate(clips)}
        group = file["failures"]
        columns = [_texts(group, name) for name in (*_FAILURE_FIELDS, "fingerprint")]
        failures = tuple((Failure(*row[:-1]), row[-1]) for row in zip(*columns, strict=True))
    return Index(path, spec, rows, failures)


def read_rows(file: h5py.File, start: int, stop: int) -> Features:
    """Read the rows of one clip."""
    return Features(file["values"][start:stop], file["times"][start:stop], file["valid"][start:stop])


def check_shard_file(path: Path) -> list[str]:
    """Re-read everything a shard file holds.

    Returns:
        One line per problem: unreadable, digest, shape, dtype, non-finite values, checksum. Empty if it is whole.
    """
    try:
        index = read_index(path)
        with closing(open_shard_file(path)) as file:
            problems = [p for clip_id in index.rows if (p := _check_clip(file, index, clip_id))]
            if file.attrs["digest"] != index.spec.digest:
                problems.append(f"{path.name}: digest {file.attrs['digest']} is not its spec's {index.spec.digest}")
            return problems
    except (StoreError, OSError, KeyError, ValueError, TypeError) as error:
        return [f"{path.name}: {error}"]


def _check_clip(file: h5py.File, index: Index, clip_id: str) -> str | None:
    where = f"{index.path.name}: clip {clip_id}, feature {index.spec.name}"
    start, stop, _ = index.rows[clip_id]
    try:
        features = read_rows(file, start, stop)
    except (ValueError, OSError) as error:
        return f"{where}: {error}"
    if features.values.shape[1] != len(index.spec.columns):
        return f"{where}: expected {len(index.spec.columns)} columns, got {features.values.shape[1]}"
    expected = str(file["checksums"].asstr()[list(index.rows).index(clip_id)])
    found = checksum(features)
    return None if found == expected else f"{where}: checksum {found}, expected {expected}"
