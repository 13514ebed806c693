"""VideoMAE: what a self-supervised video model sees in 16 pictures of a clip.

Tong et al., "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video Pre-Training",
NeurIPS 2022. The two samplings are those of the feature scripts of MERTools (Lian et al., arXiv:2401.03429).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from configs.schema import Weights
from extractors.core.base import Extractor, Options
from extractors.core.faces import crop_face, face_track, recipe
from extractors.core.media import Frame, Media
from extractors.core.torch_runtime import prepare
from extractors.core.weights import ResolvedWeights, load_model, load_scaler, model_settings, resolve
from storage.errors import RunError
from storage.records import Features, FeatureSpec

PICTURES = 16  # one pass of the model
TUBELET = 2  # pictures in one row
ROWS = PICTURES // TUBELET
STRIDE = 4  # pictures between those that `two_segment` takes
CROP_SIZE = 224
FACE_EXPAND = 1.2  # side of the crop over side of the face box
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "full": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "image_size": 224,
        "patch_size": 16,
        "num_frames": PICTURES,
        "tubelet_size": TUBELET,
        "qkv_bias": True,
        "use_mean_pooling": False,
    }
}
ARCHITECTURES["tiny"] = ARCHITECTURES["full"] | {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
# preprocessor_config.json of MCG-NJU/videomae-base, for random weights; the class's own defaults are others.
PREPROCESSING: dict[str, Any] = {
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


class VideoMAEOptions(Options):
    """Settings of VideoMAE.

    Attributes:
        weights: A VideoMAE of 16 pictures in Hugging Face's layout.
        input: `main_face` looks at crops of the clip's main face, `frame` at whole pictures.
        sampling: `uniform16` takes 16 pictures spread over the clip; `two_segment` takes every 4th picture, and of
            those the first 16 and the last 16.
        level: `frame` gives a row per two pictures taken (8 or 16 rows), `utterance` their mean.
    """

    weights: Weights = Weights(hub="MCG-NJU/videomae-base")
    input: Literal["main_face", "frame"] = "main_face"
    sampling: Literal["uniform16", "two_segment"] = "uniform16"
    level: Literal["frame", "utterance"] = "frame"


class VideoMAE(Extractor[VideoMAEOptions]):
    """VideoMAE's last hidden state, averaged over the patches of each pair of pictures."""

    Options = VideoMAEOptions
    modality: ClassVar[Literal["video"]] = "video"
    licence = "MCG-NJU/videomae-base: CC BY-NC 4.0, non-commercial"

    @cached_property
    def spec(self) -> FeatureSpec:
        """Width comes from `config.json`; hop and window vary with the clip's length.

        Raises:
            RunError: If the weights are not on this machine, or are not a VideoMAE of 16 pictures.
        """
        options = self.options
        settings: dict[str, Any] = {"input": options.input, "sampling": options.sampling, "level": options.level}
        if options.input == "main_face":
            settings |= {"faces": recipe(self.faces), "face_expand": FACE_EXPAND}
        return FeatureSpec(
            name=self.feature,
            extractor="videomae",
            modality="video",
            level=options.level,
            columns=tuple(f"videomae_{i}" for i in range(self._settings["hidden_size"])),
            recipe=settings,
            weights=self._weights.identity,
            source="VideoMAE (transformers)",
            synthetic=self._weights.synthetic,
        )

    @cached_property
    def _weights(self) -> ResolvedWeights:
        return resolve(self.options.weights)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        needed = {"num_frames": PICTURES, "tubelet_size": TUBELET}
        settings = model_settings(self._weights, "videomae", ARCHITECTURES, ("hidden_size", *needed))
        for key, value in needed.items():
            if settings[key] != value:
                raise RunError(f"videomae: {key} is {settings[key]}, expected {value}")
        return settings

    def load(self, device: str) -> None:
        """Load the model and the checkpoint's own scaling of pictures.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        from transformers import VideoMAEImageProcessor, VideoMAEModel

        model = load_model(self._weights, VideoMAEModel, self._settings)
        self._model, self._device = prepare(model, device), device
        self._scaler = load_scaler(self._weights, VideoMAEImageProcessor, PREPROCESSING)

    def extract_clip(self, media: Media) -> Features:
        """Give 8 rows (`uniform16`) or 16 (`two_segment`), or their mean.

        Pictures are taken from all of the clip's, or from those that show the main face. Rows are in order of start;
        where the two segments overlap in time, their rows alternate. Row times: see `row_times`. Without any face
        every row is NaN and not valid, and their times tile the clip. The utterance row is stamped with the clip.

        Raises:
            ClipError: `no_video`, or why the file could not be read.
        """
        stamps = media.frame_times()
        whole = np.array([[stamps[0, 0], stamps[-1, 1]]])
        boxes = face_track(media, self.faces).boxes if self.options.input == "main_face" else None
        usable = np.arange(len(stamps)) if boxes is None else np.flatnonzero(np.isfinite(boxes).all(axis=1))
        if not usable.size:
            return self._without_face(whole)
        windows = usable[np.array(SAMPLINGS[self.options.sampling](usable.size))].reshape(-1, PICTURES)
        values = self._rows(media, windows, boxes)
        if self.options.level == "utterance":
            return self.checked(values.mean(axis=0, keepdims=True, dtype=np.float64), whole, [True])
        times = np.concatenate([row_times(stamps[window]) for window in windows])
        order = np.argsort(times[:, 0], kind="stable")
        return self.checked(values[order], times[order], np.ones(len(order), np.bool_))

    def _without_face(self, whole: npt.NDArray[np.float64]) -> Features:
        frame_rows = len(SAMPLINGS[self.options.sampling](1)) // TUBELET
        rows = frame_rows if self.options.level == "frame" else 1
        edges = np.linspace(whole[0, 0], whole[0, 1], rows + 1)
        values = np.full((rows, self._settings["hidden_size"]), np.nan)
        return self.checked(values, np.stack([edges[:-1], edges[1:]], axis=1), np.zeros(rows, np.bool_))

    def _rows(
        self, media: Media, windows: npt.NDArray[np.intp], boxes: npt.NDArray[np.float32] | None
    ) -> npt.NDArray[np.float32]:
        """(8 rows per window, D) for (windows, 16) indices of pictures."""
        import torch

        wanted = set(windows.ravel().tolist())
        scaled = {f.index: self._scaled(f, boxes) for f in media.frames() if f.index in wanted}
        rows = []
        with torch.inference_mode():
            for window in windows:
                pixels = torch.from_numpy(np.stack([scaled[int(i)] for i in window]))[None].to(self._device)
                states = self._model(pixels).last_hidden_state
                rows.append(states.reshape(ROWS, -1, states.shape[-1]).mean(dim=1).cpu().numpy())
        return np.concatenate(rows)

    def _scaled(self, frame: Frame, boxes: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
        """(3, side, side) of one picture: scaled at once, so that no full-size picture is kept."""
        rgb = frame.rgb()
        if boxes is not None:
            rgb = crop_face(rgb, boxes[frame.index], size=CROP_SIZE, expand=FACE_EXPAND)
        return np.asarray(self._scaler([rgb], return_tensors="np")["pixel_values"][0, 0], dtype=np.float32)


def uniform16(count: int) -> list[int]:
    """Indices of 16 pictures spread evenly over `count`; under 16, all of them and then the last one again."""
    picked = [int(k * max(count / PICTURES, 1.0)) for k in range(min(count, PICTURES))]
    return picked + picked[-1:] * (PICTURES - len(picked))


def two_segment(count: int) -> list[int]:
    """32 indices: of every 4th of `count` pictures the first 16, then the last 16; the last one fills up."""
    picked = list(range(0, count, STRIDE))
    picked += picked[-1:] * (PICTURES - len(picked))
    return picked[:PICTURES] + picked[-PICTURES:]


SAMPLINGS = {"uniform16": uniform16, "two_segment": two_segment}


def row_times(stamps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Times of a window's rows, each made from two pictures.

    A row lasts from the start of its first picture to the start of the next row's; the last one to the end of the
    last picture taken. Where a short clip fills up with its last picture, rows from there on share what is left of
    the window evenly.

    Args:
        stamps: (16, 2) seconds in which the pictures are shown.

    Returns:
        (8, 2) seconds, half-open, without gap or overlap.
    """
    starts, end = stamps[::TUBELET, 0], stamps[-1, 1]
    stuck = np.flatnonzero(np.diff(starts) <= 0)
    first = int(stuck[0]) if stuck.size else len(starts) - 1
    edges = np.concatenate([starts[:first], np.linspace(starts[first], end, len(starts) - first + 1)])
    return np.stack([edges[:-1], edges[1:]], axis=1)
