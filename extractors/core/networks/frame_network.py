"""Frames as an image network takes them: which of a clip's, the face in them or all of it, at what size and scale."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, cast, get_args

import numpy as np
import numpy.typing as npt
from pydantic import field_validator, model_validator

from configs.errors import RunError
from configs.sections import FaceCrops
from extractors.core.media.clip_media import Media
from extractors.core.media.crops import FACE_EXPAND, crop_face
from extractors.core.media.frames import Frame
from extractors.core.media.released_crops import Crop, ReleasedCrops
from extractors.core.networks.network_extractor import Array, NetworkExtractor, NetworkOptions
from extractors.core.networks.pth import PthCheckpoint, PthFormat, build_pth, read_pth
from extractors.core.networks.runtime import torch_dtype
from extractors.core.networks.scaling import Pixels, Preprocessing, Scaling, plain_scaling, processor_scaling
from extractors.core.networks.weights import ResolvedWeights, load_model, load_scaler, resolve
from storage.identity import CROPS, Source
from storage.records import Features
from storage.vocabulary.face_columns import FACES, main_face_boxes

if TYPE_CHECKING:
    import torch

GPU_FRAMES = 512  # most in one batch: more fill a GPU no better and only take memory


class FrameOptions(NetworkOptions):
    """Options of networks that look at frames.

    Attributes:
        input: `main_face` looks at crops of the clip's main face, `frame` at whole frames.
        preprocessing: How pixels are sized and scaled. `checkpoint`: as the weights' own `preprocessor_config.json`
            says; a `.pth` file, which has none, is taken for one of MERR's. `merr`: 224 x 224 (aspect not kept), 0..1.
            `resize224_imagenet` (once called `imagenet`): the same, then ImageNet's mean and deviation. `mae`: MAE's
            own, short side to 256, bicubic, the central 224 x 224 cut out, then ImageNet's mean and deviation.
        crops: Face crops that the corpus releases, instead of the main face of its videos: `{root: openface_face}`.
        level: `frame` gives the network's rows, `utterance` their mean. Two features that differ in nothing else share
            one pass of the network.
    """

    input: Literal["main_face", "frame"] = "main_face"
    preprocessing: Preprocessing = "checkpoint"
    crops: FaceCrops | None = None
    level: Literal["frame", "utterance"] = "frame"

    @field_validator("preprocessing", mode="before")
    @classmethod
    def _once_called(cls, name: object) -> object:
        return "resize224_imagenet" if name == "imagenet" else name

    @model_validator(mode="after")
    def _crops_are_faces(self) -> Self:
        if self.crops is not None and self.input != "main_face":
            raise ValueError("crops are faces: expected input: main_face")
        return self


FrameT = TypeVar("FrameT", bound=FrameOptions)


class FrameNetwork(NetworkExtractor[FrameT, Pixels]):
    """A network of transformers on frames, from Hugging Face's layout or a `.pth` file.

    Units are (..., 3, side, side) uint8: a quarter of the memory of scaled frames, and of what goes to the device.

    Attributes:
        model_class: Class of transformers.
        processor_class: Class of transformers that sizes and scales.
        processor_defaults: Its settings for random weights.
    """

    setting_keys: ClassVar[tuple[str, ...]] = ("hidden_size", "image_size", "patch_size")
    cost_bytes = 64  # a pixel's share of ViT-L's hidden states in float32, by computation
    model_class: ClassVar[str]
    processor_class: ClassVar[str]
    processor_defaults: ClassVar[Mapping[str, Any]]

    @property
    def needs(self) -> tuple[str, ...]:
        """The faces, unless it looks at whole frames or at released crops."""
        return (FACES,) if self.options.input == "main_face" and self.options.crops is None else ()

    @property
    def sources(self) -> frozenset[Source]:
        """The video, and the released crops where it looks at these."""
        return self.decodes if self.options.crops is None else self.decodes | {CROPS}

    def source(self, media: Media) -> Media | ReleasedCrops:
        """What the frames come from: the clip's media, or the crops that its corpus releases.

        Args:
            media: The clip's media.

        Raises:
            ClipError: If the crops are missing or do not fit.
        """
        crops = self.options.crops
        if crops is None:
            return media
        return media.once(("crops", str(crops.root), crops.frame_rate), lambda: ReleasedCrops(media, crops))

    @cached_property
    def _pth(self) -> PthCheckpoint | None:
        """The `.pth` file, mapped rather than loaded; None for weights in another layout."""
        weights = self.checked_weights()
        if weights.format not in get_args(PthFormat):
            return None
        resolved = resolve(weights)  # compares hashes, so before anything is unpickled
        return read_pth(Path(resolved.folder or "", resolved.identity["file"]), cast("PthFormat", weights.format))

    def resolve_weights(self) -> ResolvedWeights:
        """Find and hash the weights; a `.pth` file's epoch is part of their identity.

        Raises:
            RunError: If they are not on this machine, or of a layout that this network cannot load.
        """
        resolved = super().resolve_weights()
        if self._pth is None:
            return resolved
        return replace(resolved, identity={**resolved.identity, "epoch": self._pth.epoch})

    def read_settings(self) -> dict[str, Any]:
        """Settings of the network, from `config.json`, the `.pth` file, or the architecture that a seed will fill.

        Raises:
            RunError: If they are of another model.
        """
        return super().read_settings() if self._pth is None else dict(self._pth.settings)

    @property
    def _side(self) -> int:
        side = self._settings["image_size"]
        return int(side if isinstance(side, int) else side[0])

    @property
    def _preprocessing(self) -> Preprocessing:
        chosen = self.options.preprocessing
        return "merr" if chosen == "checkpoint" and self._pth is not None else chosen

    def frame_recipe(self) -> dict[str, Any]:
        """The settings of `FrameOptions` that can change a number; weights and level are not among them."""
        options = self.options
        settings: dict[str, Any] = {"input": options.input, "preprocessing": self._preprocessing}
        if options.crops is not None:
            return settings | {"crops": "released", "black": "not valid"} | self._stated_rate
        if options.input == "main_face":
            settings |= {"face_expand": FACE_EXPAND}
        return settings

    @property
    def _stated_rate(self) -> dict[str, float]:
        """The stated rate, of clips without a video; their times depend on it."""
        crops = self.options.crops
        return {} if crops is None or crops.frame_rate is None else {"frame_rate": crops.frame_rate}

    def load_frames(self, device: str, change: Callable[[Any], Any] = lambda model: model, variant: str = "") -> None:
        """Load the network and what sizes and scales its frames.

        Args:
            device: A torch device.
            change: Makes the network what this extractor runs.
            variant: Names what `change` does, if it depends on the options.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        self._model: Any = self.load_shared(lambda: change(self.build_network()), device, variant=variant)
        self.budget = min(self.budget, GPU_FRAMES * 3 * self._side**2)
        chosen = self._preprocessing
        self._scaling = self.own_scaling() if chosen == "checkpoint" else plain_scaling(chosen, self._side)
        expected = (3, self._side, self._side)
        shape = self._scaling.fit(np.zeros((self._side, self._side, 3), np.uint8)).shape
        if shape != expected:
            raise RunError(f"{self.feature}: preprocessing gives frames of {shape}, the model takes {expected}")

    def build_network(self) -> Any:
        """The network in float32 on the CPU.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        import transformers

        model_class = getattr(transformers, self.model_class)
        if self._pth is not None:
            return build_pth(self._pth, model_class)
        return load_model(self._weights, model_class, self._settings)

    def own_scaling(self) -> Scaling:
        """How the checkpoint itself sizes and scales frames; asked for once the network is there."""
        import transformers

        processor_class = getattr(transformers, self.processor_class)
        return processor_scaling(load_scaler(self._weights, processor_class, self.processor_defaults))

    def boxes(self, media: Media) -> npt.NDArray[np.float32] | None:
        """(T, 4) boxes of the main face in every frame, NaN where there is none; None to look at whole frames.

        Of released crops the boxes only say whether there is a face.

        Raises:
            ClipError: If the clip has no frames.
        """
        if self.options.input != "main_face":
            return None
        source = self.source(media)
        source.frame_times()  # raises the reason why there are no frames
        if isinstance(source, ReleasedCrops):
            return np.where(source.shown[:, None], np.float32(0), np.float32(np.nan)).repeat(4, axis=1)
        return main_face_boxes(media.feature(FACES))

    def fitted(
        self, media: Media, wanted: Collection[int], boxes: npt.NDArray[np.float32] | None
    ) -> Iterator[tuple[int, Pixels]]:
        """Some frames by index, in order: sized at once, so that no full-size frame is kept.

        Args:
            media: The clip's media.
            wanted: Indices of frames.
            boxes: What `boxes` gave.

        Yields:
            The frame's index and its pixels, (3, side, side) uint8.
        """
        chosen = set(wanted)
        for frame in self.source(media).frames() if chosen else ():
            if frame.index in chosen:
                yield frame.index, self._fitted(frame, boxes)

    def _fitted(self, frame: Frame | Crop, boxes: npt.NDArray[np.float32] | None) -> Pixels:
        rgb = frame.rgb()
        if boxes is not None and isinstance(frame, Frame):
            rgb = crop_face(rgb, boxes[frame.index], size=self._side, expand=FACE_EXPAND)
        return self._scaling.fit(rgb)

    def stacked(self, units: Sequence[Pixels]) -> torch.Tensor:
        """The units as the network's input, on its device and in its precision."""
        pixels = self.tensor(np.stack(units))
        with self.timed("transfer"):
            return self._scaling(pixels).to(torch_dtype(self.options.precision))

    def without_face(self, media: Media, rows: int) -> Features:
        """Rows that are NaN and not valid, whose times tile the clip.

        Args:
            media: The clip's media.
            rows: How many.
        """
        times = self.source(media).frame_times()
        edges = np.linspace(times[0, 0], times[-1, 1], rows + 1)
        values = np.full((rows, self._settings["hidden_size"]), np.nan)
        return self.checked(values, np.stack([edges[:-1], edges[1:]], axis=1), np.zeros(rows, np.bool_))

    def mean_of(self, media: Media, values: Array) -> Features:
        """One row, the mean of (T, D) values, stamped with the clip.

        Args:
            media: The clip's media.
            values: (T, D) float32.
        """
        times = self.source(media).frame_times()
        mean = values.mean(axis=0, keepdims=True, dtype=np.float64)
        return self.checked(mean, [[times[0, 0], times[-1, 1]]], [True])
