"""Long media: segments of one film against one decoding of it, and the peak memory of a worker that has much in hand.

python -m benchmarks.long_media [--film-minutes 60] [--sound-minutes 120] [--video-minutes 10] [--only film,sound,...]

Generated media, networks with tiny random weights. `film`: all 2 s segments of a film with GeMAPS and faces (`center`);
the ratio is the wall time of their shard to that of decoding the film once plus the extractors' own seconds; most is
1.2. `sound`: hours of sound with GeMAPS and HuBERT; `video`: minutes of 1920 x 1080 as one clip with faces, quality,
VideoMAE and MAE; `sixteen`: sixteen clips of 20 s of it at once, as on a GPU. Memory is the peak beyond that after a
warm-up that loaded everything, in MB; most is 2,000 (without the film, the ratio is the share of that).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks._report import report

SECONDS = 2.0
FULL_HD = 6
AT_ONCE = 16
MOST_MB = 2000
TINY = {"weights": {"random": {"size": "tiny"}}}
LOOKING: list[Mapping[str, object]] = [
    {"name": "faces"},
    {"name": "quality"},
    {"name": "videomae", **TINY},
    {"name": "mae", **TINY},
]
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
if len(sys.argv) > 4:
    from extractors.core.networks.network_extractor import NetworkExtractor
    NetworkExtractor.clips_at_once = property(lambda self: int(sys.argv[4]))
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
    "seconds": seconds, "waited": report.waited, "own": own, "decoding": time.perf_counter() - begin,
    "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    "outcomes": dict(report.outcomes),
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--film-minutes", type=float, default=60)
    parser.add_argument("--sound-minutes", type=float, default=120)
    parser.add_argument("--video-minutes", type=float, default=10)
    parser.add_argument("--only", default=",".join(MEASURES))
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.only.split(","):
            folder = Path(scratch) / name
            folder.mkdir()
            found[name] = MEASURES[name](folder, arguments)
            shutil.rmtree(folder)
    most_mb = max(measured["megabytes"] for measured in found.values())
    film = found.get("film")
    ratio = film["seconds"] / (film["decoding"] + film["own"]) if film else most_mb / MOST_MB
    report("long_media", ratio=ratio, most=1.2, megabytes=round(most_mb), most_megabytes=MOST_MB, **found)


def measure_film(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Segments of a film."""
    seconds = 60 * arguments.film_minutes
    write_film(folder / "film.mp4", seconds)
    starts = np.arange(0, seconds - SECONDS + 0.01, SECONDS * max(1.0, seconds / SECONDS / 1000)).tolist()
    clips = [
        {"id": f"s{i}", "video": "film.mp4", "audio": "film.mp4", "start": t, "end": t + SECONDS}
        for i, t in enumerate(starts)
    ]
    return measure(folder, [{"name": "gemaps"}, {"name": "faces"}], clips)


def measure_sound(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Hours of sound as one clip."""
    write_sound(folder / "sound.wav", 60 * arguments.sound_minutes)
    return measure(folder, [{"name": "gemaps"}, {"name": "hubert", **TINY}], [{"id": "a", "audio": "sound.wav"}])


def measure_video(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Minutes of 1920 x 1080 as one clip."""
    write_film(folder / "video.mp4", 60 * arguments.video_minutes, FULL_HD)
    return measure(folder, LOOKING, [{"id": "v", "video": "video.mp4", "audio": "video.mp4"}])


def measure_sixteen(folder: Path, _: argparse.Namespace) -> dict[str, Any]:
    """Sixteen clips of 1920 x 1080 at once."""
    clips = [{"id": f"c{i}", "video": f"c{i}.mp4", "audio": f"c{i}.mp4"} for i in range(AT_ONCE)]
    for clip in clips:
        write_film(folder / clip["video"], 20.0, FULL_HD)
    return measure(folder, LOOKING, clips, AT_ONCE)


def measure(
    folder: Path, entries: Sequence[Mapping[str, object]], clips: Sequence[Mapping[str, object]], at_once: int = 0
) -> dict[str, float]:
    """Run one shard in a process of its own.

    Args:
        folder: Where the media are.
        entries: The extractors.
        clips: The clips.
        at_once: How many go through the networks together; as many as there would be here if 0.
    """
    config = {"extractors": entries, "faces": {"detector": "center"}}
    command = [sys.executable, "-c", MEASURE, str(folder), json.dumps(config), json.dumps(clips)]
    command += [str(at_once)] if at_once else []
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{folder.name}: {found}, whole process {time.perf_counter() - begin:.0f} s", flush=True)
    return found


def write_film(path: Path, seconds: float, scale: int = 1) -> None:
    """A film at 25 frames a second with a tone.

    Args:
        path: The file.
        seconds: Its length.
        scale: How many times 320 x 180 pixels.
    """
    with av.open(str(path), "w") as out:
        video, audio = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=48_000, layout="stereo")
        video.width, video.height, video.pix_fmt = 320 * scale, 180 * scale, "yuv420p"
        video.options = {"preset": "ultrafast"}
        for second in range(int(seconds)):
            for frame in frames_of(second, scale):
                out.mux(video.encode(frame))
            wave_form = 0.2 * np.sin(2 * np.pi * (200 + second % 100) * np.arange(48_000) / 48_000)
            samples = av.AudioFrame.from_ndarray(np.tile(wave_form.astype(np.float32), (2, 1)), "fltp", "stereo")
            samples.sample_rate = 48_000
            out.mux(audio.encode(samples))
        out.mux(video.encode(None) + audio.encode(None))


def frames_of(second: int, scale: int) -> Iterator[av.VideoFrame]:
    rng = np.random.default_rng(second)
    size = 20 * scale
    base = np.kron(rng.integers(0, 255, (9, 16, 3), np.uint8), np.ones((size, size, 1), np.uint8))
    for number in range(25):
        yield av.VideoFrame.from_ndarray(np.roll(base, 3 * number, axis=1), format="rgb24")


def write_sound(path: Path, seconds: float) -> None:
    """Noise, 16 kHz mono."""
    rng = np.random.default_rng(0)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        for _ in range(int(seconds)):
            file.writeframes((3000 * rng.standard_normal(16_000)).astype(np.int16).tobytes())


MEASURES = {"film": measure_film, "sound": measure_sound, "video": measure_video, "sixteen": measure_sixteen}

if __name__ == "__main__":
    main()
