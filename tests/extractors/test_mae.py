from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessor, ViTMAEConfig, ViTMAEForPreTraining, ViTMAEModel

from configs.sections import Faces
from extractors.core.media.clip_media import Media
from extractors.core.media.crops import crop_face
from extractors.core.networks.random_weights import seeded
from extractors.core.networks.scaling import IMAGENET, plain_scaling
from extractors.mae import FULL, MAE, TINY
from tests.extractors.core.networks.test_pth import WIDTH, mae, mae_state, saved
from tests.extractors.faces_first import build_alone, hide_faces
from tests.extractors.frame_clips import CENTER, built, media_of, run, worst_of_batching
from tests.extractors.frame_clips import TINY as TINY_WEIGHTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its decoder and a mask ratio, as facebook/vit-mae-large is published."""
    path = tmp_path_factory.mktemp("mae")
    decoder = {"decoder_hidden_size": 32, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    seeded(1, lambda: ViTMAEForPreTraining(ViTMAEConfig(**TINY | decoder))).save_pretrained(path)
    ViTImageProcessor(**MAE.processor_defaults).save_pretrained(path)
    return path


def class_tokens(folder: Path, frames: list[np.ndarray]) -> np.ndarray:
    """(N, D): transformers' own model with all patches, in any order."""
    model = ViTMAEModel.from_pretrained(folder, mask_ratio=0.0).eval()
    inputs = ViTImageProcessor.from_pretrained(folder)(frames, return_tensors="pt")
    with torch.no_grad():
        return model(**inputs).last_hidden_state[:, 0].numpy()


def test_whole_frames_give_transformers_class_tokens(folder: Path, tmp_path: Path) -> None:
    media = media_of(tmp_path, 5)
    found = run("mae", media, weights={"local": str(folder)}, input="frame")
    np.testing.assert_allclose(found.values, class_tokens(folder, [f.rgb() for f in media.frames()]), atol=1e-4)
    np.testing.assert_array_equal(found.times, media.frame_times())


def test_nothing_is_masked_and_twice_is_the_same(folder: Path, tmp_path: Path) -> None:
    media = media_of(tmp_path, 2)
    extractor = built("mae", {"weights": {"local": str(folder)}, "input": "frame"})
    pixels = extractor.stacked(list(extractor.units(media)))
    assert extractor._model(pixels).last_hidden_state.shape[1] == 197
    one, other = (run("mae", media_of(tmp_path, 2), weights={"local": str(folder)}) for _ in range(2))
    assert one.values.tobytes() == other.values.tobytes()


def test_merrs_recipe_on_a_pth_file_gives_what_its_script_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "mae_checkpoint-340.pth", {"model": mae_state(), "epoch": 340})
    options: dict[str, Any] = {"weights": {"local": str(path), "format": "mae-pth"}}
    media = media_of(tmp_path, 4)
    boxes = np.tile([40.0, 30.0, 90.0, 80.0], (4, 1))
    hide_faces(monkeypatch, boxes)

    def as_the_script_does(frames: list[np.ndarray]) -> np.ndarray:
        resized = [np.asarray(Image.fromarray(p).resize((64, 64), Image.Resampling.BILINEAR)) for p in frames]
        pixels = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            return mae().forward_features(pixels)[:, 0].numpy()

    whole = [f.rgb() for f in media.frames()]
    found = run("mae", media, input="frame", **options)
    np.testing.assert_allclose(found.values, as_the_script_does(whole), atol=1e-5)
    crops = [crop_face(frame, boxes[0], size=64, expand=1.2) for frame in whole]
    found = run("mae", media, level="utterance", **options)
    np.testing.assert_allclose(found.values[0], as_the_script_does(crops).mean(axis=0), atol=1e-5)
    spec = build_alone("mae", "mae_340", options).spec
    assert (spec.weights["file"], spec.weights["epoch"], len(spec.columns)) == (path.name, 340, WIDTH)
    assert spec.recipe["preprocessing"] == "merr"


def test_preprocessing_moves_the_numbers(tmp_path: Path) -> None:
    found = [run("mae", media_of(tmp_path, 1), preprocessing=p).values for p in ("checkpoint", "imagenet", "merr")]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)  # a crop has its size: only the scale is left
    assert np.abs(found[0] - found[2]).max() > 0.1


def test_mae_preprocessing_is_that_of_its_own_evaluation_code() -> None:
    from PIL import Image
    from torchvision import transforms

    rgb = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    own = [transforms.Resize(256, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224)]
    normal = [transforms.ToTensor(), transforms.Normalize(*IMAGENET)]
    expected = transforms.Compose([*own, *normal])(Image.fromarray(rgb))
    for pixels in (rgb, rgb.transpose(1, 0, 2).copy()):
        expected = transforms.Compose([*own, *normal])(Image.fromarray(pixels))
        scaling = plain_scaling("mae", 224)
        found = scaling(torch.from_numpy(scaling.fit(pixels)))
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_the_old_name_of_a_preprocessing_has_the_new_ones_digest() -> None:
    weights = {"random": {"seed": 0, "size": "tiny"}}
    specs = [
        build_alone("mae", "mae", {"weights": weights, "input": "frame", "preprocessing": name}).spec
        for name in ("imagenet", "resize224_imagenet")
    ]
    assert specs[0].digest == specs[1].digest


def test_every_third_frame(folder: Path, tmp_path: Path) -> None:
    media = media_of(tmp_path, 8)
    all_of_them = run("mae", media, weights={"local": str(folder)})
    some = run("mae", media, weights={"local": str(folder)}, every=3)
    np.testing.assert_array_equal(some.values, all_of_them.values[[0, 3, 6]])
    np.testing.assert_array_equal(some.times, media.frame_times()[[0, 3, 6]])


def test_frames_without_a_face_are_nan_and_not_in_the_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = np.tile([40.0, 30.0, 90.0, 80.0], (6, 1))
    boxes[[1, 2]] = np.nan
    hide_faces(monkeypatch, boxes)
    media = media_of(tmp_path, 6)
    found, mean = run("mae", media), run("mae", media, level="utterance")
    np.testing.assert_array_equal(found.valid, [True, False, False, True, True, True])
    assert np.isnan(found.values[1:3]).all()
    np.testing.assert_allclose(mean.values[0], found.values[found.valid].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(mean.times, [[0.0, 0.24]])


@pytest.mark.parametrize(("level", "rows"), [("frame", 10), ("utterance", 1)])
def test_without_any_face_every_row_is_nan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, rows: int
) -> None:
    hide_faces(monkeypatch, np.full((10, 4), np.nan))
    found = run("mae", media_of(tmp_path, 10), level=level)
    assert found.values.shape == (rows, 64)
    assert np.isnan(found.values).all()
    assert not found.valid.any()
    np.testing.assert_allclose(found.times[[0, -1], [0, 1]], [0.0, 0.4])


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-4), ("bf16", 1e-2)])
def test_a_clip_alone_and_in_a_mixed_batch_agree(tmp_path: Path, precision: str, bound: float) -> None:
    clips = [media_of(tmp_path, n, name) for n, name in ((1, "p"), (3, "q"), (2, "r"))]
    assert worst_of_batching("mae", {"precision": precision}, clips) < bound


def test_frame_and_utterance_share_one_pass_of_the_network(tmp_path: Path) -> None:
    media = media_of(tmp_path, 3)
    run("mae", media)
    again = built("mae", {"level": "utterance"})
    again.forward = None  # type: ignore[method-assign, assignment]
    (found,) = again.extract([media])
    assert found.values.shape == (1, 64)


def test_digests_tell_every_setting_apart() -> None:
    choices: list[dict[str, Any]] = [
        {},
        {"weights": {"random": {"seed": 1, "size": "tiny"}}},
        {"every": 2},
        {"preprocessing": "merr"},
        {"precision": "fp16"},
        {"compile": True},
        {"level": "utterance"},
        {"input": "frame"},
    ]
    specs = [build_alone("mae", "m", {"weights": TINY_WEIGHTS} | o, CENTER).spec for o in choices]
    assert len({s.digest for s in specs}) == len(choices)
    faces = Faces(detector="center", min_confidence=0.1)
    assert build_alone("mae", "m", {"weights": TINY_WEIGHTS}, faces).spec.digest != specs[0].digest


def test_full_is_the_large_model() -> None:
    with torch.device("meta"):
        model = ViTMAEModel(ViTMAEConfig(**FULL))
    assert sum(p.numel() for p in model.parameters()) == 303_301_632
    assert len(build_alone("mae", "m", {"weights": {"random": {}}}).spec.columns) == 1024


def test_a_clip_whose_frames_are_not_kept_gives_the_same_bytes(tmp_path: Path) -> None:
    kept = media_of(tmp_path, 4)
    media = Media(kept.clip, tmp_path, frame_cache_bytes=0)
    media.decode()
    assert run("mae", media).values.tobytes() == run("mae", kept).values.tobytes()
