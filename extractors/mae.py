"""MAE: what a masked autoencoder of single frames sees in each face.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022. MERR's local encoder (Cheng et al.,
"Emotion-LLaMA", NeurIPS 2024) is a ViT-L of this kind, trained further on faces: `mae_checkpoint-340.pth`, whose
features are called `mae_340`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from configs.weights import Weights
from extractors.core.media.clip_media import Media
from extractors.core.networks.frame_network import FrameNetwork, FrameOptions
from extractors.core.networks.network_extractor import Array
from extractors.core.networks.scaling import IMAGENET, Pixels
from storage.records import Features, FeatureSpec

FULL: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "image_size": 224,
    "patch_size": 16,
}
TINY = FULL | {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
WIDE = TINY | {"hidden_size": 1024, "num_attention_heads": 16}


class MAEOptions(FrameOptions):
    """Settings of MAE.

    Attributes:
        weights: A ViT-MAE in Hugging Face's layout, or `local` with `format: mae-pth`, a file of MAE's own code.
        every: Looks at frames 0, n, 2n, ... of the clip.
    """

    weights: Weights = Weights(hub="facebook/vit-mae-large")
    every: int = Field(default=1, ge=1)


class MAE(FrameNetwork[MAEOptions]):
    """The class token after the last norm, of the whole frame: nothing is masked."""

    name = "mae"
    Options = MAEOptions
    modality: ClassVar[Literal["video"]] = "video"
    licence = "facebook/vit-mae-large: Apache 2.0; MAE's own code and checkpoints: CC BY-NC 4.0, non-commercial"
    model_types = ("vit_mae",)
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": FULL, "tiny": TINY, "wide": WIDE}
    weight_formats = ("mae-pth", "hf")
    model_class = "ViTMAEModel"
    processor_class = "ViTImageProcessor"
    # preprocessor_config.json of facebook/vit-mae-large.
    processor_defaults: ClassVar[Mapping[str, Any]] = {
        "size": {"height": 224, "width": 224},
        "resample": 3,
        "image_mean": IMAGENET[0],
        "image_std": IMAGENET[1],
    }

    def describe(self) -> FeatureSpec:
        """Width comes from `config.json` or the `.pth` file.

        Raises:
            RunError: If the weights are not on this machine, or are not a MAE.
        """
        return self.network_spec(
            modality="video",
            level=self.options.level,
            columns=tuple(f"mae_{i}" for i in range(self._settings["hidden_size"])),
            recipe=self.frame_recipe() | {"every": self.options.every, "token": "class"},
            source="MAE (transformers)",
        )

    def load(self, device: str) -> None:
        """Load the encoder and what sizes and scales its frames.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        self.load_frames(device, _unmasked)

    def units(self, media: Media) -> Iterator[Pixels]:
        """(3, side, side) of every frame looked at that shows the main face.

        Raises:
            ClipError: `no_video`, or why the file could not be read.
        """
        boxes = self.boxes(media)
        seen = self._seen(media, boxes)
        for _, pixels in self.fitted(media, (np.flatnonzero(seen) * self.options.every).tolist(), boxes):
            yield pixels

    def _seen(self, media: Media, boxes: npt.NDArray[np.float32] | None) -> npt.NDArray[np.bool_]:
        """Of the frames looked at, those that show the main face."""
        seen = np.ones(len(self.source(media).frame_times()), np.bool_)
        if boxes is not None:
            seen &= np.isfinite(boxes).all(axis=1)
        return seen[:: self.options.every]

    def forward(self, units: list[Pixels]) -> list[Array]:
        """(1, D) of each frame."""
        import torch

        pixels = self.stacked(units)
        with self.running():
            # Rising noise is MAE's way to say that the patches stay in order; it shuffles them even if none is masked.
            patches = (self._side // self._settings["patch_size"]) ** 2
            noise = torch.arange(patches, device=pixels.device, dtype=torch.float32).expand(len(units), -1)
            tokens = self._model(pixels, noise=noise).last_hidden_state[:, :1]
        return list(self.array(tokens))

    def features(self, media: Media, outputs: list[Array]) -> Features:
        """A row for each frame looked at, NaN and not valid where there is no face, or the mean of the valid rows.

        A row is stamped with the time in which its frame is shown, the mean with the clip. A clip of one frame
        has one row.

        Args:
            media: The clip's media.
            outputs: What the network gave for each unit, in order.
        """
        seen = self._seen(media, self.boxes(media))
        if self.options.level == "utterance":
            return self.mean_of(media, np.concatenate(outputs)) if outputs else self.without_face(media, 1)
        values = np.full((len(seen), self._settings["hidden_size"]), np.nan, np.float32)
        if outputs:
            values[seen] = np.concatenate(outputs)
        return self.checked(values, self.source(media).frame_times()[:: self.options.every], seen)


def _unmasked(model: Any) -> Any:
    model.config.mask_ratio = 0.0
    return model
