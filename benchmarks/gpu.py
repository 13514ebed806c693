"""HuBERT-large on a GPU: bf16 in batches of 16 against the reference style, one clip at a time in float32.

    python -m benchmarks.gpu [--seconds S] [--clips N] [--videos V] [--device cpu]

Needs torch, transformers, numpy and h5py only, beside this repository; the last figure needs its whole environment.
Weights are random, of full size; clips are noise of S seconds give or take a third, so that batches are of mixed
length. Both ways start from audio in this machine's memory and end with float32 rows on its disk: one HDF5 file, or one
.npy file per clip. They take turns; medians count.

`ratio` is clips per second of bf16 in batches over those of the reference style. `utilisation` is the share of the wall
time in which the GPU ran any kernel. `rate_share` is the share of the card's own matrix rate, measured here by large
products of the same type, that the network's operations (padding included) come to. `waiting` is the share of the wall
time of one shard, once its networks are loaded, in which they had nothing to do, for the next clips were not decoded
yet: V videos of 10 s, 1280 x 720, through the path of a run, with HuBERT, VideoMAE and MAE of full size; at most 0.1 is
wanted. Without a GPU nothing is measured, and the line says so; `--device cpu` tries `waiting` alone, with tiny
networks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
import torch

from extractors.core.networks.batching import Batcher
from extractors.core.networks.runtime import Precision, memory_budget, prepare, torch_dtype

BATCH, ROUNDS, RATE, WINDOW, HOP = 16, 3, 16_000, 400, 320
SAMPLE_BYTES = 2_000  # as in extractors/hubert/
LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
MATRIX, PRODUCTS = 8192, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--videos", type=int, default=48)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    given = parser.parse_args()
    if given.device == "cpu":
        print(json.dumps({"benchmark": "gpu", "ratio": None, "measured": False} | waiting(given.videos, "tiny")))
        return
    if not torch.cuda.is_available():
        print("no GPU: nothing was measured")
        print(json.dumps({"benchmark": "gpu", "ratio": None, "measured": False, "machine": {"gpus": 0}}))
        return
    found = measure("cuda", waveforms(given.clips, given.seconds), LARGE, MATRIX)
    card = {"gpus": torch.cuda.device_count(), "gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    ratio = found["bf16_batch"]["clips_per_s"] / found["float32_single"]["clips_per_s"]
    line = {"benchmark": "gpu", "ratio": round(ratio, 2), "measured": True, "batch": BATCH, "clips": given.clips}
    print(json.dumps(line | found | waiting(given.videos, "full") | {"machine": card}))


def waveforms(clips: int, seconds: float) -> list[np.ndarray]:
    """Noise of mixed length, (N,) float32 each."""
    random = np.random.default_rng(0)
    lengths = (random.uniform(2 / 3, 4 / 3, clips) * seconds * RATE).astype(int)
    return [random.normal(size=length).astype(np.float32) for length in lengths]


def measure(device: str, waves: list[np.ndarray], settings: dict[str, Any], matrix: int) -> dict[str, Any]:
    """Figures of both ways; the same code runs on a CPU, where there are no kernels to count."""
    ways = {"bf16_batch": Batched(device, "bf16", settings), "float32_single": Single(device, "float32", settings)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS + 1):
            for name, way in ways.items():
                spent = timed(partial(way.run, waves, Path(folder)))
                if turn:  # the first one picks algorithms and fills the allocator
                    seconds[name].append(spent)
        return {
            name: way.figures(statistics.median(seconds[name]), waves, Path(folder), matrix)
            for name, way in ways.items()
        }


def waiting(videos: int, size: str) -> dict[str, Any]:
    """What the networks of one shard wait for, in the path of a run; nothing where merflow's environment is not here.

    Args:
        videos: How many.
        size: Of the random weights.
    """
    try:
        from benchmarks import long_media
    except ImportError as error:
        return {"waiting": None, "waiting_not_measured": str(error)}
    weights = {"weights": {"random": {"size": size}}}
    networks: list[dict[str, Any]] = [{"name": name, **weights} for name in ("hubert", "videomae", "mae")]
    with tempfile.TemporaryDirectory() as name:
        clips = [{"id": f"v{i}", "video": f"v{i}.mp4", "audio": f"v{i}.mp4"} for i in range(videos)]
        for clip in clips:
            long_media.write_film(Path(name) / clip["video"], 10.0, long_media.FULL_HD * 2 // 3)
        found = long_media.measure(Path(name), [{"name": "faces"}, *networks], clips)
    return {"waiting": round(found["waited"] / found["seconds"], 3), "videos": videos, "shard_s": found["seconds"]}


def stop(error: Exception) -> NoReturn:
    """A clip that did not fit makes the figures worthless."""
    raise SystemExit(f"not measured: {error}")


def timed(work: Callable[[], object]) -> float:
    """Wall seconds, until the device is done."""
    begin = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin


class Way:
    """A network on a device, and a way to get the rows of some waveforms out of it."""

    def __init__(self, device: str, precision: Precision, settings: dict[str, Any]) -> None:
        from transformers import HubertConfig, HubertModel

        torch.manual_seed(0)
        self.device, self.dtype = device, torch_dtype(precision)
        self.model = prepare(HubertModel(HubertConfig(**settings)), device, precision)

    def run(self, waves: list[np.ndarray], folder: Path) -> None:
        """From audio in memory to rows on disk."""
        raise NotImplementedError

    def figures(self, seconds: float, waves: list[np.ndarray], folder: Path, matrix: int) -> dict[str, float]:
        """What a pass that took so many seconds means."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            self.run(waves, folder)
        own, card = counter.get_total_flops() / seconds, self.matrix_rate(matrix)
        return {
            "clips_per_s": round(len(waves) / seconds, 2),
            "utilisation": round(self.busy(waves, folder), 3),
            "tflops": round(own / 1e12, 2),
            "matrix_tflops": round(card / 1e12, 2),
            "rate_share": round(own / card, 3),
        }

    def busy(self, waves: list[np.ndarray], folder: Path) -> float:
        """Share of the wall time in which a kernel ran; there is one stream, so that none overlap."""
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA] if self.device == "cuda" else None) as profiler:
            seconds = timed(lambda: self.run(waves, folder))
        return float(sum(event.self_device_time_total for event in profiler.key_averages())) / 1e6 / seconds

    def matrix_rate(self, size: int) -> float:
        """Operations per second in products of (size, size) matrices."""
        left, right = torch.randn(2, size, size, device=self.device).to(self.dtype)
        timed(lambda: left @ right)
        return 2 * size**3 * PRODUCTS / timed(lambda: [left @ right for _ in range(PRODUCTS)])


class Batched(Way):
    """As merflow: sorted by length, padded with a mask, 16 clips at once where they fit, one file."""

    def run(self, waves: list[np.ndarray], folder: Path) -> None:
        """From audio in memory to rows on disk."""
        rows: list[np.ndarray] = []
        budget = memory_budget(self.device) // SAMPLE_BYTES
        for start in range(0, len(waves), BATCH):
            batcher = Batcher(self.forward, cost=lambda wave: wave.size, budget=budget)
            for _, found in batcher.stream(waves[start : start + BATCH]):
                rows += [row if isinstance(row, np.ndarray) else stop(row) for row in found]
        with h5py.File(folder / "rows.h5", "w") as file:
            file["values"] = np.concatenate(rows)

    def forward(self, waves: list[np.ndarray]) -> list[np.ndarray]:
        """(steps, 1024) float32 of each audio of one batch."""
        lengths = torch.tensor([wave.size for wave in waves])
        audio = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waves], batch_first=True)
        mask = (torch.arange(audio.shape[1]) < lengths[:, None]).long().to(self.device)
        with torch.inference_mode():
            states = self.model(audio.to(self.device, self.dtype), attention_mask=mask).last_hidden_state
            host = states.float().cpu().numpy()
        return [row[: (int(n) - WINDOW) // HOP + 1] for row, n in zip(host, lengths, strict=True)]


class Single(Way):
    """As the reference scripts: one clip at a time, all hidden states, one file per clip."""

    def run(self, waves: list[np.ndarray], folder: Path) -> None:
        """From audio in memory to rows on disk."""
        for number, wave in enumerate(waves):
            with torch.no_grad():
                audio = torch.from_numpy(wave)[None].to(self.device)
                states = self.model(audio, output_hidden_states=True).hidden_states[-1]
            np.save(folder / f"{number}.npy", states[0].cpu().numpy())


if __name__ == "__main__":
    main()
