"""Action units of the main face: merflow's stage against stock py-feat, in one run, with the same seeded weights.

    python -m benchmarks.faces [--clips FOLDER] [--frames 16] [--repeats 2] [--threads 2] [--no-compile]

The network has the configuration of py-feat's checkpoints since v2.5 (9.6 GFLOP a face) and comes out of one file in
py-feat's own format for both. Stock is `Detectorv2(identity_model=None).detect`, fed with decoded frames, while
merflow decodes too. Its batch size is the faster one of 1 and 4 in the first round. It is held to one face a frame, or
seeded weights would have it see hundreds: threshold 1.1, and a RetinaFace whose seeded weights say "background"
everywhere, so that it pays for its network but not for sorting out boxes that trained weights would never give. Clips
whose first frames do not all show a face are left out: merflow would save their network passes.

Every round runs all candidates on one clip, one after another; ratios are medians over rounds. `ratio` is stock over
merflow, eager, with the clips as they are; 1080p is the same clips scaled so that their short side is 1080. The stage
against its own network (`stage_over_network`) takes more frames of each clip, without stock: few frames would count the
last one, which is always looked at, and the opening of the file too often.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np

from benchmarks._report import report
from configs.sections import Faces
from configs.weights import RandomWeights, Weights
from extractors.action_units.face_crops import cut_face, face_square, normalised
from extractors.core.extractor import build_extractor, resolve_dependencies
from extractors.core.faces.main_face import find_main_face
from extractors.core.media.clip_media import Media
from extractors.core.networks.pyfeat import _write_random, feat_module, find_weights
from extractors.core.networks.random_weights import seeded
from flows.cli.demo import demo_clips
from storage.clip import Clip
from storage.vocabulary.face_columns import FACES

STOCK_BATCHES = (1, 4)
STOCK = "stock"
PARTS = ("decode", "faces", "prepare", "model", "columns")
Round = dict[str, float]  # seconds a frame by candidate


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=Path, default=None)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--stage-frames", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-compile", action="store_true")
    given = parser.parse_args()
    compiled = not given.no_compile and shutil.which("g++") is not None
    import torch

    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = _write_random(
            folder / "au.safetensors", find_weights(Weights(random=RandomWeights(seed=0, size="full")))
        )
        bench = Bench(weights, folder, compiled)
        clips = usable(given.clips or demo_clips(), given.frames)
        print(
            f"the first {given.frames} frames of {', '.join(c.stem for c in clips)}; {given.threads} threads",
            flush=True,
        )
        plain = bench.rounds(clips, given.frames, given.repeats)
        print_rounds("as they are", plain)
        large = bench.rounds([scaled(c, folder, given.frames) for c in clips], given.frames, 1)
        print_rounds("1080p", large)
        longer = usable(given.clips or demo_clips(), given.stage_frames)
        stage = bench.rounds(longer, given.stage_frames, given.repeats, ())
        larger = bench.rounds([scaled(c, folder, given.stage_frames) for c in longer], given.stage_frames, 1, ())
        print_rounds("stage alone, as they are", stage)
        print_rounds("stage alone, 1080p", larger)
    summary = {f"{key}_1080p": value for key, value in (figures(large) | stage_figures(larger)).items()}
    result = figures(plain) | stage_figures(stage)
    report("faces", result.pop("ratio"), **result, **summary, threads=given.threads)


class Bench:
    """Stock py-feat and merflow's stage with the same weights, eager and compiled.

    Args:
        weights: Checkpoint of the multitask network.
        folder: Where RetinaFace's weights may be written.
        compiled: Whether to measure `compile: true` as well.
    """

    def __init__(self, weights: Path, folder: Path, compiled: bool) -> None:
        self._stock = stock(weights, folder)
        self._ours = {"eager": self._extractor(weights, compile=False)}
        if compiled:
            self._ours["compiled"] = self._extractor(weights, compile=True)

    @staticmethod
    def _extractor(weights: Path, **options: Any) -> Any:
        au_options = {"weights": {"local": str(weights)}, **options}
        faces, made = build_extractor("faces", FACES, {}), build_extractor("action_units", "au", au_options)
        for extractor in resolve_dependencies([faces, made]):
            extractor.load("cpu")
        return made

    def rounds(
        self, clips: list[Path], frames: int, repeats: int, batches: Sequence[int] = STOCK_BATCHES
    ) -> list[Round]:
        """One round per clip and repeat; stock at the batch size that is faster in the first round, if at any."""
        if not batches:
            return [self._round(clip, frames, ()) for clip in clips * repeats]
        self._round(clips[0], 4, STOCK_BATCHES)  # first calls lay out weights and caches
        first = self._round(clips[0], frames, STOCK_BATCHES)
        size = min(STOCK_BATCHES, key=lambda size: first[f"stock, batch {size}"])
        print(
            "first round: " + ", ".join(f"{name} {1000 * first[name]:.0f} ms" for name in list(first)[:2]), flush=True
        )
        rest = (clips * repeats)[1:]
        rounds = [first] + [self._round(clip, frames, (size,)) for clip in rest]
        return [{STOCK: found[f"stock, batch {size}"], **found} for found in rounds]

    def _round(self, clip: Path, frames: int, sizes: Sequence[int]) -> Round:
        import torch

        media = opened(clip, frames)
        pixels = np.stack([frame.rgb() for frame in media.frames()]).transpose(0, 3, 1, 2)
        tensor, faces = torch.from_numpy(np.ascontiguousarray(pixels)), prepared(media)
        found = {f"stock, batch {n}": timed(partial(self._detect, tensor, n)) / frames for n in sizes}
        for name, made in self._ours.items():
            made.seconds.clear()
            found[name] = timed(partial(self._stage, made, clip, frames)) / frames
            found |= {f"{name} {part}": made.seconds[part] / frames for part in PARTS}
            found[f"{name} network alone"] = timed(partial(forward, made, faces)) / frames
        return found

    def _detect(self, frames: Any, size: int) -> None:
        table = self._stock.detect(
            frames, data_type="tensor", batch_size=size, face_detection_threshold=1.1, progress_bar=False
        )
        if len(table) != len(frames):
            raise SystemExit(f"stock ran its network {len(table)} times on {len(frames)} frames")

    @staticmethod
    def _stage(made: Any, clip: Path, frames: int) -> None:
        with made.timed("decode"):
            media = opened(clip, frames)
        with made.timed("faces"):
            media.set_feature(FACES, build_extractor("faces", FACES, {}).extract([media])[0])
        [features] = made.extract([media])
        if features.valid.sum() != frames:
            raise SystemExit(f"{clip.name}: {features.valid.sum()} of {frames} frames have a face")


def stock(weights: Path, folder: Path) -> Any:
    """py-feat's Detectorv2, loaded by its own code from weights on disk."""
    from safetensors.torch import save_file

    model = feat_module("face_detectors.Retinaface.Retinaface_model")
    state = seeded(0, lambda: model.RetinaFace(model.RETINAFACE_R34_CFG)).state_dict()
    for name in state:
        if name.startswith("ClassHead") and name.endswith("bias"):
            state[name] = state[name].new_tensor([0.0, -30.0]).repeat(len(state[name]) // 2)  # background, face
    file = folder / "retinaface.safetensors"
    save_file(state, str(file))
    with mock.patch("feat.utils.hf_hub_download_with_fallback", return_value=str(file)):
        return feat_module("detector_v2").Detectorv2(identity_model=None, multitask_weights=str(weights))


def opened(clip: Path, frames: int) -> Media:
    """The first frames of a clip, decoded."""
    media = Media(Clip("clip", video=clip.name, end=middle_of_frame(clip, frames - 1)), clip.parent, audio=False)
    media.decode()
    return media


@lru_cache
def middle_of_frame(clip: Path, index: int) -> float:
    media = Media(Clip("clip", video=clip.name), clip.parent, audio=False)
    media.decode()
    times = media.frame_times()
    return float(times[min(index, len(times) - 1)].mean())


def usable(folder: Path, frames: int) -> list[Path]:
    """The folder's clips whose first frames are there and all show a face."""
    chosen = []
    for clip in sorted(p for p in folder.iterdir() if p.suffix in {".mp4", ".mov"}):
        valid = find_main_face(opened(clip, frames), Faces()).valid
        if len(valid) == frames and valid.all():
            chosen.append(clip)
    if not chosen:
        raise SystemExit(f"{folder}: no clip whose first {frames} frames all show a face")
    return chosen


def scaled(clip: Path, folder: Path, frames: int) -> Path:
    """A copy of a clip's first frames whose short side is 1080 pixels."""
    made = folder / f"{clip.stem}.mp4"
    with av.open(str(clip)) as source, av.open(str(made), "w") as target:
        given = source.streams.video[0]
        factor = 1080 / min(given.width, given.height)
        stream = target.add_stream("libx264", rate=given.average_rate, options={"preset": "fast", "crf": "20"})
        stream.width, stream.height = (2 * round(side * factor / 2) for side in (given.width, given.height))
        stream.pix_fmt = "yuv420p"
        for frame, _ in zip(source.decode(given), range(frames + 1), strict=False):
            larger = frame.reformat(stream.width, stream.height, "yuv420p", interpolation="BICUBIC")
            target.mux(stream.encode(larger))
        target.mux(stream.encode())
    return made


def prepared(media: Media) -> list[Any]:
    """The network's input in batches of 4, as the stage makes it."""
    import torch

    boxes = find_main_face(media, Faces()).boxes
    faces = np.stack([cut_face(f.rgb(), face_square(boxes[f.index])) for f in media.frames()])
    return [torch.from_numpy(normalised(faces[i : i + 4])) for i in range(0, len(faces), 4)]


def forward(made: Any, batches: list[Any]) -> None:
    import torch

    with torch.inference_mode():
        for batch in batches:
            made._network._model(batch)


def timed(call: Callable[[], None]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def figures(rounds: list[Round]) -> dict[str, float]:
    """Ratios and raw medians of some rounds."""
    names = [name for name in ("eager", "compiled") if name in rounds[0]]
    found = {f"{name}_ratio": median_ratio(rounds, STOCK, name) for name in names}
    found |= {f"{name}_s": median(rounds, name) for name in (STOCK, *names)}
    return {"ratio" if key == "eager_ratio" else key: round(value, 4) for key, value in found.items()}


def stage_figures(rounds: list[Round]) -> dict[str, float]:
    """How much more than its network's forward passes the whole stage takes."""
    return {"stage_over_network": round(median_ratio(rounds, "eager", "eager network alone"), 4)}


def print_rounds(title: str, rounds: list[Round]) -> None:
    print(f"\n{title}: median ms a frame over {len(rounds)} rounds (lowest to highest)")
    for name in rounds[-1]:
        values = [1000 * r[name] for r in rounds]
        print(f"  {name:<24}{statistics.median(values):8.1f}   ({min(values):.1f} to {max(values):.1f})")
    seconds = {part: sum(r[f"eager {part}"] for r in rounds) for part in PARTS}
    shares = ", ".join(f"{part} {spent / sum(seconds.values()):.1%}" for part, spent in seconds.items())
    print(f"  shares of the eager stage: {shares}")
    print(f"  ratios: {(figures(rounds) if STOCK in rounds[0] else {}) | stage_figures(rounds)}", flush=True)


def median(rounds: list[Round], name: str) -> float:
    return statistics.median(r[name] for r in rounds)


def median_ratio(rounds: list[Round], above: str, below: str) -> float:
    return statistics.median(r[above] / r[below] for r in rounds)


if __name__ == "__main__":
    main()
