"""Image networks of transformers and timm behind one call: pixels in, one row per image out."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from configs.errors import RunError
from extractors.core.networks.random_weights import seeded
from extractors.core.networks.scaling import Pixels, Scaling, processor_scaling
from extractors.core.networks.timm_files import fill_network, read_timm_file
from extractors.core.networks.weights import ResolvedWeights, load_model
from extractors.core.networks.weights_files import read_json

if TYPE_CHECKING:
    import torch

Recipe = Literal["clip", "dinov2", "data2vec_vision", "eva02", "cls", "mean", "pooled"]
CLASSES = {  # by model_type: the class in transformers
    "beit": "BeitModel",
    "clip": "CLIPVisionModelWithProjection",
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "chinese_clip": "ChineseCLIPVisionModel",
    "data2vec-vision": "Data2VecVisionModel",
    "deit": "DeiTModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "dinov3_vit": "DINOv3ViTModel",
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
    "vit": "ViTModel",
}
_CLIPS = ("clip", "clip_vision_model")
FITTING: dict[str, tuple[str, ...]] = {
    "clip": _CLIPS,
    "dinov2": ("dinov2", "dinov2_with_registers"),
    "data2vec_vision": ("data2vec-vision",),
    "eva02": ("timm",),
    "cls": tuple(name for name in CLASSES if not name.startswith("siglip")),
    "mean": tuple(CLASSES),
    "pooled": (*CLASSES, "timm"),
}
"""Kinds of networks that each recipe takes."""
_PREFIX_TOKENS = {"siglip": 0, "siglip_vision_model": 0, "deit": 2}
_UNUSED_POOLERS = ("pooler.dense.weight", "pooler.dense.bias", "pooler.layernorm.weight", "pooler.layernorm.bias")
_SMALL = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


def _random(kind: str, patch: int, *, projected: int | None = None) -> dict[str, dict[str, Any]]:
    """Settings of a random model by size: `full` as the base model, `tiny`, and `wide`."""
    common = {"model_type": kind, "patch_size": patch, "image_size": 224, "input": 224}
    base = {"num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}

    def sized(width: int, out: int | None, layers: dict[str, int]) -> dict[str, Any]:
        projection = {} if out is None else {"projection_dim": out}
        return common | layers | {"width": width, "hidden_size": out or width} | projection

    def small(width: int) -> dict[str, Any]:
        return sized(width, None if projected is None else width, _SMALL)

    return {"full": sized(768, projected, base), "tiny": small(64), "wide": small(1024)}


RANDOM: dict[str, dict[str, dict[str, Any]]] = {
    "clip": _random("clip", 16, projected=512),
    "dinov2": _random("dinov2", 14),
    "data2vec_vision": _random("data2vec-vision", 16),
    "eva02": {
        "full": {"model_type": "timm", "architecture": "eva02_base_patch14_224", "hidden_size": 768, "input": 224},
        "tiny": {"model_type": "timm", "architecture": "eva02_tiny_patch14_224", "hidden_size": 192, "input": 224},
        "wide": {"model_type": "timm", "architecture": "eva02_large_patch14_224", "hidden_size": 1024, "input": 224},
    },
    "cls": _random("vit", 16),
    "mean": _random("vit", 16),
    "pooled": _random("vit", 16),
}
"""Settings of random models, by recipe and size."""


def read_image_settings(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Kind, width and input side of a network, from its `config.json` and `preprocessor_config.json`.

    Args:
        folder: Where its files are.
        recipe: The recipe that it is for.

    Raises:
        RunError: If a file is damaged, or the network does not fit the recipe; lists those that do.
    """
    settings = read_json(folder / "config.json")
    timm = "architecture" in settings
    kind = "timm" if timm else str(settings.get("model_type"))
    if kind not in FITTING[recipe]:
        raise RunError(
            f"{folder / 'config.json'}: recipe {recipe} takes model_type {', '.join(FITTING[recipe])}, got {kind!r}"
        )
    own = settings.get("vision_config") or settings
    if timm:
        side = settings.get("pretrained_cfg", {}).get("input_size", [3, 224, 224])[-1]
        return {"model_type": "timm", "architecture": settings["architecture"], "config": settings, "input": side,
                "hidden_size": _required(settings, "num_features", folder)}  # fmt: skip
    width = int(own.get("hidden_size", 768 if kind in _CLIPS else 0)) or int(_required(own, "hidden_size", folder))
    side = _side_of(read_json(folder / "preprocessor_config.json"), folder)
    made = {"model_type": kind, "hidden_size": width, "width": width, "input": side}
    if kind not in _CLIPS:
        return made
    projection = int(settings.get("projection_dim", own.get("projection_dim", 512)))
    is_projected = recipe in {"clip", "pooled"}
    return made | {"projection_dim": projection, "hidden_size": projection if is_projected else width}


def _required(settings: Mapping[str, Any], key: str, folder: Path) -> Any:
    if key not in settings:
        raise RunError(f"{folder / 'config.json'}: no setting {key}")
    return settings[key]


def _side_of(processor: Mapping[str, Any], folder: Path) -> int:
    """Side of what the processor gives: of the cut where it cuts, else of the size."""
    cut = processor.get("crop_size") if processor.get("do_center_crop", "crop_size" in processor) else None
    size = cut or processor.get("size", 224)
    if isinstance(size, int):
        return size
    side = size.get("height") or size.get("shortest_edge")
    if side is None or size.get("width", side) != side:
        raise RunError(f"{folder / 'preprocessor_config.json'}: expected square input, got size {size}")
    return int(side)


def build_model(weights: ResolvedWeights, settings: Mapping[str, Any], recipe: Recipe) -> Any:
    """A torch module that gives (N, D) for (N, 3, side, side), float32 on the CPU; its `scaling()` fits frames to it.

    Args:
        weights: The weights.
        settings: What `read_image_settings` gave, or the architecture that a seed fills.
        recipe: What becomes an image's row.

    Raises:
        RunError: If the weights are damaged or of another model.
    """
    import torch

    kind = str(settings["model_type"])
    if kind == "timm":
        network, own_scaling = _timm_model(weights, settings)
    else:
        network, own_scaling = _transformers_model(weights, settings, pooled=recipe == "pooled")

    class RowPerImage(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def scaling(self) -> Scaling:
            return own_scaling()

        def forward(self, pixels: torch.Tensor) -> Any:
            return self.network(pixels) if kind == "timm" else _row(self.network, pixels, kind, recipe)

    return RowPerImage()


def _row(network: Any, pixels: torch.Tensor, kind: str, recipe: Recipe) -> Any:
    summed = recipe in {"dinov2", "data2vec_vision"}
    output = network(pixels, output_hidden_states=summed)
    if summed:  # the state of the last block: before the final norm, where there is one
        return output.hidden_states[-1].float().sum(dim=1)
    if recipe == "clip" or (recipe == "pooled" and kind in _CLIPS):
        return output.image_embeds
    if recipe == "pooled":
        return output.pooler_output
    tokens = output.last_hidden_state
    registers = int(getattr(network.config, "num_register_tokens", 0) or 0)
    return tokens[:, 0] if recipe == "cls" else tokens[:, _PREFIX_TOKENS.get(kind, 1 + registers) :].mean(dim=1)


def _transformers_model(
    weights: ResolvedWeights, settings: Mapping[str, Any], *, pooled: bool
) -> tuple[Any, Callable[[], Scaling]]:
    import transformers

    kind = str(settings["model_type"])
    model_class = getattr(transformers, CLASSES[kind])
    if weights.folder is None:
        names = ("patch_size", "image_size", *_SMALL, "projection_dim")
        made = {name: settings[name] for name in names if name in settings} | {"hidden_size": settings["width"]}
        if kind == "dinov2":
            made.pop("intermediate_size")
        module = load_model(weights, model_class, made)
        return module, lambda: processor_scaling(transformers.CLIPImageProcessor())
    changed = {"projection_dim": settings["projection_dim"]} if kind in _CLIPS else {}
    module = load_model(weights, model_class, {}, () if pooled else _UNUSED_POOLERS, changed)
    processors: Any = transformers.AutoImageProcessor
    return module, lambda: processor_scaling(processors.from_pretrained(str(weights.folder), local_files_only=True))


def _counted(names: Collection[str]) -> str:
    return f"{len(names)} parameters, first {min(names)}"


def _timm_model(weights: ResolvedWeights, settings: Mapping[str, Any]) -> tuple[Any, Callable[[], Scaling]]:
    import timm

    timm_data: Any = importlib.import_module("timm.data")

    def make() -> Any:
        return timm.create_model(settings["architecture"], pretrained=False, num_classes=0)

    try:
        module = seeded(weights.identity["seed"], make) if weights.folder is None else make()
    except (RuntimeError, TypeError) as error:
        raise RunError(f"image: timm has no model {settings['architecture']!r}: {error}") from error
    if module.num_features != settings["hidden_size"]:
        raise RunError(
            f"image: {settings['architecture']} is {module.num_features} wide, not {settings['hidden_size']}"
        )
    if weights.folder is not None:
        path = Path(weights.folder, weights.identity["file"])
        where = f"{path}: does not fit its config.json"
        fill_network(module, read_timm_file(path), where, ("head.", "fc."), _counted)
        module.pretrained_cfg = {**module.pretrained_cfg, **settings["config"].get("pretrained_cfg", {})}
    transform = timm_data.create_transform(**timm_data.resolve_model_data_config(module), is_training=False)
    *fitting, _, normal = transform.transforms

    def fit(rgb: Pixels) -> Pixels:
        from PIL import Image

        image = Image.fromarray(rgb)
        for step in fitting:
            image = step(image)
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))

    mean, deviation = (tuple(float(v) for v in values) for values in (normal.mean, normal.std))
    return module, lambda: Scaling(fit, 1 / 255, mean, deviation)
