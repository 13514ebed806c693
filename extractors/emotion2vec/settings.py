"""Settings of emotion2vec's checkpoints: `model_conf` of their `config.yaml`, as far as features depend on them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from configs.errors import RunError

# Variants of the training code that no published checkpoint uses, and with which numbers would be other ones.
_AS_PUBLISHED: dict[str, Any] = {
    "layer_norm_first": False,
    "modalities.audio.extractor_mode": "layer_norm",
    "modalities.audio.conv_pos_pre_ln": False,
    "modalities.audio.use_alibi_encoder": True,
    "modalities.audio.learned_alibi": False,
    "modalities.audio.learned_alibi_scale_per_layer": False,
    "modalities.audio.learned_alibi_scale_per_head": True,
}


@dataclass(frozen=True)
class Settings:
    """What the network is built from.

    Attributes:
        width: Of the states.
        depth: Number of main blocks.
        first_depth: Number of blocks before them.
        heads: Of the attention.
        widening: Hidden width of a block's perceptron by the width.
        epsilon: Of the blocks' norms.
        convolutions: Channels, kernel and stride of each of the first convolutions.
        place_layers: Number of convolutions that tell the place.
        place_kernel: Their kernel.
        place_groups: Their groups.
        extra_tokens: Learned tokens before the steps.
        normalize: Whether the samples are scaled to mean 0 and deviation 1 as a whole.
    """

    width: int
    depth: int
    first_depth: int
    heads: int
    widening: float
    epsilon: float
    convolutions: tuple[tuple[int, int, int], ...]
    place_layers: int
    place_kernel: int
    place_groups: int
    extra_tokens: int
    normalize: bool


def read_settings(path: Path) -> Settings:
    """Settings in a `config.yaml`.

    Raises:
        RunError: If it is none of emotion2vec, lacks a setting, or asks for a variant that was never published.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from error
    settings = content.get("model_conf") if isinstance(content, Mapping) else None
    if not isinstance(settings, Mapping):
        raise RunError(f"{path}: expected settings of emotion2vec under model_conf")
    return settings_of(settings, str(path))


def settings_of(given: Mapping[str, Any], where: str) -> Settings:
    """Settings from the values of `model_conf`.

    Args:
        given: The values.
        where: Where they stand, for messages.

    Raises:
        RunError: As `read_settings` does.
    """
    for name, expected in _AS_PUBLISHED.items():
        if (got := _value(given, name, where)) != expected:
            raise RunError(f"{where}: {name}: expected {expected}, as all published emotion2vec have it; got {got}")
    audio = "modalities.audio"
    layers = int(_value(given, f"{audio}.conv_pos_depth", where))
    return Settings(
        width=int(_value(given, "embed_dim", where)),
        depth=int(_value(given, "depth", where)),
        first_depth=int(_value(given, f"{audio}.prenet_depth", where)),
        heads=int(_value(given, "num_heads", where)),
        widening=float(_value(given, "mlp_ratio", where)),
        epsilon=float(_value(given, "norm_eps", where)),
        convolutions=_convolutions(str(_value(given, f"{audio}.feature_encoder_spec", where)), where),
        place_layers=layers,
        place_kernel=max(3, int(_value(given, f"{audio}.conv_pos_width", where)) // layers),
        place_groups=int(_value(given, f"{audio}.conv_pos_groups", where)),
        extra_tokens=int(_value(given, f"{audio}.num_extra_tokens", where)),
        normalize=bool(_value(given, "normalize", where)),
    )


def _value(given: Mapping[str, Any], name: str, where: str) -> Any:
    value: Any = given
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise RunError(f"{where}: no setting {name}")
        value = value[part]
    return value


def _convolutions(text: str, where: str) -> tuple[tuple[int, int, int], ...]:
    """The list in `[(512, 10, 5)] + [(512, 3, 2)] * 4`, read without running it."""
    try:
        return tuple((int(a), int(b), int(c)) for a, b, c in _evaluated(ast.parse(text, mode="eval").body))
    except (ValueError, TypeError, SyntaxError) as error:
        raise RunError(f"{where}: feature_encoder_spec: expected a list of three numbers each, got {text}") from error


def _evaluated(node: ast.expr) -> list[Any]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _evaluated(node.left) + _evaluated(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _evaluated(node.left) * int(ast.literal_eval(node.right))
    return list(ast.literal_eval(node))
