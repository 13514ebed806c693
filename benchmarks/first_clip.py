"""When a run of the engine `local` begins to decode, against the import of torch and the Prefect server's first answer.

python -m benchmarks.first_clip [--seconds 60]

One clip of video and audio, GeMAPS and a HuBERT with tiny random weights, a home folder without a server. Seconds count
from the start of the command; `plain` is PyAV alone in a process of its own: from its start to the first frame, and to
the last. The ratio is that of decoding's begin to the server's first answer; it must be below 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import av
import numpy as np

from benchmarks._report import report
from configs.home import host_name
from flows.prefect_server import is_healthy

WATCH = """
import os, sys, threading, time
from pathlib import Path
log = Path({log!r})
def note(what):
    with log.open("a") as file:
        file.write(f"{{what}} {{time.time()}}\\n")
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            note("torch")
sys.meta_path.insert(0, Finder())
def watch():
    while True:
        media = sys.modules.get("extractors.core.media.clip_media")
        if media is not None and hasattr(media, "Media"):
            decode = media.Media.decode
            def noted(self):
                note("decode")
                decode(self)
                note("decoded")
            media.Media.decode = noted
            return
        time.sleep(0.001)
threading.Thread(target=watch, daemon=True).start()
"""
PLAIN = """
import sys, time
begin = time.time()
import av
with av.open(sys.argv[1]) as container:
    for number, frame in enumerate(container.decode(video=0)):
        if not number:
            print(time.time())
print(time.time())
"""
CONFIG = """
extractors:
  - {name: gemaps}
  - {name: hubert, weights: {random: {seed: 0, size: tiny}}}
  - {name: quality}
"""


def measure(folder: Path, seconds: float) -> dict[str, float]:
    """Seconds from the command's start to each event."""
    (folder / "clips").mkdir()
    _write_clip(folder / "clips" / "a.mp4", seconds)
    (folder / "c.yaml").write_text(CONFIG, encoding="utf-8")
    log = folder / "events"
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCH.format(log=str(log)), encoding="utf-8")
    clean = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {"MERFLOW_HOME": str(folder / "home")}
    merflow = [sys.executable, "-m", "flows.cli"]
    subprocess.run([*merflow, "ingest", folder / "clips", "--out", folder / "m.parquet"], env=clean, check=True)
    begin = time.time()
    run = subprocess.Popen(
        [*merflow, "run", "-c", folder / "c.yaml", "-m", folder / "m.parquet", "-s", folder / "s", "--engine", "local"],
        env=clean | {"PYTHONPATH": f"{folder / 'watch'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )
    server = threading.Thread(target=_await_server, args=(folder / "home", log, run), daemon=True)
    server.start()
    if run.wait() != 0:
        raise RuntimeError("the run failed")
    server.join()
    events: dict[str, float] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        what, at = line.split()
        events.setdefault(what, float(at) - begin)
    begin = time.time()
    command = [sys.executable, "-c", PLAIN, str(folder / "clips" / "a.mp4")]
    first, last = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return events | {"plain_first": float(first) - begin, "plain_last": float(last) - begin}


def _write_clip(path: Path, seconds: float) -> None:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("mpeg4", rate=25), container.add_stream("aac", rate=16_000)
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        for number in range(int(seconds * 25)):
            pixels = np.full((360, 640, 3), number % 256, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        for _ in range(int(seconds)):
            samples = rng.normal(0, 0.1, (1, 16_000)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate = 16_000
            container.mux(audio.encode(frame))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def _await_server(home: Path, log: Path, run: subprocess.Popen[bytes]) -> None:
    state = home / "prefect" / host_name() / "server.json"
    while run.poll() is None:
        if state.exists() and is_healthy(json.loads(state.read_text(encoding="utf-8")).get("url")):
            with log.open("a", encoding="utf-8") as file:
                file.write(f"server {time.time()}\n")
            return
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    with tempfile.TemporaryDirectory() as folder:
        events = measure(Path(folder), parser.parse_args().seconds)
    after = {name: round(at, 2) for name, at in events.items()}
    report("first_clip", ratio=events["decode"] / events.get("server", float("nan")), seconds=after)


if __name__ == "__main__":
    main()
