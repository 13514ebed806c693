from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as nnf
from safetensors import safe_open
from timm.models.vision_transformer import VisionTransformer
from transformers import VideoMAEModel, ViTMAEModel

from configs.errors import RunError
from extractors.core.networks.pth import HEADS, build_pth, key_table, read_pth
from extractors.core.networks.random_weights import seeded

WIDTH, DEPTH, HEAD = 128, 2, 64


def mae() -> VisionTransformer:
    """timm's ViT, which MAE's own code is derived from: 64 x 64 frames, two blocks, two heads of 64."""

    def build() -> VisionTransformer:
        model = VisionTransformer(img_size=64, embed_dim=WIDTH, depth=DEPTH, num_heads=WIDTH // HEAD, num_classes=0)
        for name, value in model.named_parameters():
            torch.nn.init.normal_(value, std=0.1 if "weight" in name else 0.5)
        return model.eval()

    return seeded(0, build)


def mae_state() -> dict[str, torch.Tensor]:
    """Parameters as a pre-training run of MAE writes them, decoder included."""
    decoder = {"mask_token": (1, 1, 32), "decoder_embed.weight": (32, WIDTH), "decoder_pos_embed": (1, 17, 32)}
    return dict(mae().state_dict()) | {name: torch.zeros(shape) for name, shape in decoder.items()}


def videomae_state(prefix: str = "encoder.") -> dict[str, torch.Tensor]:
    """Parameters as VideoMAE's own code writes them; `encoder.` and a decoder beside it when pre-trained."""
    shapes: dict[str, tuple[int, ...]] = {"patch_embed.proj.weight": (WIDTH, 3, 2, 16, 16), "norm.weight": (WIDTH,)}
    shapes |= {"patch_embed.proj.bias": (WIDTH,), "norm.bias": (WIDTH,)}
    inner: dict[str, tuple[int, ...]] = {"attn.qkv.weight": (3 * WIDTH, WIDTH), "attn.proj.weight": (WIDTH, WIDTH)}
    inner |= {"mlp.fc1.weight": (4 * WIDTH, WIDTH), "mlp.fc1.bias": (4 * WIDTH,), "mlp.fc2.weight": (WIDTH, 4 * WIDTH)}
    vectors = ("attn.q_bias", "attn.v_bias", "attn.proj.bias", "mlp.fc2.bias")
    norms = ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")
    inner |= dict.fromkeys((*vectors, *norms), (WIDTH,))
    shapes |= {f"blocks.{n}.{name}": shape for n in range(DEPTH) for name, shape in inner.items()}
    generator = torch.Generator().manual_seed(0)
    state = {f"{prefix}{name}": 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    decoder = {"mask_token": (1, 1, 32), "encoder_to_decoder.weight": (32, WIDTH), "decoder.head.bias": (1536,)}
    return state | ({name: torch.zeros(shape) for name, shape in decoder.items()} if prefix else {})


def videomae_tokens(state: dict[str, torch.Tensor], frames: torch.Tensor, *, last_norm: bool = True) -> torch.Tensor:
    """(1568, D) of (16, 3, 224, 224): VideoMAE's encoder written out anew."""
    p = {name.removeprefix("encoder."): value for name, value in state.items()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return nnf.layer_norm(x, (WIDTH,), p[f"{name}.weight"], p[f"{name}.bias"], eps=1e-6)

    kernel, bias = p["patch_embed.proj.weight"], p["patch_embed.proj.bias"]
    x = nnf.conv3d(frames.transpose(0, 1)[None], kernel, bias, stride=(2, 16, 16))[0].flatten(1).T
    angle = np.arange(len(x))[:, None] / 10000 ** (2 * (np.arange(WIDTH) // 2) / WIDTH)
    x = x + torch.tensor(np.where(np.arange(WIDTH) % 2, np.cos(angle), np.sin(angle)), dtype=torch.float32)
    for n in range(DEPTH):
        block = f"blocks.{n}"
        y, attention = norm(x, f"{block}.norm1"), f"{block}.attn"
        biases = (p[f"{attention}.q_bias"], torch.zeros(WIDTH), p[f"{attention}.v_bias"])
        fused = nnf.linear(y, p[f"{attention}.qkv.weight"], torch.cat(biases))
        q, k, v = fused.view(len(x), 3, -1, HEAD).permute(1, 2, 0, 3)
        seen = ((q @ k.transpose(1, 2)) * HEAD**-0.5).softmax(-1) @ v
        x = x + nnf.linear(seen.transpose(0, 1).flatten(1), p[f"{attention}.proj.weight"], p[f"{attention}.proj.bias"])
        y = nnf.gelu(nnf.linear(norm(x, f"{block}.norm2"), p[f"{block}.mlp.fc1.weight"], p[f"{block}.mlp.fc1.bias"]))
        x = x + nnf.linear(y, p[f"{block}.mlp.fc2.weight"], p[f"{block}.mlp.fc2.bias"])
    return norm(x, "norm") if last_norm else x


def saved(path: Path, content: Any, **how: Any) -> Path:
    torch.save(content, path, **how)
    return path


@pytest.mark.parametrize("legacy", [False, True])
def test_a_mae_file_gives_the_tokens_that_timm_gives(tmp_path: Path, legacy: bool) -> None:
    beside = {"epoch": 340, "optimizer": {"state": {}}, "scaler": {}, "args": argparse.Namespace(model="mae")}
    content = {"model": mae_state()} | beside
    checkpoint = read_pth(saved(tmp_path / "mae.pth", content, _use_new_zipfile_serialization=not legacy), "mae-pth")
    assert checkpoint.epoch == 340
    model = build_pth(checkpoint, ViTMAEModel).eval()
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = model(pixels, noise=torch.arange(16.0).expand(2, -1)).last_hidden_state
        expected = mae().forward_features(pixels)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("prefix", "wrapper"), [("encoder.", "model"), ("", "module"), ("backbone.", None)])
def test_a_videomae_file_gives_the_tokens_of_its_own_code(tmp_path: Path, prefix: str, wrapper: str | None) -> None:
    state = videomae_state(prefix)
    checkpoint = read_pth(saved(tmp_path / "v.pth", {wrapper: state} if wrapper else state), "videomae-pth")
    assert checkpoint.epoch is None
    model = build_pth(checkpoint, VideoMAEModel).eval()
    pixels = torch.rand(16, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = model(pixels[None]).last_hidden_state[0]
        expected = videomae_tokens({k.removeprefix(prefix): v for k, v in state.items()}, pixels)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_fine_tuned_videomae_has_no_last_norm_and_its_head_is_left_out(tmp_path: Path) -> None:
    state = videomae_state("")
    state |= {"fc_norm.weight": state.pop("norm.weight"), "fc_norm.bias": state.pop("norm.bias")}
    checkpoint = read_pth(
        saved(tmp_path / "v.pth", {"model": state | {"head.weight": torch.zeros(7, WIDTH)}}), "videomae-pth"
    )
    assert checkpoint.settings["use_mean_pooling"]
    assert build_pth(checkpoint, VideoMAEModel).layernorm is None


@pytest.mark.parametrize(
    ("model_class", "state", "layout"),
    [(ViTMAEModel, mae_state, "mae-pth"), (VideoMAEModel, videomae_state, "videomae-pth")],
)
def test_parameters_get_the_names_of_published_checkpoints(
    tmp_path: Path, model_class: Any, state: Any, layout: Any
) -> None:
    checkpoint = read_pth(saved(tmp_path / "m.pth", {"model": state()}), layout)
    model_class(model_class.config_class(**checkpoint.settings)).save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as published:
        assert set(checkpoint.parameters) == set(published.keys())


def test_the_tables_and_heads_are_those_of_full_size() -> None:
    with torch.device("meta"):
        large = timm.create_model("vit_large_patch16_224", num_classes=0)
    assert set(key_table("mae-pth", 24)) == set(large.state_dict())
    assert HEADS[large.embed_dim] == large.blocks[0].attn.num_heads
    assert len(key_table("videomae-pth", 24, last_norm=False)) == 2 + 24 * 13


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"norm.weight": None}, r"1 parameters missing, first norm.weight, 0 unexpected"),
        (
            {"norm.weight": None, "fc_norm.weight": torch.zeros(WIDTH)},
            r"missing, first norm.weight, 1 unexpected, first fc_norm",
        ),
        (
            {"blocks.1.gamma_1": torch.zeros(WIDTH)},
            r"width 128, 2 blocks, patches of 16\): 0 .* first blocks.1.gamma_1",
        ),
        ({"blocks.0.mlp.fc2.bias": torch.zeros(5)}, r"(fc2.bias|dense.bias) is \(5,\), the architecture has \(128,\)"),
        ({"patch_embed.proj.weight": torch.zeros(100, 3, 16, 16)}, "width 100 cannot be divided into heads of 64"),
        ({"patch_embed.proj.weight": None}, r"no parameter patch_embed.proj.weight; it holds cls_token"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    state = {k: v for k, v in (mae_state() | change).items() if v is not None}
    path = saved(tmp_path / "m.pth", {"model": state})
    with pytest.raises(RunError, match=told) as error:
        build_pth(read_pth(path, "mae-pth"), ViTMAEModel)
    assert "\n" not in str(error.value)


def test_the_other_models_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pth", {"model": videomae_state()})
    with pytest.raises(RunError, match=r"shape \(128, 3, 2, 16, 16\), not that of a mae-pth"):
        read_pth(path, "mae-pth")
    with pytest.raises(RunError, match="not that of a videomae-pth"):
        read_pth(saved(tmp_path / "v.pth", {"model": mae_state()}), "videomae-pth")


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("pth_was_executed",))


@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"model": mae_state(), "args": Malicious()}
    path = saved(tmp_path / "evil.pth", content, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(RunError, match=r"evil.pth: refused.*: posix.mkdir"):
        read_pth(path, "mae-pth")
    assert not Path("pth_was_executed").exists()


def test_damaged_files_and_other_things_are_run_errors(tmp_path: Path) -> None:
    whole = saved(tmp_path / "m.pth", {"model": mae_state()}).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.pth").write_text("epoch 340")
    saved(tmp_path / "list.pth", [torch.zeros(2)])
    saved(tmp_path / "strange.pth", {"model": 3, "epoch": 1})
    for name in ("cut", "text", "list", "strange", "absent"):
        with pytest.raises(RunError, match=f"{name}.pth"):
            read_pth(tmp_path / f"{name}.pth", "mae-pth")
