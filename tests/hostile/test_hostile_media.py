"""Four hundred hostile files as one corpus: the real commands end, nothing disappears, and no file reaches another."""

from __future__ import annotations

import json
import os
import threading
import time

import psutil
import pytest

from tests.hostile.build import CONTAINERS, build
from tests.traps import watched

GIB = 1 << 30


@pytest.fixture
def traps(tmp_path):
    with watched(tmp_path) as found:
        yield found


class Memory(threading.Thread):
    """The most memory that any process of a command held."""

    def __init__(self, part):
        super().__init__(daemon=True)
        self.part, self.most, self.who, self.ended = part, 0, [], threading.Event()

    def run(self):
        while not self.ended.wait(0.2):
            for process in psutil.process_iter():
                try:
                    if self.part in " ".join(process.cmdline()) or self.part in str(process.environ().get("PART")):
                        held = process.memory_info().rss
                        if held > self.most:
                            self.most, self.who = held, process.cmdline()
                except psutil.Error:
                    continue


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_corpus_of_them(command, traps, tmp_path):
    url, fifo, asked = traps
    folder, store, manifest = tmp_path / "hostile", tmp_path / "s", tmp_path / "m.parquet"
    folder.mkdir()
    entries = build(folder, url, fifo)
    media = [name for name in entries if "." in name and name != "folder.mp4"]
    assert len(media) >= 300
    growing, stop = folder / "growing.ts", threading.Event()
    whole = (folder / "good_ts.ts").read_bytes()

    def grow():
        while not stop.wait(0.05):
            with growing.open("ab") as file:
                file.write(whole[: os.getpid() % 900 + 100])

    grower = threading.Thread(target=grow)
    grower.start()
    time.sleep(0.2)
    config = tmp_path / "c.yaml"
    config.write_text(
        "extractors:\n  - {name: gemaps}\n  - {name: quality}\nfaces: {detector: center}\n"
        "cluster: {worker_gib: 2, clip_seconds: 30, seconds_per_second: 10, engine: local}\n"
        "no_audio: skip\nno_video: skip\n",
        encoding="utf-8",
    )
    part = str(tmp_path)
    memory = Memory(part)
    memory.start()
    ingested = json.loads(command("ingest", folder, "--out", manifest, "--json", PART=part).stdout)
    ran = command("run", "-c", config, "-m", manifest, "-s", store, expect=1, PART=part)
    stop.set()
    grower.join()
    memory.ended.set()
    memory.join()
    status = json.loads(command("status", store, "--json", expect=1).stdout)
    assert asked == []
    planned = len(media) + 1
    clips = status["clips"]
    assert clips["stored"] + clips["failed"] + clips["skipped"] == clips["planned"], clips
    assert status["missing"] == 0
    merged = planned - clips["planned"]  # a video and an audio file of one name are one clip
    assert merged == 0, ingested
    reasons = {f["clip_id"]: f["reason"] for f in status["failures"]}
    assert {"pipe", "socket", "loop", "nowhere", "empty_mp4", "lfs_mp4", "list_m3u8"} <= reasons.keys()
    assert reasons["empty_mp4"] == "empty_file"
    assert reasons["lfs_mp4"] == "lfs_pointer"
    assert not {"error", "crash"} & set(reasons.values()), {k: v for k, v in reasons.items() if v in {"error", "crash"}}
    good = {f"good_{suffix[1:]}" for suffix in CONTAINERS}
    assert not good & reasons.keys(), {name: reasons[name] for name in good & reasons.keys()}
    assert "Traceback" not in ran.stderr
    assert memory.most < 2.2 * GIB, (memory.most, memory.who)
