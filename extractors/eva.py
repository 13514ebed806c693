"""EVA-CLIP: what a large image model trained with captions sees in one frame of the clip.

Fang et al., "EVA: Exploring the Limits of Masked Visual Representation Learning at Scale", CVPR 2023; Sun et al.,
"EVA-CLIP", arXiv:2303.15389. EVA-ViT-g (patches of 14, width 1408) on one whole frame of 448 x 448 is the global
encoder of Emotion-LLaMA (Cheng et al., NeurIPS 2024), which computes it online from the first frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from configs.errors import RunError
from configs.weights import Weights
from extractors.core.media.clip_media import Media
from extractors.core.networks.network_extractor import Array, NetworkExtractor, NetworkOptions
from extractors.core.networks.random_weights import seeded
from extractors.core.networks.runtime import torch_dtype
from extractors.core.networks.scaling import Pixels, Scaling, resized
from extractors.core.networks.timm_files import fill_network, read_timm_file
from storage.records import Features, FeatureSpec
from storage.vocabulary.action_unit_rules import Rule, peak_frame

SIDE = 448
GROUP = 4  # neighbouring patches, in reading order, that Emotion-LLaMA puts side by side in one row
CLIP_SCALE = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
FULL: dict[str, Any] = {"architecture": "eva_giant_patch14_clip_224", "num_features": 1408}
TINY: dict[str, Any] = {"architecture": "tiny", "num_features": 64}


class EVAOptions(NetworkOptions):
    """Settings of EVA-CLIP.

    Attributes:
        weights: An EVA with a class token in timm's layout: `config.json` and `model.safetensors`.
        frame: `first`; `middle`: number N // 2 of N, counted from 0; `peak`: where the face is most expressive.
        peak_of: Feature with OpenFace's AU columns, one row for each frame, that `peak` is found in.
        peak_rule: How `peak` is found; see `storage/vocabulary/action_unit_rules.py`.
        tokens: `class`: the class token, one row. `patches`: those of the patches in reading order, 4 side by side in
            one row of four times the width, as Emotion-LLaMA feeds them on.
        recipe: `timm`: all blocks and the model's own last norm. `emotion_llama`: without the last block, then a norm
            without weights, and position embeddings enlarged without smoothing.
    """

    weights: Weights = Weights(hub="timm/eva_giant_patch14_clip_224.laion400m")
    frame: Literal["first", "middle", "peak"] = "first"
    peak_of: str = "action_units"
    peak_rule: Rule = "documented"
    tokens: Literal["class", "patches"] = "class"
    recipe: Literal["timm", "emotion_llama"] = "timm"

    @model_validator(mode="after")
    def _peak_is_used(self) -> Self:
        unused = sorted({"peak_of", "peak_rule"} & self.model_fields_set)
        if self.frame != "peak" and unused:
            raise ValueError(f"{unused[0]} is for frame: peak")
        return self


class EVA(NetworkExtractor[EVAOptions, Pixels]):
    """Tokens of one whole frame, resized to 448 x 448 (bicubic, aspect not kept)."""

    name = "eva"
    Options = EVAOptions
    modality: ClassVar[Literal["video"]] = "video"
    licence = "timm/eva_giant_patch14_clip_224.laion400m: MIT"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": FULL, "tiny": TINY}
    setting_files: ClassVar[tuple[str, ...]] = ("config.json",)
    cost_bytes = 160  # a pixel's share of EVA-g's hidden states in float32, by computation

    @property
    def needs(self) -> tuple[str, ...]:
        """The feature that tells the peak."""
        return (self.options.peak_of,) if self.options.frame == "peak" else ()

    def describe(self) -> FeatureSpec:
        """Width comes from timm's `config.json`.

        Raises:
            RunError: If the weights are not on this machine or not an EVA, or the peak cannot be found in `peak_of`.
        """
        options, width = self.options, self._settings["num_features"]
        patches = options.tokens == "patches"
        return self.network_spec(
            modality="video",
            level="frame" if patches else "utterance",
            columns=tuple(f"eva_{i}" for i in range(width * GROUP if patches else width)),
            # `picture` as in stores of merflow 0.1: the numbers are the same, and so is the digest.
            recipe={"picture": options.frame, "tokens": options.tokens, "recipe": options.recipe, "side": SIDE}
            | {"mean": self._scale[0], "deviation": self._scale[1]}
            | self._peak_recipe(),
            source="EVA-CLIP (timm)",
        )

    def _peak_recipe(self) -> dict[str, Any]:
        if self.options.frame != "peak":
            return {}
        peak_of = self.inputs[self.options.peak_of]
        nothing = Features(np.zeros((0, len(peak_of.columns)), np.float32), np.zeros((0, 2)), np.zeros(0, np.bool_))
        peak_frame(nothing, peak_of.columns, self.options.peak_rule)  # says now which columns it lacks
        return {"peak_of": self.options.peak_of, "peak_rule": self.options.peak_rule}

    def read_settings(self) -> dict[str, Any]:
        """Settings of timm's `config.json`, or the architecture that a seed will fill.

        Raises:
            RunError: If they are of another model.
        """
        if self._weights.folder is None:
            return dict(self.architectures[self._weights.identity["size"]])
        path = self._weights.folder / "config.json"
        try:
            settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: expected timm's settings: {error}") from error
        named = settings.get("architecture")
        if not str(named).startswith("eva") or "num_features" not in settings:
            raise RunError(f"{path}: expected timm's settings of an EVA, got architecture {named!r}")
        return settings

    @property
    def _scale(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation: CLIP's, unless the checkpoint has others."""
        if self.options.recipe == "emotion_llama":
            return CLIP_SCALE
        settings = self._settings.get("pretrained_cfg", {})
        return tuple(settings.get("mean", CLIP_SCALE[0])), tuple(settings.get("std", CLIP_SCALE[1]))

    def load(self, device: str) -> None:
        """Load the model, its position embeddings enlarged to 448 x 448.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        self._model = self.load_shared(self._build, device, variant=self.options.recipe)
        self._scaling = Scaling(lambda rgb: resized(rgb, SIDE, bicubic=True), 1 / 255, *self._scale)

    def _build(self) -> Any:
        if self._weights.folder is None:
            model = seeded(self._weights.identity["seed"], self._empty)
        else:
            model = self._filled(self._empty())
        if self.options.recipe == "emotion_llama":
            import torch

            model.blocks = model.blocks[:-1]
            model.norm = torch.nn.LayerNorm(model.num_features, elementwise_affine=False)
        return model

    def _empty(self) -> Any:
        import timm
        from timm.models.eva import Eva

        # Neither head nor pooling: the model gives all tokens, after its last norm.
        plain: dict[str, Any] = {"img_size": SIDE, "num_classes": 0, "global_pool": ""}
        settings = self._settings
        if settings["architecture"] == "tiny":
            return Eva(patch_size=14, embed_dim=settings["num_features"], depth=3, num_heads=4, **plain)
        try:
            model = timm.create_model(settings["architecture"], pretrained=False, **plain)
        except (RuntimeError, TypeError) as error:
            raise RunError(f"eva: timm has no model {settings['architecture']!r}: {error}") from error
        if not isinstance(model, Eva) or (model.num_prefix_tokens, model.num_features) != (1, settings["num_features"]):
            wanted = f"one class token and width {settings['num_features']}"
            raise RunError(f"eva: {settings['architecture']} is not an EVA with {wanted}")
        return model

    def _filled(self, model: Any) -> Any:
        from timm.models.eva import checkpoint_filter_fn

        path = Path(self._weights.folder or "", self._weights.identity["file"])
        smooth = self.options.recipe == "timm"
        parameters = checkpoint_filter_fn(read_timm_file(path), model, antialias=smooth)
        where = f"{path}: not a {self._settings['architecture']} with class token"
        fill_network(model, parameters, where, ("head.",))
        return model

    def units(self, media: Media) -> Iterator[Pixels]:
        """(3, 448, 448) of the frame; none if there is no peak.

        Raises:
            ClipError: `no_video`, why the file could not be read, or why there are no AUs.
        """
        chosen = self._chosen(media)
        yield from (self._scaling.fit(frame.rgb()) for frame in media.frames() if frame.index == chosen)

    def _chosen(self, media: Media) -> int | None:
        """Index of the frame."""
        stamps = media.frame_times()
        if self.options.frame != "peak":
            return 0 if self.options.frame == "first" else len(stamps) // 2
        feature = self.options.peak_of
        peak = peak_frame(media.feature(feature), self.inputs[feature].columns, self.options.peak_rule)
        return None if peak is None else int(np.abs(stamps[:, 0] - peak.time).argmin())

    def forward(self, units: list[Pixels]) -> list[Array]:
        """The class token (1, D), or the patches (P / 4, 4 D), of each frame."""
        pixels = self._scaling(self.tensor(np.stack(units))).to(torch_dtype(self.options.precision))
        with self.running():
            tokens = self._model(pixels)
            if self.options.tokens == "class":
                chosen = tokens[:, :1]
            else:
                chosen = tokens[:, 1:].reshape(len(units), -1, GROUP * tokens.shape[-1])
        return list(self.array(chosen))

    def features(self, media: Media, outputs: list[Array]) -> Features:
        """One row, or one for every 4 patches, all stamped with the time in which the frame is shown.

        Where no frame has a face, there is no peak: one row, NaN and not valid, stamped with the clip.

        Args:
            media: The clip's media.
            outputs: What the network gave for each unit, in order.
        """
        stamps, chosen = media.frame_times(), self._chosen(media)
        if chosen is None:
            nothing = np.full((1, len(self.spec.columns)), np.nan)
            return self.checked(nothing, [[stamps[0, 0], stamps[-1, 1]]], [False])
        times = np.tile(stamps[chosen], (len(outputs[0]), 1))
        return self.checked(outputs[0], times, np.ones(len(times), np.bool_))
