"""The index on disk: `index/base.hdf5` and a log of one small file per publication. Derived: shard files are the truth.

A store is opened by reading the base, then the log. Shard files that neither knows are read themselves, a feature of
which a known file is gone is read anew, so that a lost, damaged or old index costs time and nothing else. `fold` writes
base and log as one base.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from storage.errors import StoreError
from storage.records import Failure, FeatureSpec
from storage.store.feature_rows import FeatureRows
from storage.store.files import (
    create_hdf5,
    exists,
    list_files,
    open_hdf5,
    publish,
    read_json,
    remove,
    shard_names,
    write_small,
)
from storage.store.index import Index, IndexedFile
from storage.store.layout import LOG_FILES, features_path, index_path, log_path, shard_store
from storage.store.shard_datasets import DAMAGE
from storage.store.shard_reader import ArrayLocation, FailedRow, Row, ShardContents, read_contents

if TYPE_CHECKING:
    import h5py

FORMAT = 1
_ARRAYS = ("file", "start", "stop", "generation", "inputs")


def load_index(store: Path) -> Index:
    """Everything that the published shard files of a store hold.

    Args:
        store: Folder of the store.
    """
    index = _load_base(store)
    update_index(index, store)
    return index


def update_index(index: Index, store: Path) -> None:
    """Take in shard files that were published since, and forget those that are gone.

    Args:
        index: What is known.
        store: Folder of the store.
    """
    present = shard_names(features_path(store))
    known = {file.name for file in index.files}
    gone = known - present
    for feature in {name.split("/")[1] for name in gone}:
        _forget_feature(index, feature)
        known = {name for name in known if name.split("/")[1] != feature}
    index.unreadable.clear()
    missing = present - known
    specs = {_recipe(file.name): file.spec for file in index.files}
    if missing:
        for path in list_files(store, LOG_FILES):
            for contents in _logged(store, path, specs, missing):
                index.add(contents)
    for name in sorted(missing):
        try:
            index.add(read_contents(store / name))
        except (StoreError, *DAMAGE) as error:
            index.unreadable[store / name] = str(error)


def log_publication(store: Path, shard: str, published: Iterable[ShardContents]) -> None:
    """Note what one publication added, for those who open the store next.

    Args:
        store: Folder of the store.
        shard: Id of the shard.
        published: Its shard files, one per feature.
    """
    entries = [_entry(contents) for contents in published]
    if entries:
        write_small(log_path(store, shard), json.dumps({"format": FORMAT, "files": entries}))


def fold(index: Index, store: Path) -> None:
    """Write base and log as one base; a store that cannot be written keeps what it has.

    Args:
        index: What the store holds.
        store: Folder of the store.
    """
    logs = list_files(store, LOG_FILES)
    with publish(index_path(store)) as temporary, create_hdf5(temporary) as file:
        _write_base(file, index)
    for path in logs:
        remove(path)


def _forget_feature(index: Index, feature: str) -> None:
    index.features.pop(feature, None)
    index.flags.pop(feature, None)
    kept = [i for i, file in enumerate(index.files) if file.spec.name != feature]
    renumbered = np.full(len(index.files) + 1, -1, np.int32)
    renumbered[kept] = np.arange(len(kept))
    for rows in index.features.values():
        rows.file = renumbered[rows.file]
    index.files[:] = [index.files[i] for i in kept]


# The log


def _entry(contents: ShardContents) -> dict[str, Any]:
    return {
        "path": shard_store(contents.path)[1],
        "arrays": _plain_locations(contents.arrays),
        "rows": {clip_id: [r.start, r.stop, list(r.inputs), r.generation] for clip_id, r in contents.rows.items()},
        "failures": [[asdict(f.failure), list(f.inputs), f.generation] for f in contents.failures],
        "flags": {clip_id: dict(flags) for clip_id, flags in contents.flags.items()},
        "versions": dict(contents.versions),
    }


def _logged(store: Path, path: Path, specs: dict[str, FeatureSpec], missing: set[str]) -> list[ShardContents]:
    """What a log file says of shard files that are not known yet; those are no longer missing afterwards."""
    found = []
    with suppress(OSError, ValueError, KeyError, TypeError, StoreError):  # the shard files are read instead
        for entry in read_json(path)["files"]:
            if entry["path"] not in missing:
                continue
            contents = _contents(store, entry, specs)
            missing.discard(entry["path"])
            found.append(contents)
    return found


def _contents(store: Path, entry: Mapping[str, Any], specs: dict[str, FeatureSpec]) -> ShardContents:
    path, recipe = store / entry["path"], _recipe(entry["path"])
    if recipe not in specs:
        specs[recipe] = read_contents(path).spec
    rows = {clip_id: Row(start, stop, tuple(i), g) for clip_id, (start, stop, i, g) in entry["rows"].items()}
    failures = tuple(FailedRow(Failure(**f), tuple(inputs), g) for f, inputs, g in entry["failures"])
    arrays = _locations(entry["arrays"])
    return ShardContents(path, specs[recipe], arrays, rows, failures, False, entry["flags"], entry["versions"])


def _recipe(name: str) -> str:
    """Feature and digest in the name of a shard file."""
    return name.rpartition("/")[0]


def _plain_locations(arrays: Mapping[str, ArrayLocation]) -> dict[str, list[Any]]:
    return {name: [found.offset, found.dtype.str, list(found.shape)] for name, found in arrays.items()}


def _locations(arrays: Mapping[str, Any]) -> dict[str, ArrayLocation]:
    return {
        name: ArrayLocation(offset, np.dtype(dtype), tuple(shape)) for name, (offset, dtype, shape) in arrays.items()
    }


# The base


def _write_base(file: h5py.File, index: Index) -> None:
    specs = {id(f.spec): f.spec for f in index.files}  # files of one recipe share it: its digest takes long
    places = {key: place for place, key in enumerate(specs)}
    files = [
        [f.name, places[id(f.spec)], f.digest, _plain_locations(f.arrays), f.versions, f.is_legacy] for f in index.files
    ]
    described = {
        "specs": [spec.to_dict() for spec in specs.values()],
        "files": files,
        "flags": {name: {str(k): dict(v) for k, v in flags.items()} for name, flags in index.flags.items()},
        "failures": [list(asdict(failure).values()) for failure in index.failures],
    }
    file.attrs["format"] = FORMAT
    file.create_dataset("ids", data=np.frombuffer("\n".join(index.ids).encode(), np.uint8))
    file.create_dataset("described", data=np.frombuffer(json.dumps(described).encode(), np.uint8))
    for name, results in index.features.items():
        group = file.create_group(f"features/{name}")
        for array in _ARRAYS:
            group.create_dataset(array, data=getattr(results, array)[: len(index.ids)])


def _load_base(store: Path) -> Index:
    path = index_path(store)
    if not exists(path):
        return Index()
    try:
        with closing(open_hdf5(path)) as file:
            return _read_base(file, store) if file.attrs.get("format") == FORMAT else Index()
    except (StoreError, OSError, ValueError, KeyError, TypeError):
        return Index()  # damaged: the shard files say the same


def _read_base(file: h5py.File, store: Path) -> Index:
    described = json.loads(_bytes(file["described"]))
    specs = [FeatureSpec.from_dict(values) for values in described["specs"]]
    files = [
        IndexedFile(store, name, specs[place], digest, _locations(arrays), versions, is_legacy)
        for name, place, digest, arrays, versions, is_legacy in described["files"]
    ]
    ids = _bytes(file["ids"]).decode()
    index = Index(
        ids=ids.split("\n") if ids else [],
        files=files,
        failures=[Failure(*values) for values in described["failures"]],
        flags={name: {int(k): v for k, v in flags.items()} for name, flags in described["flags"].items()},
    )
    for name, group in file.get("features", {}).items():
        rows = FeatureRows(group["inputs"].shape[1])
        for array in _ARRAYS:
            setattr(rows, array, group[array][...])
        rows.removed = np.zeros(len(rows.file), np.uint8)
        index.features[name] = rows
    return index


def _bytes(dataset: h5py.Dataset) -> bytes:
    array: npt.NDArray[np.uint8] = dataset[...]
    return array.tobytes()
