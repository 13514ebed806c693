"""What a shard costs beyond decoding and extracting, in an empty store and in one of ten thousand shard files.

    python -m benchmarks.shards [--files 10000]

Whole runs on the engine `local`, under Prefect, of shards that hold one second of audio each, with one and with five
features. The time between the first clip and the last one, without what decoding and the extractors took, over the
shards between them; `ratio` is that of one feature in the large store to that in the empty one. At most: 40 ms a shard
and 15 ms for each feature, whatever the store's size.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks._report import report
from benchmarks.orchestration import SHARDS, corpus
from benchmarks.scale import Code
from configs.schema import RunConfig
from flows.prefect_server import prefect_server
from flows.progress import Progress, reporting
from flows.run import run_extraction
from storage.manifest import Manifest

HERE = Path(__file__).resolve().parent.parent
FEATURES = (1, 5)
ROUNDS = 3
MOST_MS, MOST_MS_A_FEATURE = 40.0, 15.0


class Stopwatch(Progress):
    """Notes when clips are done."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def clips_done(self, number: int, failed: int) -> None:
        """Note the moment of each.

        Args:
            number: How many.
            failed: How many of them failed.
        """
        self.moments += [time.perf_counter()] * number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as name, prefect_server():
        folder = Path(name)
        manifest = corpus(folder)
        stores = {"empty": None, "large": Code(HERE, folder / "code").store(files, 1, 1) / "store"}
        cost: dict[tuple[str, int], list[float]] = {(kind, n): [] for kind in stores for n in FEATURES}
        for turn in range(ROUNDS):
            for (kind, features), taken in cost.items():
                store = folder / f"{kind}_{features}_{turn}"
                if (made := stores[kind]) is not None:
                    shutil.copytree(made, store)
                taken.append(overhead(manifest, store, features))
                shutil.rmtree(store)
    medians = {key: statistics.median(taken) for key, taken in cost.items()}
    shown: dict[str, float] = {}
    for kind in stores:
        one, five = (medians[kind, n] for n in FEATURES)
        each = (five - one) / (FEATURES[1] - FEATURES[0])
        shown |= {f"{kind}_ms_a_shard": round(one - each, 1), f"{kind}_ms_a_feature": round(each, 1)}
    report("shards", medians["large", 1] / medians["empty", 1], most=(MOST_MS, MOST_MS_A_FEATURE), files=files, **shown)


def overhead(manifest: Manifest, store: Path, features: int) -> float:
    """Milliseconds of a shard beyond decoding and extracting.

    Args:
        manifest: The clips.
        store: Folder of the store; made if it does not exist.
        features: How many.
    """
    entries = [{"name": "gemaps", "feature": f"f{i}"} for i in range(features)]
    cluster = {"engine": "local", "shard_seconds": 0.5}
    watch = Stopwatch()
    with reporting(watch):
        result = run_extraction(RunConfig.model_validate({"extractors": entries, "cluster": cluster}), manifest, store)
    if result.outcomes.get("stored") != SHARDS * features or len(watch.moments) != SHARDS:
        raise SystemExit(f"{result.outcomes}, {len(watch.moments)} clips told of")
    own = sum(result.seconds[name] for name in ("decode", *(entry["feature"] for entry in entries))) / SHARDS
    return 1000 * ((watch.moments[-1] - watch.moments[0]) / (SHARDS - 1) - own)


if __name__ == "__main__":
    main()
