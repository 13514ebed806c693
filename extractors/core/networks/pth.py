"""Plain `.pth` checkpoints of MAE's and VideoMAE's own training code, read into transformers' models.

MAE: He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022. VideoMAE: Tong et al., NeurIPS 2022.
MERR's `mae_checkpoint-340.pth` and `maeVideo_ckp199.pth` are such files. Each holds `model` (or DeepSpeed's `module`),
parameters by name, often with an optimizer, the epoch and the training's arguments beside it. The names, and what they
are called in the checkpoints that Hugging Face publishes (N counts blocks):

    cls_token, pos_embed (MAE)       embeddings.cls_token, embeddings.position_embeddings
    patch_embed.proj                 embeddings.patch_embeddings.projection
    blocks.N.norm1, .norm2           encoder.layer.N.layernorm_before, .layernorm_after
    blocks.N.attn.qkv.weight         encoder.layer.N.attention.attention.query, .key, .value: a third of the rows each
    blocks.N.attn.qkv.bias (MAE)     the same
    blocks.N.attn.q_bias, .v_bias    encoder.layer.N.attention.attention.q_bias, .v_bias (VideoMAE: keys have no bias)
    blocks.N.attn.proj               encoder.layer.N.attention.output.dense
    blocks.N.mlp.fc1, .fc2           encoder.layer.N.intermediate.dense, .output.dense
    norm                             layernorm

VideoMAE's names may start with `encoder.` (pre-training) or `backbone.`; its position embedding is a fixed formula and
not in the file. Decoders, mask tokens and classification heads are left out. Anything else that is missing or too much
is an error. Both codes use 1e-6 as epsilon of their norms, Hugging Face's own conversions 1e-12.
"""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from configs.errors import RunError
from extractors.core.networks.weights import quiet_transformers

if TYPE_CHECKING:
    import torch

PthFormat = Literal["mae-pth", "videomae-pth"]
FRAMES = 16  # of VideoMAE; neither code stores it, nor the frame's side, nor the number of heads
SIDE = 224
HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16}  # of ViT-S, B, L and H; other widths are taken to have heads of 64
_ROOT = "patch_embed.proj.weight"
_FUSED = tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))
_OUTER = {"patch_embed.proj": "embeddings.patch_embeddings.projection", "norm": "layernorm"}
_BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_IGNORED = {
    "mae-pth": ("decoder_", "mask_token", "head."),
    "videomae-pth": ("decoder.", "encoder_to_decoder.", "mask_token", "head.", "fc_norm."),
}


@dataclass(frozen=True, slots=True, eq=False)
class PthCheckpoint:
    """One file, read.

    Attributes:
        path: The file.
        epoch: Epoch that the file says it was written after; None if it says none.
        settings: Settings of the transformers model that the parameters fit.
        parameters: Parameters by the names of Hugging Face's published checkpoints; read from the file when used.
    """

    path: Path
    epoch: int | None
    settings: Mapping[str, Any]
    parameters: Mapping[str, torch.Tensor]


def read_pth(path: Path, layout: PthFormat) -> PthCheckpoint:
    """Read a checkpoint; nothing but tensors, plain values and `argparse.Namespace` is unpickled.

    Args:
        path: The file.
        layout: Whose training code wrote it.

    Raises:
        RunError: If the file is damaged, holds other objects, or its parameters are not those of the architecture.
    """
    content = unpickled(path)
    parameters = next((content[key] for key in ("model", "module") if key in content), content)
    tensors = {_bare(name): value for name, value in parameters.items()} if isinstance(parameters, Mapping) else {}
    if _ROOT not in tensors:
        held = ", ".join(map(str, [*tensors, *content][:3]))
        raise RunError(f"{path}: not a {layout} checkpoint: no parameter {_ROOT}; it holds {held or 'nothing'}, ...")
    settings = _settings(path, tensors, layout)
    epoch = content.get("epoch")
    table = key_table(layout, settings["num_hidden_layers"], last_norm=not settings.get("use_mean_pooling", False))
    parameters = _renamed(path, tensors, table, layout, settings)
    return PthCheckpoint(path, epoch if isinstance(epoch, int) else None, settings, parameters)


def build_pth(checkpoint: PthCheckpoint, model_class: Any) -> Any:
    """Build the transformers model of a checkpoint, float32, on the CPU.

    Args:
        checkpoint: What `read_pth` gave.
        model_class: `ViTMAEModel` or `VideoMAEModel`.

    Raises:
        RunError: If a parameter has another shape than the architecture's.
    """
    import torch

    with quiet_transformers():
        model, info = model_class.from_pretrained(
            None,
            config=model_class.config_class(**checkpoint.settings),
            state_dict=dict(checkpoint.parameters),
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    for name, shape, expected in sorted(info["mismatched_keys"]):
        raise RunError(f"{checkpoint.path}: {name} is {tuple(shape)}, the architecture has {tuple(expected)}")
    strange = sorted({*info["missing_keys"], *info["unexpected_keys"]})
    if strange:
        raise RunError(f"{checkpoint.path}: does not fit {model_class.__name__}: {strange[0]}")
    return model


def key_table(layout: PthFormat, depth: int, *, last_norm: bool = True) -> dict[str, tuple[str, ...]]:
    """Names in the file, and the one or three names that each becomes.

    Args:
        layout: Whose training code wrote the file.
        depth: Number of blocks.
        last_norm: Whether a norm follows the last block.
    """
    outer = {k: v for k, v in _OUTER.items() if last_norm or k != "norm"}
    table, block = _pairs(outer), _pairs(_BLOCK)
    block["attn.qkv.weight"] = tuple(f"{to}.weight" for to in _FUSED)
    if layout == "mae-pth":
        table |= {"cls_token": ("embeddings.cls_token",), "pos_embed": ("embeddings.position_embeddings",)}
        block["attn.qkv.bias"] = tuple(f"{to}.bias" for to in _FUSED)
    else:
        block |= {f"attn.{name}": (f"attention.attention.{name}",) for name in ("q_bias", "v_bias")}
    for n in range(depth):
        table |= {f"blocks.{n}.{a}": tuple(f"encoder.layer.{n}.{b}" for b in to) for a, to in block.items()}
    return table


def _pairs(names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {f"{a}.{part}": (f"{b}.{part}",) for a, b in names.items() for part in ("weight", "bias")}


def unpickled(path: Path) -> Mapping[str, Any]:
    """What a checkpoint file holds; nothing but tensors, plain values and `argparse.Namespace` is unpickled.

    Raises:
        RunError: If the file is damaged, or holds other objects.
    """
    import torch

    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            # Files of torch before 1.6 are no zip files, and those cannot be mapped into memory.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        # Not torch's own words: they recommend to load such a file all the same.
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise RunError(
            f"{path}: refused: damaged, or holds more than tensors and plain values{f': {named[1]}' if named else ''}"
        ) from error
    # What is no checkpoint at all makes the unpickler stumble in these ways too.
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: cannot read the checkpoint: {' '.join(str(error).split())[:300]}") from error
    if not isinstance(content, Mapping):
        raise RunError(f"{path}: expected parameters by name, got {type(content).__name__}")
    return content


def _bare(name: object) -> str:
    return str(name).removeprefix("encoder.").removeprefix("backbone.")


def _settings(path: Path, tensors: Mapping[str, torch.Tensor], layout: PthFormat) -> dict[str, Any]:
    """The architecture, from the shapes of the parameters."""
    root = tensors[_ROOT]
    kernel = list(root.shape)[1:]
    if len(kernel) != (3 if layout == "mae-pth" else 4):
        raise RunError(f"{path}: {_ROOT} has shape {tuple(root.shape)}, not that of a {layout} checkpoint")
    width, first = root.shape[0], tensors.get("blocks.0.mlp.fc1.weight")
    if width not in HEADS and width % 64:
        raise RunError(f"{path}: width {width} cannot be divided into heads of 64")
    blocks = {int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")}
    settings: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": max(blocks, default=0) + 1,
        "num_attention_heads": HEADS.get(width, width // 64),
        "intermediate_size": 4 * width if first is None else first.shape[0],
        "num_channels": kernel[0],
        "patch_size": kernel[-1],
        "image_size": SIDE,
        "layer_norm_eps": 1e-6,
    }
    if layout == "mae-pth":
        return settings | {"mask_ratio": 0.0} | _side(tensors, kernel[-1])
    pooled = "norm.weight" not in tensors and "fc_norm.weight" in tensors
    return settings | {"num_frames": FRAMES, "tubelet_size": kernel[1], "use_mean_pooling": pooled}


def _side(tensors: Mapping[str, torch.Tensor], patch: int) -> dict[str, int]:
    """The frame's side, from the number of positions; empty where they are missing, which is reported later."""
    positions = tensors.get("pos_embed")
    return {} if positions is None else {"image_size": round((positions.shape[1] - 1) ** 0.5) * patch}


def _renamed(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    table: Mapping[str, Sequence[str]],
    layout: PthFormat,
    settings: Mapping[str, Any],
) -> dict[str, torch.Tensor]:
    missing = [name for name in table if name not in tensors]
    unexpected = [name for name in tensors if name not in table and not name.startswith(_IGNORED[layout])]
    if missing or unexpected:
        shape = "width {hidden_size}, {num_hidden_layers} blocks, patches of {patch_size}".format_map(settings)
        raise RunError(
            f"{path}: not a {layout} checkpoint ({shape}): {len(missing)} parameters missing"
            f"{_first(missing)}, {len(unexpected)} unexpected{_first(unexpected)}"
        )
    pairs = ((to, tensors[name].chunk(len(to))) for name, to in table.items())
    return {name: part for to, parts in pairs for name, part in zip(to, parts, strict=True)}


def _first(names: Sequence[str]) -> str:
    return f", first {names[0]}" if names else ""
