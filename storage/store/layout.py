"""Where each file of a store lies. The only place that spells these names.

```
store/  store.json  manifest.parquet  runs/<run>.json  features/<feature>/<digest>/<shard>.h5
```
"""

from __future__ import annotations

from pathlib import Path

from storage.records import FeatureSpec

STORE_FORMAT = 1
SHARD_FORMAT = 1
RUN_RECORDS = "runs/*.json"
SHARD_FILES = "features/*/*/[!.]*.h5"


def marker_path(store: Path) -> Path:
    """The small JSON file that makes a folder a store."""
    return store / "store.json"


def manifest_path(store: Path) -> Path:
    """The clips that the store is about."""
    return store / "manifest.parquet"


def run_path(store: Path, run: str) -> Path:
    """Record of one run.

    Args:
        store: Folder of the store.
        run: Id of the run.
    """
    return store / "runs" / f"{run}.json"


def shard_path(store: Path, spec: FeatureSpec, shard: str) -> Path:
    """One feature of the clips of one shard.

    Args:
        store: Folder of the store.
        spec: The feature.
        shard: Id of the shard.
    """
    return store / "features" / spec.name / spec.digest / f"{shard}.h5"


def is_in_place(path: Path, spec: FeatureSpec) -> bool:
    """Whether a shard file lies in its feature's folder.

    Args:
        path: The shard file.
        spec: The spec that it holds.
    """
    return (path.parent.parent.name, path.parent.name) == (spec.name, spec.digest)
