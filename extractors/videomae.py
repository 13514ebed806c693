"""VideoMAE: what a self-supervised video model sees in 16 frames of a clip.

Tong et al., "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training",
NeurIPS 2022. `uniform16` and `two_segment` are the samplings of the feature scripts of MERTools (Lian et al.,
arXiv:2401.03429), `eight_pairs` that of MERR's `maeV` scripts (Cheng et al., "Emotion-LLaMA", NeurIPS 2024).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from configs.errors import RunError
from configs.weights import Weights
from extractors.core.media.clip_media import Media
from extractors.core.networks.frame_network import FrameNetwork, FrameOptions
from extractors.core.networks.network_extractor import Array
from extractors.core.networks.scaling import IMAGENET, Pixels
from storage.records import Features, FeatureSpec

FRAMES = 16  # one pass of the model
TUBELET = 2  # frames in one row
ROWS = FRAMES // TUBELET
STRIDE = 4  # frames between those that `two_segment` takes
FULL: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 16,
    "num_frames": FRAMES,
    "tubelet_size": TUBELET,
    "use_mean_pooling": False,
}
TINY = FULL | {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
WIDE = TINY | {"hidden_size": 1024, "num_attention_heads": 16}


class VideoMAEOptions(FrameOptions):
    """Settings of VideoMAE.

    Attributes:
        weights: A VideoMAE of 16 frames in Hugging Face's layout, or `local` with `format: videomae-pth`, a file of
            VideoMAE's own code.
        sampling: Which frames. `uniform16`: 16 spread over the clip. `two_segment`: of every 4th frame the first 16
            and the last 16. `sliding`: windows of 16 neighbours. `eight_pairs`: two neighbours in the middle of each
            of 8 equal segments.
        stride: Frames from one window of `sliding` to the next; over 16 leaves some out, under 16 overlaps.
        last_norm: `model` applies the norm after the last block where the checkpoint has one; `none` leaves it out, as
            MERR's script does.
    """

    weights: Weights = Weights(hub="MCG-NJU/videomae-base")
    sampling: Literal["uniform16", "two_segment", "sliding", "eight_pairs"] = "uniform16"
    stride: int = Field(default=FRAMES, ge=1)
    last_norm: Literal["model", "none"] = "model"

    @model_validator(mode="after")
    def _stride_is_used(self) -> Self:
        if self.sampling != "sliding" and "stride" in self.model_fields_set:
            raise ValueError("stride is for sampling: sliding")
        return self


class VideoMAE(FrameNetwork[VideoMAEOptions]):
    """VideoMAE's last hidden state, averaged over the patches of each pair of frames."""

    name = "videomae"
    Options = VideoMAEOptions
    modality: ClassVar[Literal["video"]] = "video"
    licence = "MCG-NJU/videomae-base: CC BY-NC 4.0, non-commercial"
    model_types = ("videomae",)
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": FULL, "tiny": TINY, "wide": WIDE}
    setting_keys = (*FrameNetwork.setting_keys, "num_frames", "tubelet_size")
    weight_formats = ("videomae-pth", "hf")
    model_class = "VideoMAEModel"
    processor_class = "VideoMAEImageProcessor"
    # preprocessor_config.json of MCG-NJU/videomae-base, for random weights; the class's own defaults are others.
    processor_defaults: ClassVar[Mapping[str, Any]] = {
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "image_mean": IMAGENET[0],
        "image_std": IMAGENET[1],
    }

    def describe(self) -> FeatureSpec:
        """Width comes from `config.json` or the `.pth` file; hop and window vary with the clip's length.

        Raises:
            RunError: If the weights are not on this machine, or are not a VideoMAE of 16 frames.
        """
        options = self.options
        stride = {"stride": options.stride} if options.sampling == "sliding" else {}
        return self.network_spec(
            modality="video",
            level=options.level,
            columns=tuple(f"videomae_{i}" for i in range(self._settings["hidden_size"])),
            recipe=self.frame_recipe()
            | {"sampling": options.sampling, "last_norm": options.last_norm}
            | stride
            | ({"script_order": "window by window"} if options.sampling == "two_segment" else {}),
            source="VideoMAE (transformers)",
        )

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Refuse a VideoMAE of other than 16 frames in tubelets of 2.

        Raises:
            RunError: Which setting differs.
        """
        for key, value in (("num_frames", FRAMES), ("tubelet_size", TUBELET)):
            if settings[key] != value:
                raise RunError(f"videomae: {key} is {settings[key]}, expected {value}")

    def load(self, device: str) -> None:
        """Load the model and what sizes and scales its frames.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        if self.options.last_norm == "model":
            self.load_frames(device)
        else:
            self.load_frames(device, _without_norm, variant="no last norm")

    def units(self, media: Media) -> Iterator[Pixels]:
        """(16, 3, side, side) of each window; none without a face. Frames are held while a window needs them.

        Raises:
            ClipError: `no_video`, or why the file could not be read.
        """
        boxes = self.boxes(media)
        windows = self._windows(media, boxes)
        held: dict[int, Pixels] = {}
        done = 0
        for index, pixels in self.fitted(media, set(windows.ravel().tolist()), boxes):
            held[index] = pixels
            while done < len(windows) and windows[done].max() <= index:
                yield np.stack([held[int(i)] for i in windows[done]])
                done += 1
                needed = windows[done].min() if done < len(windows) else index + 1
                held = {i: kept for i, kept in held.items() if i >= needed}

    def _windows(self, media: Media, boxes: npt.NDArray[np.float32] | None) -> npt.NDArray[np.intp]:
        """(windows, 16) indices of the frames taken: of all, or of those that show the main face."""
        count = len(self.source(media).frame_times())
        usable = np.arange(count) if boxes is None else np.flatnonzero(np.isfinite(boxes).all(axis=1))
        picked = self._sampled(usable.size) if usable.size else []
        return usable[np.array(picked, np.intp)].reshape(-1, FRAMES)

    def _sampled(self, count: int) -> list[int]:
        if self.options.sampling == "sliding":
            return sliding(count, self.options.stride)
        return SAMPLINGS[self.options.sampling](count)

    def forward(self, units: list[Pixels]) -> list[Array]:
        """(8, D) of each window."""
        pixels = self.stacked(units)
        with self.running():
            states = self._model(pixels).last_hidden_state
            rows = states.float().reshape(len(units), ROWS, -1, states.shape[-1]).mean(dim=2)
        return list(self.array(rows))

    def features(self, media: Media, outputs: list[Array]) -> Features:
        """Give 8 rows for each window (one; `two_segment` two; `sliding` any number), or the mean of all rows.

        Rows are in order of start; where windows overlap in time, their rows alternate and are not merged. Row times:
        see `row_times`. Without any face every row is NaN and not valid, and their times tile the clip. The mean
        is stamped with the clip. Clips of any length have rows; see the samplings for those under 16 frames.

        Args:
            media: The clip's media.
            outputs: What the network gave for each unit, in order.
        """
        if not outputs:
            frame_rows = len(self._sampled(1)) // TUBELET
            return self.without_face(media, frame_rows if self.options.level == "frame" else 1)
        values = np.concatenate(outputs)
        if self.options.level == "utterance":
            return self.mean_of(media, values)
        stamps = self.source(media).frame_times()
        times = np.concatenate([row_times(stamps[window]) for window in self._windows(media, self.boxes(media))])
        order = np.argsort(times[:, 0], kind="stable")
        return self.checked(values[order], times[order], np.ones(len(order), np.bool_))


def _without_norm(model: Any) -> Any:
    model.layernorm = None
    return model


def uniform16(count: int) -> list[int]:
    """Indices of 16 frames spread evenly over `count`; under 16, all of them and then the last one again."""
    picked = [int(k * max(count / FRAMES, 1.0)) for k in range(min(count, FRAMES))]
    return picked + picked[-1:] * (FRAMES - len(picked))


def two_segment(count: int) -> list[int]:
    """32 indices: of every 4th of `count` frames the first 16, then the last 16; the last one fills up."""
    picked = list(range(0, count, STRIDE))
    picked += picked[-1:] * (FRAMES - len(picked))
    return picked[:FRAMES] + picked[-FRAMES:]


def sliding(count: int, stride: int = FRAMES) -> list[int]:
    """16 indices for each window, `stride` frames apart; the last window ends with the last frame.

    The last window may therefore overlap the one before more than the others do. Under 16 frames there is one window,
    all of them and then the last one again.

    Args:
        count: Frames there are.
        stride: Frames from one window to the next.
    """
    last = max(count - FRAMES, 0)
    starts = [*range(0, last, stride), last]
    return [min(start + k, count - 1) for start in starts for k in range(FRAMES)]


def eight_pairs(count: int) -> list[int]:
    """16 indices: two neighbours in the middle of each of 8 equal segments; up to 9 frames, the first two each time.

    A clip of one frame has only that one.
    """
    tick = (count - 1) / ROWS if count > ROWS + 1 else 0.0
    firsts = [int(tick / 2 + tick * k) for k in range(ROWS)]
    return [min(first + k, count - 1) for first in firsts for k in range(TUBELET)]


SAMPLINGS = {"uniform16": uniform16, "two_segment": two_segment, "eight_pairs": eight_pairs}


def row_times(stamps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Times of a window's rows, each made from two frames.

    A row lasts from the start of its first frame to the start of the next row's; the last one to the end of the
    last frame taken. Where a short clip fills up with its last frame, rows from there on share what is left of
    the window evenly.

    Args:
        stamps: (16, 2) seconds in which the frames are shown.

    Returns:
        (8, 2) seconds, half-open, without gap or overlap.
    """
    starts, end = stamps[::TUBELET, 0], stamps[-1, 1]
    stuck = np.flatnonzero(np.diff(starts) <= 0)
    first = int(stuck[0]) if stuck.size else len(starts) - 1
    edges = np.concatenate([starts[:first], np.linspace(starts[first], end, len(starts) - first + 1)])
    return np.stack([edges[:-1], edges[1:]], axis=1)
