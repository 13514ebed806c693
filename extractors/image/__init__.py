"""Image encoders: what CLIP, DINOv2, data2vec, EVA-02 or any other image network sees in each face or frame.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (CLIP), ICML 2021; Oquab et al.,
"DINOv2", TMLR 2024; Baevski et al., "data2vec", ICML 2022; Fang et al., "EVA-02", arXiv:2303.11331. The recipes `clip`,
`dinov2`, `data2vec_vision` and `eva02` give what the scripts of MERBench and MER2024 to MER2026 (Lian et al.) give.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from configs.weights import Weights
from extractors.core.media.clip_media import Media
from extractors.core.networks.frame_network import FrameNetwork, FrameOptions
from extractors.core.networks.network_extractor import Array
from extractors.core.networks.random_weights import random_architecture
from extractors.core.networks.scaling import Pixels, Scaling
from extractors.image.models import RANDOM, Recipe, build_model, read_image_settings
from storage.records import Features, FeatureSpec

SAMPLED = 64  # crops that `dinov2` looks at


class ImageOptions(FrameOptions):
    """Settings of image encoders.

    Attributes:
        weights: An image encoder in Hugging Face's layout, or in timm's (`config.json` with `architecture`).
        recipe: What becomes a frame's row. `cls`: the class token after the last norm; `mean`: the mean over patches;
            `pooled`: what the model itself pools (for timm: its output without a classifier). As in MERTools' scripts:
            `clip`: the projected image features; `dinov2`: 64 frames spread over the clip, the last block's state
            summed over all tokens; `data2vec_vision`: that sum for every frame; `eva02`: timm's pooled output.
        every: Looks at frames 0, n, 2n, ... of the clip; not for `dinov2`.
    """

    weights: Weights = Weights(hub="openai/clip-vit-large-patch14")
    recipe: Recipe = "clip"
    every: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _sampling_is_fixed(self) -> Self:
        if self.recipe == "dinov2" and self.every != 1:
            raise ValueError("recipe dinov2 looks at 64 frames spread over the clip; leave out every")
        return self


class Image(FrameNetwork[ImageOptions]):
    """A row per frame that shows the main face (or of every frame), or their mean.

    Which networks fit a recipe is in `extractors.image.models`; others are refused with the list.
    """

    name = "image"
    Options = ImageOptions
    modality: ClassVar[Literal["video"]] = "video"
    licence = "openai/clip-vit-large-patch14: MIT; DINOv2: Apache 2.0; data2vec, EVA-02: MIT"
    setting_files: ClassVar[tuple[str, ...]] = ("config.json",)

    def describe(self) -> FeatureSpec:
        """Width comes from `config.json`.

        Raises:
            RunError: If the weights are not on this machine, or do not fit the recipe.
        """
        kind, options = str(self._settings["model_type"]), self.options
        sampling = {"sampled": SAMPLED} if options.recipe == "dinov2" else {"every": options.every}
        return self.network_spec(
            modality="video",
            level=options.level,
            columns=tuple(f"image_{i}" for i in range(self._settings["hidden_size"])),
            recipe=self.frame_recipe() | {"recipe": options.recipe, "model_type": kind} | sampling,
            source=f"{kind} ({'timm' if kind == 'timm' else 'transformers'})",
        )

    def read_settings(self) -> dict[str, Any]:
        """Kind, width and input of the network, from `config.json` or the architecture that a seed will fill.

        Raises:
            RunError: If the network does not fit the recipe.
        """
        if self._weights.folder is None:
            return dict(random_architecture(RANDOM[self.options.recipe], str(self._weights.identity["size"])))
        return read_image_settings(self._weights.folder, self.options.recipe)

    @property
    def _side(self) -> int:
        return int(self._settings["input"])

    def load(self, device: str) -> None:
        """Load the network and what sizes and scales its frames.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        self.load_frames(device, variant=self.options.recipe)

    def build_network(self) -> Any:
        """The network with one row per image.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        return build_model(self._weights, self._settings, self.options.recipe)

    def own_scaling(self) -> Scaling:
        """What the network's own files say."""
        scaling: Scaling = self._model.scaling()
        return scaling

    def units(self, media: Media) -> Iterator[Pixels]:
        """(3, side, side) of every frame looked at.

        Raises:
            ClipError: `no_video`, why the file could not be read, or what is wrong with released crops.
        """
        boxes = self.boxes(media)
        for _, pixels in self.fitted(media, set(self._looked(media, boxes).tolist()), boxes):
            yield pixels

    def _looked(self, media: Media, boxes: npt.NDArray[np.float32] | None) -> npt.NDArray[np.intp]:
        """Indices of the frames looked at, in order: those that show the main face."""
        count = len(self.source(media).frame_times())
        usable = np.arange(count) if boxes is None else np.flatnonzero(np.isfinite(boxes).all(axis=1))
        if self.options.recipe != "dinov2":
            return np.asarray(usable[usable % self.options.every == 0])
        return np.asarray(usable[spread(usable.size)]) if usable.size else usable

    def forward(self, units: list[Pixels]) -> list[Array]:
        """(1, D) of each frame."""
        pixels = self.stacked(units)
        with self.running():
            rows = self._model(pixels)[:, None]
        return list(self.array(rows))

    def features(self, media: Media, outputs: list[Array]) -> Features:
        """A row for each frame looked at, NaN and not valid where there is no face, or the mean of the valid rows.

        `dinov2` has 64 rows, the last frame again where there are fewer; each is stamped with its frame.

        Args:
            media: The clip's media.
            outputs: What the network gave for each unit, in order.
        """
        if not outputs:
            rows = SAMPLED if self.options.recipe == "dinov2" else -(-self._count(media) // self.options.every)
            return self.without_face(media, rows if self.options.level == "frame" else 1)
        looked = self._looked(media, self.boxes(media))
        rows_of = np.unique(looked, return_inverse=True)[1]  # a frame that is looked at twice is computed once
        values = np.concatenate(outputs)[rows_of]
        if self.options.level == "utterance":
            return self.mean_of(media, values)
        stamps, every = self.source(media).frame_times(), self.options.every
        if self.options.recipe == "dinov2":
            return self.checked(values, stamps[looked], np.ones(len(looked), np.bool_))
        table = np.full((len(stamps[::every]), values.shape[1]), np.nan, np.float32)
        valid = np.zeros(len(table), np.bool_)
        table[looked // every], valid[looked // every] = values, True
        return self.checked(table, stamps[::every], valid)

    def _count(self, media: Media) -> int:
        return len(self.source(media).frame_times())


def spread(count: int) -> list[int]:
    """Indices of 64 frames spread evenly over `count`, as MERTools spreads them; the last one fills up.

    Args:
        count: Frames there are, at least one.
    """
    step = count / min(SAMPLED, count)
    picked = [int(at) for at in np.arange(0, count, step)][:SAMPLED]
    return picked + picked[-1:] * (SAMPLED - len(picked))
