"""A report over 30,000 clips: seconds and memory to build it, bytes and seconds until its page can be used.

    python -m benchmarks.report [--clips 30000]

The ratio is the largest of what was measured over what it may be (60 s, 1 GiB, a page of 30 MiB, open in 3 s).

The store is generated: eight features, three of them with many rows, one clip in fifty failed, and as many flagged.
Opening is measured in Debian's headless Chromium (`make browser`); without one that part is left out and said so.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks._report import report
from storage.clip import Clip
from storage.manifest import write_manifest
from storage.records import Failure, Features, FeatureSpec
from storage.store.runs import write_run
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore

MOST_SECONDS, MOST_MIB, MOST_OPEN, MOST_PAGE_MIB = 60.0, 1024.0, 3.0, 30.0
SHARD = 500
SPECS = (
    FeatureSpec("gemaps", "gemaps", "audio", "frame", tuple(f"g{i}" for i in range(18)), hop=0.01),
    FeatureSpec("hubert", "hubert", "audio", "frame", tuple(f"h{i}" for i in range(16)), hop=0.02),
    FeatureSpec("faces", "faces", "video", "frame", ("x1", "y1", "x2", "y2")),
    FeatureSpec("quality", "quality", "video", "utterance", ("face_share", "most_faces", "sharpness", "duration")),
    FeatureSpec("audio_quality", "audio_quality", "audio", "utterance", ("silence_share", "snr", "speech_share")),
    *(FeatureSpec(f"utt{i}", f"utt{i}", "video", "utterance", tuple(f"u{j}" for j in range(16))) for i in range(3)),
)


def build(path: Path, clips: int) -> FeatureStore:
    """Make the store.

    Args:
        path: Its folder.
        clips: How many.
    """
    rng = np.random.default_rng(0)
    store = FeatureStore.create(path)
    made = [
        Clip(f"session_{i % 40:02d}_clip_{i:06d}", split=("train", "val", "test")[i % 3], label=f"label_{i % 7}",
             speaker=f"speaker_{i % 211}", duration=4.0)
        for i in range(clips)
    ]  # fmt: skip
    write_manifest(path / "manifest.parquet", made, root=path, corpus="test")
    shards = []
    for number, first in enumerate(range(0, clips, SHARD)):
        for spec in SPECS:
            entries = [
                Entry(clip.id, _outcome(rng, spec, clip, i)) for i, clip in enumerate(made[first : first + SHARD])
            ]
            store.put(f"r-{number}", spec, entries, {})
        ended = f"2026-01-01T{number // 60 % 24:02d}:{number % 60:02d}:00Z"
        shards.append({"worker": f"worker_{number % 4}", "clips": SHARD, "seconds": 60.0, "finished": ended})
    digests = {spec.name: spec.digest for spec in SPECS}
    seconds = {"decode": 100.0, **dict.fromkeys(digests, 50.0)}
    record = {"run": "r", "started": "2026-01-01", "state": "finished", "features": digests, "config": {}}
    write_run(path, "r", record | {"versions": {}, "seconds": seconds, "media_seconds": 4.0 * clips, "shards": shards})
    return FeatureStore(path)


def _outcome(rng: np.random.Generator, spec: FeatureSpec, clip: Clip, i: int) -> Features | Failure:
    if i % 50 == 7:
        return Failure(clip.id, spec.name, ("undecodable", "no_audio", "timeout")[i // 50 % 3], f"{clip.id}: no")
    n = 1 if spec.level == "utterance" else round(4.0 / (spec.hop or 0.04))
    values = rng.random((n, len(spec.columns)), np.float32) * (i % 50 != 9)
    edges = np.linspace(0, 4.0, n + 1)
    return Features(values, np.stack([edges[:-1], edges[1:]], axis=1), np.ones(n, np.bool_))


def _open_seconds(page: Path) -> float:
    """Seconds until Chromium shows the page with all charts and the table."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = Options()
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"):
        options.add_argument(argument)
    with tempfile.TemporaryDirectory() as folder:
        options.add_argument(f"--user-data-dir={folder}")
        driver = webdriver.Chrome(options, Service(shutil.which("chromedriver") or ""))
        try:
            driver.get("about:blank")
            begin = time.perf_counter()
            driver.get(page.as_uri())
            WebDriverWait(driver, 60, 0.02).until(lambda d: d.execute_script("return document.body.dataset.ready"))
            return time.perf_counter() - begin
        finally:
            driver.quit()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=30_000)
    parser.add_argument("--write", nargs=2, type=Path, help=argparse.SUPPRESS)  # in a process of its own
    given = parser.parse_args()
    if given.write:
        from flows.report.pages import write_report

        begin = time.perf_counter()
        write_report(FeatureStore(given.write[0]), given.write[1])
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.write(f"{time.perf_counter() - begin} {held}\n")
        return
    with tempfile.TemporaryDirectory(prefix="merflow-report-") as folder:
        store, out = Path(folder) / "s", Path(folder) / "report"
        build(store, given.clips)
        command = [sys.executable, "-m", "benchmarks.report", "--write", str(store), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, held = map(float, done.stdout.split())
        index = [out / "index.html", *(out / "assets").iterdir()]
        size = sum(path.stat().st_size for path in index) / 2**20
        found = {"clips": given.clips, "seconds": seconds, "mib": held, "page_mib": size}
        must = {"seconds": MOST_SECONDS, "mib": MOST_MIB, "page_mib": MOST_PAGE_MIB, "open_seconds": MOST_OPEN}
        if shutil.which("chromium") and shutil.which("chromedriver"):
            found["open_seconds"] = _open_seconds(out / "index.html")
        else:
            sys.stderr.write("no chromium and chromedriver here: opening was not measured\n")
        report("report", max(found[name] / most for name, most in must.items() if name in found), **found)


if __name__ == "__main__":
    main()
