"""emotion2vec against a plain re-enactment of data2vec 2.0, and against funasr's own code (opt-in)."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import types

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F  # noqa: N812

from configs.errors import RunError
from extractors.core.extractor import build_extractor
from extractors.core.networks.random_weights import seeded
from extractors.emotion2vec import TINY
from extractors.emotion2vec.network import Emotion2vecNetwork
from extractors.emotion2vec.settings import settings_of
from storage.records import Failure
from tests.extractors.speech_models import audio, media_of

A = "modality_encoders.AUDIO"


def parameters(seed=1):
    """Random parameters; nothing is at its neutral start, so that each one matters."""
    network = seeded(seed, lambda: Emotion2vecNetwork(settings_of(TINY, "test")))
    generator = torch.Generator().manual_seed(seed)
    return {k: v + 0.2 * torch.randn(v.shape, generator=generator) for k, v in network.state_dict().items()}


def save(folder, held=None, settings=TINY, wrap=lambda held: {"model": held}):
    folder.mkdir()
    torch.save(wrap(parameters() if held is None else held), folder / "model.pt")
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": "Emotion2vec", "model_conf": settings}))
    return folder


def emotion2vec(folder=None, **options):
    weights = {"random": {"seed": 0, "size": "tiny"}} if folder is None else {"local": str(folder)}
    extractor = build_extractor("emotion2vec", "emotion2vec", {"weights": weights, **options})
    extractor.load("cpu")
    return extractor


def plain(held, samples):
    """(T, D) of a waveform, in the words of the paper."""
    x = F.layer_norm(torch.tensor(samples), samples.shape)[None, None]
    for i, stride in enumerate((5, 2, 2, 2, 2, 2, 2)):
        x = F.conv1d(x, held[f"{A}.local_encoder.conv_layers.{i}.0.weight"], stride=stride)
        norm = [held[f"{A}.local_encoder.conv_layers.{i}.2.1.{part}"] for part in ("weight", "bias")]
        x = F.gelu(F.layer_norm(x.transpose(1, 2), x.shape[1:2], *norm).transpose(1, 2))
    x = x.transpose(1, 2)
    norm, linear = ([held[f"{A}.project_features.{i}.{p}"] for p in ("weight", "bias")] for i in (1, 2))
    x = F.linear(F.layer_norm(x, x.shape[-1:], *norm), *linear)
    at = x.transpose(1, 2)
    for i in range(1, 6):
        at = F.conv1d(
            at, *(held[f"{A}.relative_positional_encoder.{i}.0.{p}"] for p in ("weight", "bias")), padding=9, groups=16
        )
        at = F.gelu(F.layer_norm(at.transpose(1, 2), at.shape[1:2]).transpose(1, 2))
    steps = x.shape[1]
    x = torch.cat([held[f"{A}.extra_tokens"], x + at.transpose(1, 2)], dim=1)
    heads = held[f"{A}.alibi_scale"].shape[2]
    slopes = [2 ** -(8 * (i + 1) / 4) for i in range(4)] + [2 ** -(8 * (i + 1) / 8) for i in (0, 2)]
    bias = torch.zeros(heads, 10 + steps, 10 + steps)
    for head in range(heads):
        for i in range(steps):
            bias[head, 10 + i, 10:] = (
                -slopes[head] * (torch.arange(steps) - i).abs() * max(0, held[f"{A}.alibi_scale"][0, 0, head])
            )
    x = F.layer_norm(x, x.shape[-1:], *(held[f"{A}.context_encoder.norm.{p}"] for p in ("weight", "bias")))
    for block in (f"{A}.context_encoder.blocks.0", "blocks.0", "blocks.1"):
        of = lambda name: [held[f"{block}.{name}.{p}"] for p in ("weight", "bias")]  # noqa: B023, E731
        q, k, v = F.linear(x, *of("attn.qkv"))[0].view(10 + steps, 3, heads, -1).permute(1, 2, 0, 3)
        mixed = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5 + bias).softmax(-1) @ v
        x = F.layer_norm(
            x + F.linear(mixed.transpose(0, 1).reshape(1, 10 + steps, -1), *of("attn.proj")), x.shape[-1:], *of("norm1")
        )
        hidden = F.linear(F.gelu(F.linear(x, *of("mlp.fc1"))), *of("mlp.fc2"))
        x = F.layer_norm(x + hidden, x.shape[-1:], *of("norm2"))
    return x[0, 10:].numpy()


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_rows_are_those_of_the_paper(tmp_path, seconds):
    media = media_of(tmp_path, 0.3 * audio(seconds))
    folder = save(tmp_path / "model")
    (found,) = emotion2vec(folder).extract([media])
    expected = plain(parameters(), media.audio().samples)
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    assert found.times[0].tolist() == [0, 0.025]
    assert found.times[1, 0] == 0.02
    (mean,) = emotion2vec(folder, level="utterance").extract([media])
    np.testing.assert_allclose(mean.values[0], expected.mean(axis=0), atol=1e-4)


def funasr(folder):
    """funasr's own class, without the rest of its package, which wants torchaudio and more."""
    for name in ("funasr", "funasr.models", "funasr.models.emotion2vec", "funasr.utils"):
        module = types.ModuleType(name)
        module.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = module
    tables = types.SimpleNamespace(register=lambda *_: lambda made: made)
    stubs = {"register": {"tables": tables}, "utils.load_utils": {"load_audio_text_image_video": None}}
    for name, content in (stubs | {"utils.amp": {"autocast": None}}).items():
        module = types.ModuleType(f"funasr.{name}")
        module.__dict__.update(content)
        sys.modules[module.__name__] = module
    return importlib.import_module("funasr.models.emotion2vec.model").Emotion2vec


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("MERFLOW_TEST_INSTALL"), reason="MERFLOW_TEST_INSTALL=1 installs funasr")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seconds", [0.5, 3.0, 12.0])
def test_rows_are_those_of_funasr(tmp_path, monkeypatch, seconds):
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", tmp_path / "funasr"]
    subprocess.run([*install, "funasr==1.4.16", "omegaconf", "antlr4-python3-runtime==4.9.3"], check=True)
    monkeypatch.syspath_prepend(str(tmp_path / "funasr"))
    unused = {"mask_prob": 0.5, "mask_length": 5, "inverse_mask": False, "mask_dropout": 0.0, "add_masks": False}
    unused |= {"start_drop_path_rate": 0.0, "end_drop_path_rate": 0.0, "prenet_layerdrop": 0.0, "prenet_dropout": 0.0}
    unused |= {"local_grad_mult": 1.0, "init_extra_token_zero": True, "alibi_scale": 1.0, "learned_alibi_scale": True}
    unused |= {"alibi_max_pos": None, "num_alibi_heads": 6, "model_depth": 2, "mask_noise_std": 0.0, "decoder": None}
    settings = TINY | {"modalities": {"audio": TINY["modalities"]["audio"] | unused}}
    settings |= {"norm_affine": True, "encoder_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
    settings |= {"post_mlp_drop": 0.0, "end_of_block_targets": False, "dropout_input": 0.0, "layerdrop": 0.0}
    settings |= {"start_drop_path_rate": 0.0, "end_drop_path_rate": 0.0, "clone_batch": 8}
    model = funasr(tmp_path / "funasr")(model_conf=settings).eval()
    model.load_state_dict(parameters())  # every key, no other
    media = media_of(tmp_path, 0.3 * audio(seconds))
    samples = torch.tensor(media.audio().samples)
    with torch.no_grad():
        expected = model.extract_features(F.layer_norm(samples, samples.shape)[None])["x"][0].numpy()
    (found,) = emotion2vec(save(tmp_path / "model", settings=settings)).extract([media])
    np.testing.assert_allclose(found.values, expected, atol=1e-4)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda held: held,
        lambda held: {"model": {f"d2v_model.{k}": v for k, v in held.items()} | {"proj.weight": torch.zeros(9, 48)}},
        lambda held: {
            "model": held
            | {f"{A}.decoder.proj.weight": torch.zeros(3), f"{A}.alibi_scale": held[f"{A}.alibi_scale"][0]}
        },
    ],
)
def test_checkpoints_in_all_their_wrappings_give_the_same(tmp_path, wrap):
    media = media_of(tmp_path, 0.3 * audio(0.4))
    (usual,) = emotion2vec(save(tmp_path / "usual")).extract([media])
    (other,) = emotion2vec(save(tmp_path / "other", wrap=wrap)).extract([media])
    np.testing.assert_array_equal(usual.values, other.values)


def without(name):
    return {k: v for k, v in parameters().items() if k != name}


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (without("blocks.1.norm2.bias"), r"lacks blocks\.1\.norm2\.bias"),
        (parameters() | {"blocks.2.norm2.bias": torch.zeros(48)}, r"also has blocks\.2\.norm2\.bias"),
        (parameters() | {"blocks.0.norm1.bias": torch.zeros(5)}, r"blocks\.0\.norm1\.bias is \(5,\), expected \(48,\)"),
    ],
)
def test_parameters_that_do_not_fit_are_named(tmp_path, held, message):
    with pytest.raises(RunError, match=message):
        emotion2vec(save(tmp_path / "model", held))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TINY | {"layer_norm_first": True}, "layer_norm_first: expected False, as all published emotion2vec have it"),
        ({k: v for k, v in TINY.items() if k != "depth"}, "no setting depth"),
        (
            TINY
            | {"modalities": {"audio": {**TINY["modalities"]["audio"], "feature_encoder_spec": "__import__('os')"}}},
            "expected a list of three numbers each",
        ),
    ],
)
def test_settings_of_another_model_are_refused(tmp_path, settings, message):
    with pytest.raises(RunError, match=message):
        emotion2vec(save(tmp_path / "model", settings=settings))


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path):
    folder = save(tmp_path / "model", wrap=lambda held: {"model": held, "cfg": print})
    with pytest.raises(RunError, match="refused: damaged, or holds more than tensors"):
        emotion2vec(folder)


def test_long_audio_goes_through_windows_and_short_audio_has_a_reason(tmp_path):
    (found,) = emotion2vec().extract([media_of(tmp_path, 0.3 * audio(31.0))])
    assert len(found.values) == 1549
    (failed,) = emotion2vec().extract([media_of(tmp_path, 0.3 * audio(0.02))])
    assert isinstance(failed, Failure)
    assert failed.reason == "too_short"


def test_a_batch_gives_what_single_clips_give(tmp_path):
    clips = []
    for i, seconds in enumerate((0.5, 1.1, 0.5)):
        (tmp_path / str(i)).mkdir()
        clips.append(media_of(tmp_path / str(i), 0.2 * audio(seconds, seed=i)))
    alone = [emotion2vec().extract([clip])[0] for clip in clips]
    together = emotion2vec()
    together.budget = 10**9
    for one, other in zip(alone, together.extract(clips), strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)
