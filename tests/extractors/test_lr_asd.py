"""LR-ASD: the network against a plain re-enactment, its inputs against their references, and whole clips."""

from __future__ import annotations

import importlib
import os

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from configs.errors import ConfigError, RunError
from configs.plugins import parse
from configs.schema import RunConfig
from extractors.core.extractor import build_extractor
from extractors.core.faces.lr_asd import LrAsd, face_crop, frame_scores, mfcc, read_lr_asd
from extractors.core.media.clip_media import Media
from extractors.core.networks.random_weights import seeded
from flows.plan import build_extractors
from storage.clip import Clip
from tests.extractors.test_speaking import BOTH, FPS, RATE, SIDE, frames, speech, tracks, voice_samples
from tests.media import tone, write_clip


def parameters(seed=0):
    """Random parameters in the published layout, whose norms remember something."""
    generator = torch.Generator().manual_seed(seed)
    held = seeded(seed, LrAsd).state_dict()
    positive = ("running_var", "norm_1.weight", "norm_2.weight")
    made = {}
    for name, value in held.items():
        if value.dtype == torch.int64:
            made[name] = value
        elif name.endswith(positive):
            made[name] = torch.rand(value.shape, generator=generator) + 0.5
        else:
            made[name] = value + 0.05 * torch.randn(value.shape, generator=generator)
    return made


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("lr_asd") / "random.model"
    torch.save(parameters() | {"lossV.FC.weight": torch.zeros(2, 128), "lossV.FC.bias": torch.zeros(2)}, path)
    return path


def plain(held, faces, coefficients):
    """(T,) scores, in the fewest words."""

    def norm(x, name):
        mean, var, weight, bias = (held[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias, eps=1e-3)

    def block(x, name, kinds, strides):
        for kind in kinds:
            for n, half in ((1, 2), (2, 1)):
                axes = {"s": (0, half, half), "m": (half, 0)}.get(kind, (half, 0, 0) if x.dim() == 5 else (0, half))
                convolution = F.conv3d if x.dim() == 5 else F.conv2d
                x = convolution(
                    x, held[f"{name}.{kind}_{n}.weight"], stride=strides if (kind, n) == ("s", 1) else 1, padding=axes
                )
                x = F.relu(norm(x, f"{name}.{kind}_norm_{n}"))
        return x

    def gate(x, name):
        return x * torch.sigmoid(norm(F.conv1d(x, held[f"{name}.attention.weight"]), f"{name}.bn"))

    def gru(x, name):
        weights = [held[f"{name}.{part}_l0"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        return torch.gru(x, torch.zeros(1, 1, 64), weights, True, 1, 0.0, False, False, True)[0]

    of_faces, of_audio = ((faces / 255 - 0.4161) / 0.1688)[None, None], coefficients.T[None, None]
    for n in (1, 2, 3):
        of_faces = block(of_faces, f"model.visualEncoder.block{n}", "st", (1, 2, 2) if n == 1 else 1)
        of_audio = block(of_audio, f"model.audioEncoder.block{n}", "mt", 1)
        if n < 3:
            of_faces = F.max_pool3d(of_faces, (1, 3, 3), (1, 2, 2), (0, 1, 1))
            of_audio = F.max_pool2d(of_audio, (1, 3), (1, 2), (0, 1))
    x = gate(torch.cat([of_audio.mean(dim=2), of_faces.amax(dim=(3, 4))], dim=1), "model.fusion").transpose(1, 2)
    both = [gru(x, "model.detector.gru_forward"), gru(x.flip(1), "model.detector.gru_backward").flip(1)]
    x = gate(torch.cat(both, dim=2).transpose(1, 2), "model.detector.attention")
    return F.linear(x.transpose(1, 2), held["lossAV.FC.weight"], held["lossAV.FC.bias"])[0, :, 1]


def inputs(steps, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (steps, 112, 112), np.uint8), rng.normal(0, 5, (4 * steps, 13))


def test_scores_are_those_of_the_plain_words(file):
    faces, coefficients = inputs(9)
    with torch.no_grad():
        expected = plain(
            parameters(), torch.tensor(faces, dtype=torch.float32), torch.tensor(coefficients, dtype=torch.float32)
        )
        found = read_lr_asd(file)(
            torch.tensor(faces[None], dtype=torch.float32), torch.tensor(coefficients[None], dtype=torch.float32)
        )
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-5)


def test_frames_have_the_mean_over_pieces_of_one_to_six_seconds(file):
    faces, coefficients = inputs(40)
    network = read_lr_asd(file)
    with torch.no_grad():
        rows = [torch.tensor(x[None], dtype=torch.float32) for x in (faces, coefficients)]
        whole = network(*rows)[0].numpy()
        seconds = np.concatenate(
            [network(rows[0][:, i : i + 25], rows[1][:, 4 * i : 4 * i + 100])[0].numpy() for i in (0, 25)]
        )
    expected = (3 * seconds + 8 * whole) / 11
    np.testing.assert_allclose(frame_scores(network, faces, coefficients), expected, atol=1e-5)
    assert len(frame_scores(network, faces, coefficients[:-3])) == 39


@pytest.mark.skipif("MERFLOW_LR_ASD" not in os.environ, reason="MERFLOW_LR_ASD names no checkout of LR-ASD")
def test_the_original_code_gives_the_same(file, monkeypatch):
    monkeypatch.syspath_prepend(os.environ["MERFLOW_LR_ASD"])
    model = importlib.import_module("model.Model").ASD_Model().eval()
    held = parameters()
    model.load_state_dict({k.removeprefix("model."): v for k, v in held.items() if k.startswith("model.")})
    faces, coefficients = inputs(50)
    rows = [torch.tensor(x[None], dtype=torch.float32) for x in (faces, coefficients)]
    with torch.no_grad():
        of_audio, of_faces = model.forward_audio_frontend(rows[1]), model.forward_visual_frontend(rows[0])
        states = model.forward_audio_visual_backend(of_audio, of_faces).reshape(-1, 128)
        expected = F.linear(states, held["lossAV.FC.weight"], held["lossAV.FC.bias"])[:, 1]
        found = read_lr_asd(file)(*rows)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_coefficients_of_a_tone_are_those_of_the_definition():
    """One frame by the definition, filter by filter."""
    samples = np.round(tone(0.1, 16_000)[0] * 32767).astype(np.float32) / 32768
    found = mfcc(samples, 16_000)
    assert found.shape == (9, 13)
    signal = samples.astype(np.float64) * 32768
    signal = np.concatenate([signal[:1], signal[1:] - 0.97 * signal[:-1]])
    power = np.abs(np.fft.rfft(signal[160:560], 512)) ** 2 / 512
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28)
    edges = [int(513 * 700 * (10 ** (m / 2595) - 1) / 16_000) for m in mel]
    banded = []
    for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
        rising = sum(power[k] * (k - low) / (middle - low) for k in range(low, middle))
        banded.append(np.log(rising + sum(power[k] * (high - k) / (high - middle) for k in range(middle, high))))
    for n in range(1, 13):
        cosine = sum(b * np.cos(np.pi * n * (2 * i + 1) / 52) for i, b in enumerate(banded)) * np.sqrt(2 / 26)
        np.testing.assert_allclose(found[1, n], cosine * (1 + 11 * np.sin(np.pi * n / 22)), rtol=1e-9)
    np.testing.assert_allclose(found[1, 0], np.log(power.sum()), rtol=1e-12)


def test_a_crop_is_the_middle_of_the_published_one():
    rows, columns = np.mgrid[0:400, 0:400].astype(float)
    crop = face_crop(rows / 2 + 10, (200.0, 180.0), 60.0)
    assert crop.shape == (112, 112)
    top, bottom = 180 - 60, 180 + 108
    expected = [(56.5 + i) * (bottom - top) / 224 - 0.5 + top for i in range(112)]
    np.testing.assert_allclose(crop[:, 50], np.rint(np.array(expected) / 2 + 10))
    beside = face_crop(columns * 0, (0.0, 180.0), 60.0)
    assert set(np.unique(beside)) == {0, 110}  # what lies beyond the frame is grey


def chosen(weights, **more):
    return parse(
        RunConfig,
        {"extractors": [{"name": "speaking"}], "speaking": {"method": "lr_asd", "weights": weights, **more}},
        "test",
    )


def test_each_face_of_a_clip_has_the_networks_scores(file, tmp_path):
    write_clip(tmp_path / "c.mp4", frames=frames(0.0, 2.1), audio=voice_samples()[None], rate=RATE, fps=FPS)
    media = Media(Clip("c", video="c.mp4", audio="c.mp4"), tmp_path)
    media.decode()
    media.set_feature("face_tracks", tracks(*BOTH))
    media.set_feature("voice_activity", speech())
    (extractor,) = [
        e for e in build_extractors(chosen({"local": str(file), "format": "lr-asd"})) if e.name == "speaking"
    ]
    extractor.load("cpu")
    (found,) = extractor.extract([media])
    assert found.valid.all()
    coefficients = mfcc(media.audio().samples[round(0.02 * RATE) :], RATE)
    for track in (0, 1):
        crops = np.stack(
            [
                face_crop(np.rint(f.rgb() @ np.array([0.299, 0.587, 0.114])), (track * SIDE + 80.0, 100.0), 50.0)
                for f in media.frames()
            ]
        )
        scores = frame_scores(read_lr_asd(file), crops, coefficients)
        mine = found.values[found.values[:, 0] == track]
        np.testing.assert_allclose(mine[0, 1], scores[: len(scores)].mean(), atol=0.02)
    assert extractor.spec.source == "LR-ASD"
    assert extractor.spec.weights["format"] == "lr-asd"


def test_random_weights_are_for_trying_and_say_so():
    (extractor,) = [e for e in build_extractors(chosen({"random": {"seed": 1}})) if e.name == "speaking"]
    extractor.load("cpu")
    assert extractor.spec.synthetic
    assert extractor.spec.weights == {"kind": "random", "seed": 1, "size": "full"}


def test_synchrony_has_the_digest_that_it_had():
    speaking = build_extractor("speaking", "speaking", {})
    speaking.inputs = {
        e.feature: e.spec for e in build_extractors(RunConfig.model_validate({"extractors": [{"name": "speaking"}]}))
    }
    assert speaking.spec.recipe == {"method": "synchrony", "piece": 3.0, "shortest": 1.5}
    assert speaking.spec.weights == {}


@pytest.mark.parametrize(
    ("speaking", "message"),
    [
        ({"method": "lr_asd"}, "method lr_asd needs its weights"),
        ({"method": "lr_asd", "weights": {"hub": "a/b"}}, "method lr_asd needs its weights"),
        ({"weights": {"local": "x", "format": "lr-asd"}}, "weights are for method: lr_asd"),
    ],
)
def test_a_method_and_its_weights_go_together(speaking, message):
    with pytest.raises(ConfigError, match=message):
        parse(RunConfig, {"extractors": [{"name": "speaking"}], "speaking": speaking}, "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: {k: v for k, v in held.items() if k != "model.fusion.bn.bias"}, r"lacks model\.fusion\.bn\.bias"),
        (lambda held: held | {"model.extra": torch.zeros(1)}, r"also has model\.extra"),
        (lambda held: held | {"lossAV.FC.bias": torch.zeros(3)}, r"lossAV\.FC\.bias is \(3,\), expected \(2,\)"),
    ],
)
def test_parameters_that_do_not_fit_are_named(tmp_path, change, message):
    torch.save(change(parameters()), tmp_path / "x.model")
    with pytest.raises(RunError, match=message):
        read_lr_asd(tmp_path / "x.model")
