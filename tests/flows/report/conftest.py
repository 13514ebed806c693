"""A browser, and a store in which everything happened that a report tells of."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from storage.clip import Clip
from storage.errors import REASONS
from storage.manifest import write_manifest
from storage.records import Failure, Features, FeatureSpec
from storage.store.runs import write_run
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore

GEMAPS = FeatureSpec("gemaps", "gemaps", "audio", "frame", ("Loudness_sma3", "F0semitoneFrom27.5Hz_sma3nz"), hop=0.01)
HUBERT = FeatureSpec(
    "hubert", "hubert", "audio", "frame", tuple(f"h{i}" for i in range(32)), hop=0.02, synthetic=True,
    weights={"random": {"seed": 0}},
)  # fmt: skip
QUALITY = FeatureSpec(
    "quality", "quality", "video", "utterance", ("face_share", "most_faces", "track_count", "sharpness", "duration")
)
SPECS = (GEMAPS, HUBERT, QUALITY)
GOOD = 30
EVIL = "<script>alert(1)</script>"


def rows(spec: FeatureSpec, seconds: float, seed: int) -> Features:
    rng = np.random.default_rng(seed)
    if spec.level == "utterance":
        values = [[float(seed % 3 > 0), 1 + seed % 2, 1, 50, seconds]]
        return Features(np.array(values, np.float32), np.array([[0, seconds]]), np.ones(1, np.bool_))
    n = round(seconds / (spec.hop or 1))
    valid = np.arange(n) % 7 != 5
    values = rng.uniform(0, 1, (n, len(spec.columns))).astype(np.float32)
    values[~valid] = np.nan
    start = np.arange(n) * (spec.hop or 1)
    return Features(values, np.stack([start, start + (spec.hop or 1)], axis=1), valid)


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> FeatureStore:
    """Thirty good clips, one clip for each reason, one skipped, one missing; its texts try to be scripts."""
    path = tmp_path_factory.mktemp("everything") / "s"
    made = FeatureStore.create(path)
    good = [
        Clip(f"good_{i:02d}", split=("train", "test")[i % 2], label=("happy", EVIL)[i % 2], speaker=f"s{i % 5}",
             text=EVIL, duration=1.0 + i / 10)
        for i in range(GOOD)
    ]  # fmt: skip
    bad = [Clip(f"bad_{reason}", split="train", speaker=reason, duration=1.0) for reason in REASONS]
    others = [Clip("skipped", duration=1.0), Clip("missing", duration=1.0)]
    write_manifest(path / "manifest.parquet", [*good, *bad, *others], root=path, corpus="meld")
    for spec in SPECS:
        entries = [Entry(clip.id, rows(spec, clip.duration or 1, i)) for i, clip in enumerate(good)]
        entries += [
            Entry(clip.id, Failure(clip.id, spec.name, reason, f"{EVIL} {reason}"))
            for clip, reason in zip(bad, REASONS, strict=True)
        ]
        entries.append(Entry("skipped", Failure("skipped", spec.name, "no_text", "x", state="skipped")))
        made.put("r-0", spec, entries, {})
    shards = [
        {"worker": f"w-{i % 2}", "clips": 10, "seconds": 2.0 + i, "finished": f"2026-01-01T0{i}:00:00Z"}
        for i in range(4)
    ]  # fmt: skip
    record = {
        "run": "r", "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T04:00:00Z", "state": "finished",
        "features": {spec.name: spec.digest for spec in SPECS}, "config": {}, "versions": {}, "media_seconds": 90.0,
        "seconds": {"decode": 3.0, "gemaps": 2.0, "hubert": 9.0, "hubert.model": 8.0, "write": 0.5}, "shards": shards,
        "outcomes": {"stored": 90, "failed": 60, "skipped": 3},
    }  # fmt: skip
    write_run(path, "r", record)
    return FeatureStore(path)


CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Callable[..., webdriver.Chrome]]:
    """Opens a page from disk in headless Chromium, waits until it is ready, and refuses what it complains about."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium and chromedriver on this machine: `make browser` installs Debian's")
    options = Options()
    options.binary_location = CHROMIUM
    own = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
    quiet = ("--disable-background-networking", "--disable-component-update", "--mute-audio")
    folder = f"--user-data-dir={tmp_path_factory.mktemp('browser')}"
    for argument in (*own, *quiet, folder, "--autoplay-policy=no-user-gesture-required", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))

    def opened(path: Path, width: int = 1280) -> webdriver.Chrome:
        driver.set_window_size(width, 900)
        driver.get(path.as_uri())
        WebDriverWait(driver, 20).until(lambda page: page.execute_script("return document.body.dataset.ready"))
        said = [entry["message"] for entry in driver.get_log("browser") if "favicon" not in entry["message"]]
        assert said == []
        return driver

    try:
        yield opened
    finally:
        driver.quit()
