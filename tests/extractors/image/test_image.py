"""Image encoders: each recipe against the procedure of the script that it re-enacts, on the same random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers as hf
from PIL import Image
from safetensors.torch import save_file

from configs.errors import RunError
from extractors.core.media.clip_media import Media
from extractors.core.networks.random_weights import seeded
from extractors.image import SAMPLED
from extractors.image.models import CLASSES, FITTING
from storage.clip import Clip
from storage.records import Failure, Features
from tests.extractors.frame_clips import built, media_of, worst_of_batching

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
VISION = SMALL | {"image_size": 32, "patch_size": 16}
DINO = {k: v for k, v in VISION.items() if k != "intermediate_size"} | {"patch_size": 14, "image_size": 28}
SIZES = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}


def clip_model() -> Any:
    text = SMALL | {"vocab_size": 99}
    return hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=24))


MAKERS = {
    "clip": (clip_model, hf.CLIPImageProcessor(**SIZES)),
    "dinov2": (
        lambda: hf.Dinov2Model(hf.Dinov2Config(**DINO)),
        hf.BitImageProcessor(size={"shortest_edge": 36}, crop_size={"height": 28, "width": 28}),
    ),
    "data2vec_vision": (
        lambda: hf.Data2VecVisionModel(hf.Data2VecVisionConfig(**VISION)),
        hf.BeitImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False),
    ),
    "siglip": (
        lambda: hf.SiglipModel(hf.SiglipConfig(text_config=SMALL | {"vocab_size": 99}, vision_config=VISION)),
        hf.SiglipImageProcessor(size={"height": 32, "width": 32}),
    ),
    "vit": (lambda: hf.ViTModel(hf.ViTConfig(**VISION)), hf.ViTImageProcessor(size={"height": 32, "width": 32})),
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A tiny checkpoint of each kind, as its owners publish it."""
    made = {}
    for name, (make, processor) in MAKERS.items():
        made[name] = tmp_path_factory.mktemp(name)
        seeded(2, make).save_pretrained(made[name])
        processor.save_pretrained(made[name])
    made["eva02"] = tmp_path_factory.mktemp("eva02")
    model = seeded(2, lambda: timm.create_model("eva02_tiny_patch14_224", num_classes=10))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, made["eva02"] / "model.safetensors")
    config = {"architecture": "eva02_tiny_patch14_224", "num_features": 192, "num_classes": 10,
              "pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 0.9, "interpolation": "bicubic",
                                 "mean": [0.48, 0.45, 0.40], "std": [0.26, 0.26, 0.27]}}  # fmt: skip
    (made["eva02"] / "config.json").write_text(json.dumps(config))
    return made


@pytest.fixture(scope="module")
def crops(tmp_path_factory) -> Path:
    """MERTools' face crops of three clips: blue, green, red; 1, 10 and 100 of them."""
    root = tmp_path_factory.mktemp("openface_face")
    for name, count in (("one", 1), ("ten", 10), ("many", 100)):
        (root / name).mkdir()
        pixels = np.random.default_rng(count).integers(1, 255, (count, 7, 7, 3), dtype=np.uint8)
        np.save(root / name / f"{name}.npy", pixels.repeat(16, 1).repeat(16, 2))
    return root


def scripts(recipe: str, folder: Path, bgr: np.ndarray) -> np.ndarray:
    """What MERTools' script gives for a file of crops: rows, before the mean."""
    images = [Image.fromarray(crop[:, :, ::-1]) for crop in bgr]
    if recipe == "dinov2":
        step = len(images) / min(64, len(images))
        indices = np.arange(0, len(images), step).astype(int).tolist()[:64]
        indices += indices[-1:] * (64 - len(indices))
        images = [images[i] for i in indices]
    with torch.no_grad():
        if recipe == "eva02":
            model = timm.create_model("eva02_tiny_patch14_224", num_classes=10).eval()
            model.load_state_dict(timm.models.load_state_dict(folder / "model.safetensors"))
            model.reset_classifier(0)
            model.pretrained_cfg |= json.loads((folder / "config.json").read_text())["pretrained_cfg"]
            transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
            return model(torch.stack([transform(image) for image in images])).numpy()
        pixels = hf.AutoImageProcessor.from_pretrained(folder)(images=images, return_tensors="pt")["pixel_values"]
        model = hf.AutoModel.from_pretrained(folder).eval()
        if recipe == "clip":
            found = model.get_image_features(pixels)
            return (found if isinstance(found, torch.Tensor) else found.pooler_output).numpy()
        states = model(pixels, output_hidden_states=True).hidden_states
        return torch.stack(states)[-1].sum(dim=1).numpy()


def run(name: str, folder: Path, root: Path, **options: Any) -> Features | Failure:
    options = {"weights": {"local": str(folder)}, "crops": {"root": str(root), "frame_rate": 25}} | options
    extractor = built("image", options)
    (outcome,) = extractor.extract([Media(Clip(name), root)])
    return outcome


RECIPES = ("clip", "dinov2", "data2vec_vision", "eva02")
# A network of 224 x 224 is slow, and one recipe with a hundred crops, which are sampled, is enough for every day.
SLOW = {("many", "clip"), ("many", "data2vec_vision"), ("many", "eva02")}


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        pytest.param(name, recipe, marks=pytest.mark.slow if (name, recipe) in SLOW else ())
        for name in ("one", "ten", "many")
        for recipe in RECIPES
    ],
)
def test_released_crops_give_what_the_script_gives(folders, crops, recipe, name):
    expected = scripts(recipe, folders[recipe], np.load(crops / name / f"{name}.npy"))
    rows = run(name, folders[recipe], crops, recipe=recipe)
    np.testing.assert_allclose(rows.values, expected, atol=1e-4)
    assert rows.valid.all()
    assert len(rows.values) == (SAMPLED if recipe == "dinov2" else len(expected))
    mean = run(name, folders[recipe], crops, recipe=recipe, level="utterance")
    np.testing.assert_allclose(mean.values[0], expected.mean(axis=0), atol=1e-4)


def test_other_networks_have_merflows_own_rows(folders, tmp_path):
    media = media_of(tmp_path, 3)
    frames = [frame.rgb() for frame in media.frames()]
    for kind, model_class in (("vit", hf.ViTModel), ("siglip", hf.SiglipVisionModel)):
        model = model_class.from_pretrained(folders[kind]).eval()
        inputs = hf.AutoImageProcessor.from_pretrained(folders[kind])(frames, return_tensors="pt")
        with torch.no_grad():
            output = model(pixel_values=inputs["pixel_values"])
        tokens = output.last_hidden_state
        expected = {"pooled": output.pooler_output, "mean": tokens[:, 1 if kind == "vit" else 0 :].mean(dim=1)}
        expected |= {"cls": tokens[:, 0]} if kind == "vit" else {}
        for recipe, values in expected.items():
            extractor = built("image", {"weights": {"local": str(folders[kind])}, "input": "frame", "recipe": recipe})
            (found,) = extractor.extract([media])
            np.testing.assert_allclose(found.values, values.numpy(), atol=1e-5)
            np.testing.assert_array_equal(found.times, media.frame_times())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_resnet18_files_of_torchvisions_names_give_what_torchvision_gives(tmp_path, prefix):
    """Published face and ImageNet ResNet-18 have these names, some in a `state_dict`, from several devices."""
    network = seeded(4, lambda: torchvision.models.resnet18(num_classes=7)).eval()
    state = {prefix + name: value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state} if prefix else state, tmp_path / "pytorch_model.bin")
    scaling = {"input_size": [3, 224, 224], "crop_pct": 1.0, "interpolation": "bilinear",
               "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}  # fmt: skip
    config = {"architecture": "resnet18", "num_features": 512, "num_classes": 7, "pretrained_cfg": scaling}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "a").mkdir()
    crops = np.random.default_rng(0).integers(1, 255, (3, 224, 224, 3), dtype=np.uint8)
    np.save(tmp_path / "a" / "a.npy", crops)
    found = run("a", tmp_path, tmp_path, recipe="pooled", level="frame")
    rgb = torch.from_numpy(crops[..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(scaling[name])[:, None, None] for name in ("mean", "std"))
    network.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = network((rgb - mean) / std).numpy()
    assert expected.shape == (3, 512)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


@pytest.mark.parametrize("recipe", ["clip", "dinov2", "data2vec_vision"])
def test_a_batch_gives_what_single_clips_give(folders, tmp_path, recipe):
    clips = [media_of(tmp_path, frames, name) for frames, name in ((1, "a"), (3, "b"), (70, "c"))]
    options = {"weights": {"local": str(folders[recipe])}, "input": "frame", "recipe": recipe}
    assert worst_of_batching("image", options, clips) < 1e-5


def test_every_nth_frame(folders, tmp_path):
    media = media_of(tmp_path, 5)
    options = {"weights": {"local": str(folders["clip"])}, "input": "frame"}
    (every,), (third,) = (built("image", options | more).extract([media]) for more in ({}, {"every": 3}))
    np.testing.assert_array_equal(third.values, every.values[::3])
    np.testing.assert_array_equal(third.times, every.times[::3])


def test_a_network_that_does_not_fit_the_recipe_is_refused_with_those_that_do(folders):
    with pytest.raises(RunError, match=r"recipe clip takes model_type clip, clip_vision_model, got 'vit'"):
        _ = built("image", {"weights": {"local": str(folders["vit"])}, "recipe": "clip"}).spec
    assert {kind for kinds in FITTING.values() for kind in kinds} == {*CLASSES, "timm"}


def test_recipes_and_sources_have_digests_of_their_own(folders, crops):
    def digest(**options):
        options = {"weights": {"random": {"seed": 0, "size": "tiny"}}, "input": "frame"} | options
        return built("image", options).spec.digest

    found = {recipe: digest(recipe=recipe) for recipe in FITTING}
    assert len(set(found.values())) == len(FITTING)
    released = {"input": "main_face", "crops": {"root": str(crops)}}
    assert digest(**released) not in {digest(input="main_face"), digest()}
    elsewhere = {"input": "main_face", "crops": {"root": "elsewhere"}}
    assert digest(**released) == digest(**elsewhere)  # where they lie changes no number


def test_a_pooler_that_the_file_lacks_is_not_made_up(folders, tmp_path):
    hf.ViTModel(hf.ViTConfig(**VISION), add_pooling_layer=False).save_pretrained(tmp_path)
    MAKERS["vit"][1].save_pretrained(tmp_path)
    built("image", {"weights": {"local": str(tmp_path)}, "recipe": "cls", "input": "frame"})
    with pytest.raises(RunError, match=r"the weights lack 2 parameters, first pooler\.dense\.bias"):
        built("image", {"weights": {"local": str(tmp_path)}, "recipe": "pooled", "input": "frame"})


def test_timm_files_with_other_parameters_are_refused(folders, tmp_path):
    (tmp_path / "config.json").write_bytes((folders["eva02"] / "config.json").read_bytes())
    state = timm.models.load_state_dict(folders["eva02"] / "model.safetensors")
    for change, message in (
        (lambda s: s.pop("patch_embed.proj.bias"), "lacks 1 parameters, first patch_embed.proj.bias"),
        (lambda s: s.update(stranger=torch.zeros(1)), "also has 1 parameters, first stranger"),
        (lambda s: s.update(cls_token=torch.zeros(1, 1, 5)), r"cls_token is \(1, 1, 5\), expected \(1, 1, 192\)"),
    ):
        changed = {k: v.contiguous() for k, v in state.items()}
        change(changed)
        save_file(changed, tmp_path / "model.safetensors")
        with pytest.raises(RunError, match=message):
            built("image", {"weights": {"local": str(tmp_path)}, "recipe": "eva02", "input": "frame"})
