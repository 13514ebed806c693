"""Long media: segments of one film against one decoding of it, and the peak memory of a worker with hours of sound.

python -m benchmarks.long_media [--film-minutes 60] [--sound-minutes 120]

Generated media, GeMAPS, faces (`center`) and a HuBERT with tiny random weights. The ratio is the wall time of a shard
of all 2 s segments to that of decoding the film once plus the extractors' own seconds; most is 1.2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from benchmarks._report import report

SECONDS = 2.0
MEASURE = """
import json, resource, sys, time
from dataclasses import replace
from pathlib import Path
from configs.schema import RunConfig
from extractors.core.media.clip_media import Media
from flows.job import Job
from flows.plan import build_extractors, make_context
from flows.worker import extract_shard
from storage.clip import Clip
from storage.records import Shard
from storage.store.store import FeatureStore

folder, wanted, clips = Path(sys.argv[1]), json.loads(sys.argv[2]), [Clip(**c) for c in json.loads(sys.argv[3])]
FeatureStore.create(folder / "store")
config = RunConfig.model_validate(wanted)
context = make_context("r", config, folder / "store", {"c": folder}, build_extractors(config))
warm = Clip("warm", video=clips[0].video, audio=clips[0].audio, start=0.0, end=1.0)
names = list(context.specs)
def run(name, clips):
    return extract_shard(Job(Shard(name, tuple(clips)), {c.id: dict.fromkeys(names, 1) for c in clips}, context))
run("w", [warm])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.perf_counter()
report = run("s", clips)
seconds = time.perf_counter() - begin
own = sum(report.seconds[name] for name in names)
begin = time.perf_counter()
if clips[0].video:
    media = Media(replace(clips[0], start=None, end=None), folder, frame_cache_bytes=0)
    media.decode()
print(json.dumps({
    "seconds": seconds, "own": own, "decoding": time.perf_counter() - begin,
    "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    "outcomes": dict(report.outcomes),
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--film-minutes", type=float, default=60)
    parser.add_argument("--sound-minutes", type=float, default=120)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        film, sound = Path(scratch) / "film", Path(scratch) / "sound"
        for folder in (film, sound):
            folder.mkdir()
        seconds = 60 * arguments.film_minutes
        write_film(film / "film.mp4", seconds)
        starts = np.arange(0, seconds - SECONDS + 0.01, SECONDS * max(1.0, seconds / SECONDS / 1000)).tolist()
        clips = [
            {"id": f"s{i}", "video": "film.mp4", "audio": "film.mp4", "start": t, "end": t + SECONDS}
            for i, t in enumerate(starts)
        ]
        entries = [{"name": "gemaps"}, {"name": "faces"}]
        config: dict[str, object] = {"extractors": entries, "faces": {"detector": "center"}}
        segments = measure(film, config, clips)
        write_sound(sound / "sound.wav", 60 * arguments.sound_minutes)
        hubert = {"name": "hubert", "weights": {"random": {"size": "tiny"}}}
        audio = measure(sound, {"extractors": [{"name": "gemaps"}, hubert]}, [{"id": "a", "audio": "sound.wav"}])
        ratio = segments["seconds"] / (segments["decoding"] + segments["own"])
        report("long_media", ratio=ratio, most=1.2, segments=len(clips), film=segments, sound=audio)


def measure(folder: Path, config: dict[str, object], clips: list[dict[str, object]]) -> dict[str, float]:
    """Run one shard in a process of its own."""
    command = [sys.executable, "-c", MEASURE, str(folder), json.dumps(config), json.dumps(clips)]
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{folder.name}: {found}, whole process {time.perf_counter() - begin:.0f} s", flush=True)
    return found


def write_film(path: Path, seconds: float) -> None:
    """A film of 320 x 240 at 25 frames a second with a tone."""
    with av.open(str(path), "w") as out:
        video, audio = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=48_000, layout="stereo")
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.options = {"preset": "ultrafast"}
        for second in range(int(seconds)):
            for frame in frames_of(second):
                out.mux(video.encode(frame))
            wave_form = 0.2 * np.sin(2 * np.pi * (200 + second % 100) * np.arange(48_000) / 48_000)
            samples = av.AudioFrame.from_ndarray(np.tile(wave_form.astype(np.float32), (2, 1)), "fltp", "stereo")
            samples.sample_rate = 48_000
            out.mux(audio.encode(samples))
        out.mux(video.encode(None) + audio.encode(None))


def frames_of(second: int) -> Iterator[av.VideoFrame]:
    rng = np.random.default_rng(second)
    base = np.kron(rng.integers(0, 255, (12, 16, 3), np.uint8), np.ones((20, 20, 1), np.uint8))
    for number in range(25):
        yield av.VideoFrame.from_ndarray(np.roll(base, 3 * number, axis=1), format="rgb24")


def write_sound(path: Path, seconds: float) -> None:
    """Noise, 16 kHz mono."""
    rng = np.random.default_rng(0)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        for _ in range(int(seconds)):
            file.writeframes((3000 * rng.standard_normal(16_000)).astype(np.int16).tobytes())


if __name__ == "__main__":
    main()
