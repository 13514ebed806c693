"""The store against a tree of `.npy` files and one pickle: writing, reading, random access, an epoch, size on disk.

`python -m benchmarks.store [CLIPS]`, by default 2,000 clips of (250, 1024) float32: 2 GB in each of three forms, in the
folder for temporary files. `ratio` is the median time of one random access over that of `np.load` of the same array;
`epoch_ratio` that of a DataLoader epoch with two workers. What is read was just written and is in the page cache: these
are costs of software, not of disks. The store's writing includes what the others leave out: checksums, flushing to
disk, and reading back. `npy_flushed` is the tree with every file flushed to disk.
"""

from __future__ import annotations

import os
import pickle
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks._report import report
from storage.clip import Clip
from storage.manifest import write_manifest
from storage.records import Features, FeatureSpec
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from storage.torch_dataset import ClipDataset, collate

ROWS, WIDTH, HOP = 250, 1024, 0.02
PER_SHARD, BATCH, REPEATS = 20, 16, 3
SPEC = FeatureSpec("hubert", "hubert", "audio", "frame", tuple(f"hubert_{i}" for i in range(WIDTH)), hop=HOP)
HALF = replace(SPEC, dtype="float16")


def main(clips: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write = {
            "store": seconds(lambda: write_store(folder / "store", clips, SPEC)),
            "npy": seconds(lambda: write_npy(folder / "npy", clips, flush=False)),
            "npy_flushed": seconds(lambda: write_npy(folder / "flushed", clips, flush=True)),
            "pickle": seconds(lambda: write_pickle(folder / "all.pkl", clips)),
            "store_float16": seconds(lambda: write_store(folder / "half", clips, HALF)),
        }
        sizes = {path.name: round(size(path) / 1e6, 1) for path in sorted(folder.iterdir())}
        for unused in ("half", "flushed"):
            shutil.rmtree(folder / unused)
        store = FeatureStore(folder / "store")
        read = in_turn(
            {
                "store": lambda: each(lambda i: store.get(i, "hubert"), clips),
                "npy": lambda: each(lambda i: np.load(folder / "npy" / f"{i}.npy"), clips),
                "pickle": lambda: read_pickle(folder / "all.pkl"),
            }
        )
        access = random_access(store, folder / "npy", clips)
        epoch = epochs(folder, clips)
    report(
        "store",
        access["store"] / access["npy"],
        clips=clips,
        random_access_us={key: round(1e6 * value, 1) for key, value in access.items()},
        epoch_ratio=round(epoch["store"] / epoch["npy"], 3),
        epoch_s={key: round(value, 2) for key, value in epoch.items()},
        write_s={key: round(value, 2) for key, value in write.items()},
        read_s={key: round(value, 2) for key, value in read.items()},
        size_mb=sizes,
    )


def ids(clips: int) -> list[str]:
    return [f"clip_{i:05d}" for i in range(clips)]


MADE = np.random.default_rng(0).standard_normal((PER_SHARD, ROWS, WIDTH), np.float32)


def values(place: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(MADE[place % PER_SHARD])  # a copy, for a pickle writes one object once only


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def in_turn(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of several things, done in turn."""
    taken: dict[str, list[float]] = {key: [] for key in works}
    for _ in range(REPEATS):
        for key, work in works.items():
            taken[key].append(seconds(work))
    return {key: statistics.median(value) for key, value in taken.items()}


def each(read: Callable[[str], object], clips: int) -> None:
    for clip_id in ids(clips):
        read(clip_id)


def write_store(path: Path, clips: int, spec: FeatureSpec) -> None:
    store = FeatureStore.create(path)
    write_manifest(path / "manifest.parquet", (Clip(i, label="sad") for i in ids(clips)), root=path, corpus="benchmark")
    start = np.arange(ROWS) * HOP
    times, valid = np.stack([start, start + HOP], axis=1), np.ones(ROWS, np.bool_)
    for first in range(0, clips, PER_SHARD):
        places = range(first, min(first + PER_SHARD, clips))
        entries = [Entry(f"clip_{i:05d}", Features(values(i), times, valid)) for i in places]
        store.put(f"run-{first:05d}", spec, entries, {})


def write_npy(folder: Path, clips: int, *, flush: bool) -> None:
    folder.mkdir()
    for place, clip_id in enumerate(ids(clips)):
        with (folder / f"{clip_id}.npy").open("wb") as file:
            np.save(file, values(place))
            if flush:
                file.flush()
                os.fsync(file.fileno())


def write_pickle(path: Path, clips: int) -> None:
    with path.open("wb") as file:
        pickle.dump({clip_id: values(place) for place, clip_id in enumerate(ids(clips))}, file, protocol=4)


def read_pickle(path: Path) -> None:
    with path.open("rb") as file:
        pickle.load(file)


def size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def random_access(store: FeatureStore, npy: Path, clips: int) -> dict[str, float]:
    """Median seconds of one access, the two in turn; each clip is read once before, so that it is in the cache."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(clips, min(clips, 200), replace=False)
    taken: dict[str, list[float]] = {"store": [], "npy": []}
    for repeat in range(1 + 10):
        for clip_id in (f"clip_{i:05d}" for i in rng.permutation(chosen)):
            once = {
                "store": seconds(partial(store.get, clip_id, "hubert")),
                "npy": seconds(partial(np.load, npy / f"{clip_id}.npy")),
            }
            if repeat:
                for key, value in once.items():
                    taken[key].append(value)
    return {key: statistics.median(value) for key, value in taken.items()}


class NpyDataset(Dataset[Any]):
    """What people write today."""

    def __init__(self, folder: Path, clips: int) -> None:
        self.paths = [folder / f"{clip_id}.npy" for clip_id in ids(clips)]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, str]:
        return torch.from_numpy(np.load(self.paths[place])), "sad"


def epochs(folder: Path, clips: int) -> dict[str, float]:
    """Median seconds of an epoch with two workers, the two in turn; worker start-up included."""
    torch.manual_seed(0)
    ours: dict[str, Any] = {"dataset": ClipDataset(folder / "store", ["hubert"]), "collate_fn": collate}
    theirs: dict[str, Any] = {"dataset": NpyDataset(folder / "npy", clips)}
    return in_turn({"store": lambda: list(batches(ours)), "npy": lambda: list(batches(theirs))})


def batches(options: dict[str, Any]) -> Iterator[int]:
    for batch in DataLoader(batch_size=BATCH, shuffle=True, num_workers=2, **options):
        found = batch["values"]["hubert"] if isinstance(batch, dict) else batch[0]
        yield len(found)  # the batch itself is let go of, as a training step does


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
