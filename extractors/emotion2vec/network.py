"""The network of emotion2vec, a data2vec 2.0 for audio, for features only: no masks, no decoder, no dropout.

Ma et al., "emotion2vec: Self-Supervised Pre-Training for Speech Emotion Representation", ACL Findings 2024; Baevski et
al., "Efficient Self-supervised Learning with Contextualized Target Representations", ICML 2023. Parameters have the
names of the published checkpoints, so that a checkpoint is loaded with every key used. Distances between steps weigh
on the attention linearly, by head (Press et al., "Train Short, Test Long", ICLR 2022), with a learned scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from extractors.emotion2vec.settings import Settings


class Emotion2vecNetwork(nn.Module):
    """Scaled samples in, one vector per step of 20 ms out.

    Args:
        settings: As the checkpoint's `config.yaml` has them.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.modality_encoders = nn.ModuleDict({"AUDIO": _AudioEncoder(settings)})
        self.blocks = nn.ModuleList(_Block(settings) for _ in range(settings.depth))
        self.extra = settings.extra_tokens

    def forward(self, samples: Tensor) -> Tensor:
        """(B, T, D) from (B, N) samples."""
        states, bias = self.modality_encoders["AUDIO"](samples)
        for block in self.blocks:
            states = block(states, bias)
        kept: Tensor = states[:, self.extra :]
        return kept


class _AudioEncoder(nn.Module):
    """Convolutions, places, and the blocks before the main ones; gives the states and the bias of all attention."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        width, channels = settings.width, settings.convolutions[-1][0]
        self.local_encoder = _Convolutions(settings)
        self.project_features = nn.Sequential(nn.Identity(), nn.LayerNorm(channels), nn.Linear(channels, width))
        self.relative_positional_encoder = nn.Sequential(
            nn.Identity(), *(_Places(settings) for _ in range(settings.place_layers))
        )
        self.extra_tokens = nn.Parameter(torch.zeros(1, settings.extra_tokens, width))
        self.alibi_scale = nn.Parameter(torch.ones(1, 1, settings.heads, 1, 1))
        self.context_encoder = _FirstBlocks(settings)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        states = self.project_features(self.local_encoder(samples).transpose(1, 2))
        places = self.relative_positional_encoder(states.transpose(1, 2)).transpose(1, 2)
        extra = self.extra_tokens.expand(len(states), -1, -1)
        bias = nn.functional.pad(self._bias(states.shape[1]), (extra.shape[1], 0, extra.shape[1], 0))
        return self.context_encoder(torch.cat([extra, states + places], dim=1), bias), bias

    def _bias(self, steps: int) -> Tensor:
        """(1, heads, T, T): minus the distance between two steps, by each head's slope and scale."""
        scale = self.alibi_scale.float().clamp_min(0)[0]
        at = torch.arange(steps, device=scale.device)
        distance = (at[None] - at[:, None]).abs() * -1.0
        bias: Tensor = slopes(scale.shape[1]).to(scale.device)[None, :, None, None] * distance * scale
        return bias


class _FirstBlocks(nn.Module):
    """A norm, and the blocks before the main ones."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(settings) for _ in range(settings.first_depth))
        self.norm = nn.LayerNorm(settings.width, settings.epsilon)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        states = self.norm(states)
        for block in self.blocks:
            states = block(states, bias)
        return states


class _Convolutions(nn.Module):
    """(B, channels, T) of (B, N) samples."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList()
        before = 1
        for channels, kernel, stride in settings.convolutions:
            convolution = nn.Conv1d(before, channels, kernel, stride, bias=False)
            norm = nn.Sequential(nn.Identity(), nn.LayerNorm(channels), nn.Identity())
            self.conv_layers.append(nn.ModuleList([convolution, nn.Identity(), norm]))
            before = channels

    def forward(self, samples: Tensor) -> Tensor:
        states = samples[:, None]
        for layer in self.conv_layers:
            convolution, _, norm = layer.children()
            states = nn.functional.gelu(norm(convolution(states).transpose(1, 2)).transpose(1, 2))
        return states


class _Places(nn.Sequential):
    """One of the convolutions that tell a step where it is; norm over the channels, without parameters."""

    def __init__(self, settings: Settings) -> None:
        kernel, width = settings.place_kernel, settings.width
        super().__init__(nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=settings.place_groups))
        self.cut = 1 - kernel % 2

    def forward(self, states: Tensor) -> Tensor:
        states = self[0](states)
        states = states[..., : states.shape[-1] - self.cut]
        normed = nn.functional.layer_norm(states.transpose(1, 2), (states.shape[1],))
        return nn.functional.gelu(normed).transpose(1, 2)


class _Block(nn.Module):
    """Attention and a perceptron, each followed by its norm."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        width, hidden = settings.width, int(settings.width * settings.widening)
        self.norm1, self.norm2 = (nn.LayerNorm(width, settings.epsilon) for _ in range(2))
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self.heads = settings.heads

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        states = self.norm1(states + self._attention(states, bias))
        hidden = nn.functional.gelu(self.mlp["fc1"](states))
        given: Tensor = self.norm2(states + self.mlp["fc2"](hidden))
        return given

    def _attention(self, states: Tensor, bias: Tensor) -> Tensor:
        batch, steps, width = states.shape
        split = self.attn["qkv"](states).view(batch, steps, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        weights = (query * (width // self.heads) ** -0.5) @ key.transpose(-2, -1) + bias
        mixed = weights.softmax(dim=-1, dtype=torch.float32).to(value.dtype) @ value
        given: Tensor = self.attn["proj"](mixed.transpose(1, 2).reshape(batch, steps, width))
        return given


def slopes(heads: int) -> Tensor:
    """(heads,) by how much a step of distance weighs: powers of two, and the powers between where heads are no power.

    >>> slopes(4).tolist()
    [0.25, 0.0625, 0.015625, 0.00390625]
    """
    power = 1 << (heads.bit_length() - 1)
    whole = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    between = [2.0 ** (-8 * (i + 1) / (2 * power)) for i in range(0, 2 * power, 2)]
    return torch.tensor(whole + between[: heads - power])


def parameters_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Parameters of a checkpoint by the network's names: it may keep them under `model`, and after `d2v_model.`.

    Args:
        content: What the file holds.
    """
    held = content.get("model", content)
    return {str(name).removeprefix("d2v_model."): value for name, value in held.items()}
