"""The most memory that each export holds: clips of 250 rows of 1,024 numbers each.

python -m benchmarks.export_memory [--clips 3000] [--formats hdf5,csd] [--folder FOLDER]

Each format in a process of its own, whose largest resident set is told, and what an empty export's is (imports). At
most 400 MB; `mmsa`, a pickle, may hold the array of its largest split once beside that. The ratio is the worst of all.
Takes some twelve gigabytes of the folder's disk with 3,000 clips.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._report import report
from storage.clip import Clip
from storage.manifest import write_manifest
from storage.records import Features, FeatureSpec
from storage.store.publication import ShardFeature, publish_shard
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore

ROWS, WIDTH, MOST_MB = 250, 1024, 400
SPLITS = ("train",) * 8 + ("val", "test")
FORMATS: dict[str, dict[str, str]] = {
    "hdf5": {"like": "hubert"},
    "parquet": {},
    "webdataset": {},
    "csd": {},
    "lance": {},
    "emobox": {},
    "mertools": {"emo": "zero"},
    "mmsa": {"dimension": "valence", "audio_feature": "hubert", "vision_feature": "small"},
}
EXPORT = """
import json, sys
from pathlib import Path
from storage.exporters import export
from storage.store.store import FeatureStore
store, target, name, options = FeatureStore(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
export(name, store, target, options)
(held,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(held.split()[1]) / 1024)  # what getrusage says is the starting process's too
"""


def build(folder: Path, clips: int) -> Path:
    """A store of random numbers, 50 clips to a shard."""
    store, rng = FeatureStore.create(folder / f"store{clips}"), np.random.default_rng(0)
    listed = [
        Clip(
            f"clip_{i:05d}",
            audio="a.wav",
            split=SPLITS[i % 10],
            label="happy",
            label_raw="happy",
            dimensions={"valence": 0.5},
        )
        for i in range(clips)
    ]
    write_manifest(store.path / "manifest.parquet", listed, folder, "bench")
    times = np.stack([np.arange(ROWS), np.arange(1, ROWS + 1)], axis=1) / 50
    for name, width in (("hubert", WIDTH), ("small", 8)):
        spec = FeatureSpec(name, name, "audio", "frame", tuple(f"{name}_{i}" for i in range(width)))
        for first in range(0, clips, 50):
            entries = [
                Entry(clip.id, Features(rng.normal(size=(ROWS, width)).astype(np.float32), times, np.ones(ROWS, bool)))
                for clip in listed[first : first + 50]
            ]
            publish_shard(store.path, f"run-{first:05d}", [ShardFeature(spec, entries, {})])
    return store.path


def peak(store: Path, name: str, options: dict[str, str]) -> float:
    """Megabytes that one export holds at most."""
    target = store.parent / f"export_{name}"
    chosen = options if name == "mmsa" else {"features": "hubert", **options}
    command = [sys.executable, "-c", EXPORT, str(store), str(target), name, json.dumps(chosen)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=3000)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        small, large = (build(Path(scratch), clips) for clips in (20, arguments.clips))
        lines, worst = {}, 0.0
        for name in arguments.formats.split(","):
            most = MOST_MB + (arguments.clips * 0.8 * ROWS * WIDTH * 4 / 2**20 if name == "mmsa" else 0)
            held, imports = peak(large, name, FORMATS[name]), peak(small, name, FORMATS[name])
            lines[name] = {"mb": round(held), "mb_of_20_clips": round(imports), "most_mb": round(most)}
            worst = max(worst, held / most)
            print(f"{name}: {lines[name]}", flush=True)
    report("export_memory", ratio=worst, formats=lines, clips=arguments.clips)


if __name__ == "__main__":
    main()
