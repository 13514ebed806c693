"""What a shard costs beyond its own work: the whole flow against the plain function, same shards, one run.

Shards hold one second of audio each and compute GeMAPS, so that nearly all is overhead. `ratio` is milliseconds per
shard of the flow (Prefect task, window, store) over the plain function called in a loop; `dask` adds two workers.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from benchmarks._report import report
from configs.schema import Cluster, RunConfig
from flows.plan import build_extractors, make_context, make_plan
from flows.prefect_server import prefect_server
from flows.run import run_extraction
from flows.shards import Bounds, make_jobs
from flows.worker import extract_shard
from storage.ingest import ingest
from storage.manifest import Manifest, write_manifest
from storage.store.store import FeatureStore
from storage.store.survey import Survey

SHARDS = 60
CONFIG = {"extractors": [{"name": "gemaps"}], "cluster": {"engine": "local", "shard_seconds": 0.5}}


def main() -> None:
    with tempfile.TemporaryDirectory() as name, prefect_server():
        folder = Path(name)
        manifest = corpus(folder)
        milliseconds: dict[str, list[float]] = {"plain": [], "flow": [], "dask": []}
        for i in range(3):
            milliseconds["plain"].append(plain(manifest, folder / f"plain{i}"))
            milliseconds["flow"].append(flow(manifest, folder / f"flow{i}", "local"))
            milliseconds["dask"].append(flow(manifest, folder / f"dask{i}", "dask"))
    medians = {f"{k}_ms_per_shard": round(statistics.median(v), 1) for k, v in milliseconds.items()}
    ratio = medians["flow_ms_per_shard"] / medians["plain_ms_per_shard"]
    report("orchestration", ratio, shards=SHARDS, **medians)


def corpus(folder: Path) -> Manifest:
    (folder / "media").mkdir()
    rng = np.random.default_rng(0)
    for i in range(SHARDS):
        audio = (0.1 * rng.standard_normal((1, 16_000))).astype(np.float32)
        with av.open(str(folder / "media" / f"c{i:03d}.wav"), "w") as out:
            stream = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
            frame = av.AudioFrame.from_ndarray((audio * 32_767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate = 16_000
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    ingest("folder", folder / "media", folder / "m.parquet", {}, lambda _: 1.0)
    return Manifest.open(folder / "m.parquet")


def plain(manifest: Manifest, store: Path) -> float:
    """Milliseconds per shard of the worker function alone."""
    made = FeatureStore.create(store)
    write_manifest(store / "manifest.parquet", manifest, manifest.roots, manifest.corpus)
    config = RunConfig.model_validate(CONFIG)
    extractors = build_extractors(config)
    context = make_context("run", config, store, manifest.roots, extractors)
    begin = time.perf_counter()
    survey = Survey(made)
    plan = make_plan(survey, extractors, np.ones(len(survey.columns), np.bool_))
    for job in make_jobs(plan, survey.manifest, made.index, context, Bounds(0.5)):
        extract_shard(job)
    return 1000 * (time.perf_counter() - begin) / SHARDS


def flow(manifest: Manifest, store: Path, engine: str) -> float:
    """Milliseconds per shard of a whole run, start-up of its engine included."""
    config = RunConfig.model_validate(CONFIG)
    config = config.model_copy(update={"cluster": Cluster(engine=engine, workers=2, shard_seconds=0.5)})
    begin = time.perf_counter()
    run_extraction(config, manifest, store)
    return 1000 * (time.perf_counter() - begin) / SHARDS


if __name__ == "__main__":
    main()
