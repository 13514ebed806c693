"""Memory of a store's index per clip and feature: compact arrays against dicts of tuples, as merflow 0.1 kept them.

python -m benchmarks.index [--clips 100000]
"""

from __future__ import annotations

import argparse
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks._report import report
from storage.records import FeatureSpec
from storage.store.index import Index
from storage.store.shard_reader import Row, ShardContents

FEATURES = [f"feature{i}" for i in range(8)]
CLIPS_IN_A_SHARD = 50


def shards(clips: int) -> Iterator[ShardContents]:
    """What shard files of 50 clips each hold, all clips for all features."""
    for feature in FEATURES:
        spec = FeatureSpec(feature, feature, "audio", "frame", ("x",))
        for first in range(0, clips, CLIPS_IN_A_SHARD):
            rows = {
                f"clip_{i}_of_some_corpus": Row(300 * k, 300 * (k + 1), (i + 1, 7))
                for k, i in enumerate(range(first, first + CLIPS_IN_A_SHARD))
            }
            yield ShardContents(Path(f"/store/features/{feature}/{first:06d}.h5"), spec, {}, rows, ())


def arrays(clips: int) -> Index:
    """The index of today."""
    index = Index()
    for shard in shards(clips):
        index.add(shard)
    return index


def dicts(clips: int) -> dict[tuple[str, str], tuple[Path, int, int, str]]:
    """The same as dicts of tuples."""
    index: dict[tuple[str, str], tuple[Path, int, int, str]] = {}
    for shard in shards(clips):
        for clip_id, row in shard.rows.items():
            fingerprint = f"{row.inputs[0]:016x}"
            index.setdefault((shard.spec.name, clip_id), (shard.path, row.start, row.stop, fingerprint))
    return index


def bytes_kept(make: Callable[[int], Any], clips: int) -> float:
    """Bytes that an index keeps, per clip and feature."""
    gc.collect()
    tracemalloc.start()
    kept = make(clips)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept is not None
    return size / (clips * len(FEATURES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000)
    clips = parser.parse_args().clips
    ours, theirs = bytes_kept(arrays, clips), bytes_kept(dicts, clips)
    report("index_memory", ratio=ours / theirs, ours_bytes=round(ours, 1), dict_bytes=round(theirs, 1), clips=clips)


if __name__ == "__main__":
    main()
