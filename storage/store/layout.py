"""Where each file of a store lies. The only place that spells these names.

```
store/  store.json  manifest.parquet  runs/<run>.json  runs/<run>/{flight/<shard>, errors/<clip>.<feature>.txt, stop}
        features/<feature>/<digest>/<shard>.h5
        removals/<generation>-<kind>-<id>.json  index/base.hdf5  index/log/<shard>.json
        leases/<shard>.json  leases/<run>.beat
```
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from storage.records import FeatureSpec

STORE_FORMAT = 1
SHARD_FORMAT = 1
RUN_RECORDS = "runs/*.json"
SHARD_FILES = "features/*/*/[!.]*.h5"
REMOVAL_FILES = "removals/[!.]*.json"
LOG_FILES = "index/log/[!.]*.json"
LEASE_FILES = "leases/[!.]*.json"
BEAT_FILES = "leases/[!.]*.beat"


@lru_cache(256)
def joined(store: Path, name: str) -> Path:
    """A shard file by its path in the store; a file is asked for as often as it holds clips.

    Args:
        store: Folder of the store.
        name: As `shard_store` gives it.
    """
    return store / name


def marker_path(store: Path) -> Path:
    """The small JSON file that makes a folder a store."""
    return store / "store.json"


def manifest_path(store: Path) -> Path:
    """The clips that the store is about."""
    return store / "manifest.parquet"


def runs_path(store: Path) -> Path:
    """Folder of the records of runs, and of what they note."""
    return store / "runs"


def run_path(store: Path, run: str) -> Path:
    """Record of one run.

    Args:
        store: Folder of the store.
        run: Id of the run.
    """
    return runs_path(store) / f"{run}.json"


def work_path(store: Path, run: str) -> Path:
    """Folder of what a run notes while it works; only its `errors` outlive it.

    Args:
        store: Folder of the store.
        run: Id of the run.
    """
    return runs_path(store) / run


def flights_path(store: Path, run: str) -> Path:
    """Folder of what a run's workers have in hand.

    Args:
        store: Folder of the store.
        run: Id of the run.
    """
    return work_path(store, run) / "flight"


def flight_path(store: Path, run: str, shard: str) -> Path:
    """The clips of a shard that its worker has in hand.

    Args:
        store: Folder of the store.
        run: Id of the run.
        shard: Id of the shard.
    """
    return flights_path(store, run) / shard


def stop_path(store: Path, run: str) -> Path:
    """The file that asks a run's workers to stop after the clip in hand.

    Args:
        store: Folder of the store.
        run: Id of the run.
    """
    return work_path(store, run) / "stop"


def progress_path(store: Path, run: str) -> Path:
    """Where a run notes how far it is, for who looks at it from elsewhere.

    Args:
        store: Folder of the store.
        run: Id of the run.
    """
    return work_path(store, run) / "progress.json"


def traceback_path(store: Path, run: str, clip_id: str, feature: str) -> Path:
    """Traceback of an error that nobody foresaw.

    Args:
        store: Folder of the store.
        run: Id of the run.
        clip_id: The clip.
        feature: The feature.
    """
    return work_path(store, run) / "errors" / f"{clip_id}.{feature}.txt"


def shard_path(store: Path, spec: FeatureSpec, shard: str) -> Path:
    """One feature of the clips of one shard.

    Args:
        store: Folder of the store.
        spec: The feature.
        shard: Id of the shard.
    """
    return feature_path(store, spec.name) / spec.digest / f"{shard}.h5"


def shard_store(path: Path) -> tuple[Path, str]:
    """Folder of the store of a shard file, and the file's path in it."""
    feature, digest = path.parent.parent, path.parent
    return feature.parent.parent, f"{feature.parent.name}/{feature.name}/{digest.name}/{path.name}"


def features_path(store: Path) -> Path:
    """Folder of all shard files."""
    return store / "features"


def feature_path(store: Path, feature: str) -> Path:
    """Folder of one feature's shard files.

    Args:
        store: Folder of the store.
        feature: Name of the feature.
    """
    return features_path(store) / feature


def removal_path(store: Path, name: str) -> Path:
    """What a person took out of the store.

    Args:
        store: Folder of the store.
        name: Name of the removal.
    """
    return store / "removals" / f"{name}.json"


def lease_path(store: Path, shard: str) -> Path:
    """What a run has claimed of the work.

    Args:
        store: Folder of the store.
        shard: Id of the batch.
    """
    return store / "leases" / f"{shard}.json"


def beat_path(store: Path, run: str) -> Path:
    """The counter by which a run shows that it lives.

    Args:
        store: Folder of the store.
        run: Id of the run.
    """
    return store / "leases" / f"{run}.beat"


def index_path(store: Path) -> Path:
    """The derived index."""
    return store / "index" / "base.hdf5"


def log_path(store: Path, shard: str) -> Path:
    """What one publication added, for the index.

    Args:
        store: Folder of the store.
        shard: Id of the shard.
    """
    return store / "index" / "log" / f"{shard}.json"


def is_in_place(path: Path, spec: FeatureSpec) -> bool:
    """Whether a shard file lies in its feature's folder.

    Args:
        path: The shard file.
        spec: The spec that it holds.
    """
    return (path.parent.parent.name, path.parent.name) == (spec.name, spec.digest)
