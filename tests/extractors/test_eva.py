from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models.eva import Eva

from configs.errors import ConfigError, RunError
from extractors.core.extractor import resolve_dependencies
from extractors.core.media.clip_media import Media
from extractors.core.networks.random_weights import seeded
from extractors.eva import CLIP_SCALE, FULL
from storage.records import Failure, Features, FeatureSpec
from tests.extractors.faces_first import build_alone
from tests.extractors.frame_clips import TINY, built, media_of, run, worst_of_batching

NAME = "eva_giant_patch14_clip_224"
AUS = ("AU06_r", "AU12_r", "AU06_c", "AU12_c")


def small_giant(**settings: Any) -> Eva:
    """The architecture of Emotion-LLaMA's encoder with fewer and narrower blocks."""
    shape = {"patch_size": 14, "embed_dim": 64, "depth": 3, "num_heads": 4, "mlp_ratio": 2.0, "global_pool": "token"}
    return Eva(**shape | {"img_size": 224, "num_classes": 16} | settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as timm publishes them: 224 x 224, with the head of CLIP's projection."""
    path = tmp_path_factory.mktemp("eva")

    def build() -> Eva:
        model = small_giant()
        for name, value in model.named_parameters():
            torch.nn.init.normal_(value, std=0.5 if name.endswith(("bias", "norm.weight", "pos_embed")) else 0.1)
        return model

    save_file(seeded(0, build).state_dict(), path / "model.safetensors")
    settings = {
        "architecture": NAME,
        "num_features": 64,
        "pretrained_cfg": {"mean": CLIP_SCALE[0], "std": CLIP_SCALE[1]},
    }
    (path / "config.json").write_text(json.dumps(settings))
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm gives the small model under the large one's name."""
    monkeypatch.setattr(timm, "create_model", lambda name, *, pretrained, **plain: small_giant(**plain))


def pixels_of(frame: np.ndarray) -> torch.Tensor:
    """(1, 3, 448, 448) as Emotion-LLaMA's processor makes them."""
    resized = np.asarray(Image.fromarray(frame).resize((448, 448), Image.Resampling.BICUBIC), np.float32) / 255
    scaled = (resized - np.array(CLIP_SCALE[0], np.float32)) / np.array(CLIP_SCALE[1], np.float32)
    return torch.from_numpy(scaled).permute(2, 0, 1)[None]


def first_frame(media: Media) -> np.ndarray:
    return next(iter(media.frames())).rgb()


@pytest.mark.usefixtures("small")
def test_the_class_token_is_timms_own(folder: Path, tmp_path: Path) -> None:
    media = media_of(tmp_path, 3)
    found = run("eva", media, weights={"local": str(folder)})
    model = small_giant(img_size=448).eval()
    weights = str(folder / "model.safetensors")
    timm.models.load_checkpoint(model, weights, filter_fn=timm.models.eva.checkpoint_filter_fn)
    with torch.no_grad():
        expected = model.forward_features(pixels_of(first_frame(media)))[:, 0]
    np.testing.assert_allclose(found.values, expected.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.times, [[0.0, 0.04]])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("tokens", ["class", "patches"])
def test_emotion_llamas_tokens_written_out_anew(folder: Path, tmp_path: Path, tokens: str) -> None:
    media = media_of(tmp_path, 2)
    found = run("eva", media, weights={"local": str(folder)}, recipe="emotion_llama", tokens=tokens)
    model = small_giant(img_size=448, num_classes=0).eval()
    state = load_file(folder / "model.safetensors")
    grid = state["pos_embed"][:, 1:].reshape(1, 16, 16, 64).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, size=(32, 32), mode="bicubic", align_corners=False)
    state["pos_embed"] = torch.cat([state["pos_embed"][:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith("head.")})
    with torch.no_grad():
        x = model.patch_embed(pixels_of(first_frame(media)))
        x = torch.cat([model.cls_token, x], dim=1) + model.pos_embed
        for block in list(model.blocks)[:-1]:
            x = block(x)
        x = torch.nn.functional.layer_norm(x, (64,))[0].numpy()
    expected = x[:1] if tokens == "class" else x[1:].reshape(256, 256)
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    assert found.times.tolist() == [[0.0, 0.04]] * len(expected)


def test_the_aspect_is_not_kept_and_only_the_chosen_frame_counts(tmp_path: Path) -> None:
    media = media_of(tmp_path, 5)
    first, middle = run("eva", media), run("eva", media, frame="middle")
    np.testing.assert_allclose(first.times, media.frame_times()[:1])
    np.testing.assert_allclose(middle.times, media.frame_times()[2:3])
    assert (first.values != middle.values).any()
    (unit,) = built("eva", {}).units(media)
    assert unit.shape == (3, 448, 448)


def test_features_share_a_network_only_where_it_is_the_same() -> None:
    one, middle, other = (built("eva", o) for o in ({}, {"frame": "middle"}, {"recipe": "emotion_llama"}))
    assert one._model is middle._model
    assert len(one._model.blocks) == len(other._model.blocks) + 1


def test_a_clip_of_one_frame_has_its_first_and_middle(tmp_path: Path) -> None:
    media = media_of(tmp_path, 1)
    np.testing.assert_array_equal(run("eva", media).values, run("eva", media, frame="middle").values)


class Aus:
    """Stands for the extractor of action units."""

    def __init__(self, columns: tuple[str, ...] = AUS, seed: int = 0) -> None:
        self.feature, self.needs, self.inputs = "action_units", (), {}
        self.spec = FeatureSpec("action_units", "action_units", "video", "frame", columns, recipe={"seed": seed})


def at_peak(aus: Aus, **options: Any) -> Any:
    eva = build_alone("eva", "eva", {"weights": TINY, "frame": "peak"} | options)
    assert resolve_dependencies([eva, aus])[-1] is eva  # type: ignore[list-item]
    return eva


def au_rows(media: Media, row: int) -> Features:
    values = np.full((len(media.frame_times()), len(AUS)), 0.5, np.float32)
    values[:, 2:] = 1
    values[row, :2] = 3.0
    return Features(values, media.frame_times().copy(), np.ones(len(values), np.bool_))


@pytest.mark.parametrize("rule", ["documented", "mer_factory"])
def test_the_peak_is_where_the_action_units_are_strongest(tmp_path: Path, rule: str) -> None:
    media = media_of(tmp_path, 6)
    eva = at_peak(Aus(), peak_rule=rule)
    assert eva.needs == ("action_units",)
    _ = eva.spec
    eva.load("cpu")
    media.set_feature("action_units", au_rows(media, 4))
    (found,) = eva.extract([media])
    np.testing.assert_allclose(found.times, media.frame_times()[4:5])
    assert next(eva.units(media)).tobytes() != next(built("eva", {}).units(media)).tobytes()


def test_without_a_face_there_is_no_peak(tmp_path: Path) -> None:
    media = media_of(tmp_path, 3)
    for tokens, width in (("class", 64), ("patches", 256)):
        eva = at_peak(Aus(), tokens=tokens)
        eva.load("cpu")
        nothing = Features(np.full((3, 4), np.nan, np.float32), media.frame_times(), np.zeros(3, np.bool_))
        media.set_feature("action_units", nothing)
        (found,) = eva.extract([media])
        assert np.isnan(found.values).all()
        assert found.values.shape == (1, width)
        np.testing.assert_allclose(found.times, [[0.0, 0.12]])


def test_a_clip_that_failed_for_its_aus_fails_for_the_same_reason(tmp_path: Path) -> None:
    media = media_of(tmp_path, 3)
    eva = at_peak(Aus())
    eva.load("cpu")
    media.set_feature("action_units", Failure("a", "action_units", "out_of_memory", "too large"))
    (found,) = eva.extract([media])
    assert (found.reason, found.message) == ("out_of_memory", "action_units: too large")


def test_a_feature_without_aus_is_refused_before_any_work() -> None:
    with pytest.raises(RunError, match="no AU intensity columns"):
        _ = at_peak(Aus(("mouth_open",))).spec
    with pytest.raises(RunError, match="no AU presence columns"):
        _ = at_peak(Aus(AUS[:2])).spec
    assert len(at_peak(Aus(AUS[:2]), peak_rule="mer_factory").spec.columns) == 64


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-4), ("bf16", 1e-2)])
def test_a_clip_alone_and_in_a_batch_agree(tmp_path: Path, precision: str, bound: float) -> None:
    clips = [media_of(tmp_path, 1, name) for name in ("p", "q", "r")]
    assert worst_of_batching("eva", {"precision": precision}, clips) < bound


def test_digests_tell_every_setting_apart() -> None:
    choices: list[dict[str, Any]] = [
        {},
        {"weights": {"random": {"seed": 1, "size": "tiny"}}},
        {"frame": "middle"},
        {"tokens": "patches"},
        {"recipe": "emotion_llama"},
        {"precision": "bf16"},
        {"compile": True},
    ]
    digests = {build_alone("eva", "e", {"weights": TINY} | o).spec.digest for o in choices}
    peaks = {at_peak(Aus(seed=s), peak_rule=r).spec.digest for s in (0, 1) for r in ("documented", "mer_factory")}
    assert len(digests | peaks) == len(choices) + 4


def test_options_without_effect_are_refused() -> None:
    with pytest.raises(ConfigError, match="peak_rule is for frame: peak"):
        build_alone("eva", "e", {"peak_rule": "mer_factory"})


def test_full_is_eva_g_of_448() -> None:
    with torch.device("meta"):
        model = timm.create_model(FULL["architecture"], pretrained=False, img_size=448, num_classes=0, global_pool="")
    assert (model.embed_dim, len(model.blocks), model.pos_embed.shape[1]) == (1408, 40, 1025)
    full = {"weights": {"random": {"size": "full"}}}
    assert len(build_alone("eva", "e", full).spec.columns) == 1408
    assert len(build_alone("eva", "e", full | {"tokens": "patches"}).spec.columns) == 5632


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("eva_was_executed",))


@pytest.mark.usefixtures("small")
def test_weights_that_do_not_fit(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loading(content: Any, settings: dict[str, Any] | str = "") -> None:
        given = settings or (folder / "config.json").read_text()
        (tmp_path / "config.json").write_text(given if isinstance(given, str) else json.dumps(given))
        torch.save(content, tmp_path / "pytorch_model.bin")
        extractor = build_alone("eva", "e", {"weights": {"local": str(tmp_path)}})
        _ = extractor.spec
        extractor.load("cpu")

    state = small_giant().state_dict()
    loading(state)
    with pytest.raises(RunError, match=r"with class token: lacks norm\.weight"):
        loading({k: v for k, v in state.items() if k != "norm.weight"})
    with pytest.raises(RunError, match=r"also has blocks\.7\.x"):
        loading(state | {"blocks.7.x": torch.zeros(1)})
    with pytest.raises(RunError, match=r"norm.bias is \(3,\), expected \(64,\)"):
        loading(state | {"norm.bias": torch.zeros(3)})
    with pytest.raises(RunError, match="got architecture 'vit_base'"):
        loading(state, {"architecture": "vit_base", "num_features": 64})
    with pytest.raises(RunError, match="expected timm's settings"):
        loading(state, "no json")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="cannot load the weights"):
        loading(state | {"evil": Malicious()})
    assert not Path("eva_was_executed").exists()


def test_names_that_timm_does_not_know_or_that_are_no_eva(folder: Path, tmp_path: Path) -> None:
    for name, told in (("eva_none", "timm has no model"), ("eva02_tiny_patch14_224", "lacks|not a")):
        (tmp_path / "config.json").write_text(json.dumps({"architecture": name, "num_features": 192}))
        (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
        with pytest.raises(RunError, match=told):
            build_alone("eva", "e", {"weights": {"local": str(tmp_path)}}).load("cpu")
