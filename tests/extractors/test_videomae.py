from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor
from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEImageProcessor, VideoMAEModel

from configs.errors import ConfigError, RunError
from extractors.core.media.clip_media import Media
from extractors.core.media.crops import crop_face
from extractors.core.networks.random_weights import seeded
from extractors.videomae import FULL, TINY, VideoMAE, eight_pairs, two_segment, uniform16
from storage.clip import Clip
from tests.extractors.core.networks.test_pth import WIDTH, saved, videomae_state, videomae_tokens
from tests.extractors.faces_first import build_alone, hide_faces
from tests.extractors.frame_clips import CENTER, built, media_of, run, worst_of_batching
from tests.extractors.frame_clips import TINY as TINY_WEIGHTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its decoder, as MCG-NJU/videomae-base is published, but for frames of 64 x 64."""
    path = tmp_path_factory.mktemp("videomae")
    decoder = {"decoder_hidden_size": 32, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    config = VideoMAEConfig(**TINY | decoder | {"image_size": 64})
    seeded(1, lambda: VideoMAEForPreTraining(config)).save_pretrained(path)
    sizes = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    VideoMAEImageProcessor(**VideoMAE.processor_defaults | sizes).save_pretrained(path)
    return path


def small(folder: Path) -> dict[str, str]:
    return {"local": str(folder)}


def as_the_script_does(folder: Path, frames: list[np.ndarray]) -> np.ndarray:
    """(8, D) of 16 frames."""
    model = VideoMAEModel.from_pretrained(folder).eval()
    inputs = VideoMAEImageProcessor.from_pretrained(folder)(frames, return_tensors="pt")
    with torch.no_grad():
        return model(**inputs).last_hidden_state.view(8, 16, -1).mean(dim=1).numpy()


@pytest.mark.parametrize("count", [5, 30])
def test_uniform16_on_frames_gives_what_the_script_gives(folder: Path, tmp_path: Path, count: int) -> None:
    media = media_of(tmp_path, count)
    found = run("videomae", media, weights=small(folder), input="frame")
    frames = [f.rgb() for f in media.frames()]
    expected = as_the_script_does(folder, [frames[i] for i in uniform16(count)])
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    assert found.times[0, 0] == 0.0


def test_two_segment_gives_both_windows_in_order_of_start(folder: Path, tmp_path: Path) -> None:
    media = media_of(tmp_path, 72)
    found = run("videomae", media, weights=small(folder), input="frame", sampling="two_segment")
    frames = [f.rgb() for f in media.frames()]
    picked = two_segment(72)
    first, last = (as_the_script_does(folder, [frames[i] for i in part]) for part in (picked[:16], picked[16:]))
    assert found.values.shape == (16, 64)
    np.testing.assert_allclose(found.times[:2, 0], [0.0, 8 / 25])
    # The second window starts with frame 8, the second row of the first one too.
    np.testing.assert_allclose(found.values[[0, 1, 2]], [first[0], first[1], last[0]], atol=1e-4)
    np.testing.assert_allclose(found.values.mean(axis=0), np.concatenate([first, last]).mean(axis=0), atol=1e-4)


def test_sliding_gives_every_window_its_own_rows(folder: Path, tmp_path: Path) -> None:
    media = media_of(tmp_path, 36)
    found = run("videomae", media, weights=small(folder), input="frame", sampling="sliding")
    frames = [f.rgb() for f in media.frames()]
    parts = [as_the_script_does(folder, frames[start : start + 16]) for start in (0, 16, 20)]
    assert found.values.shape == (24, 64)
    np.testing.assert_allclose(found.values[:10], np.concatenate(parts)[:10], atol=1e-4)
    np.testing.assert_allclose(found.times[:8, 0], np.arange(8) * 0.08)
    # From frame 20 on two windows see the same time; their rows alternate.
    np.testing.assert_allclose(found.values[10::2][:6], parts[1][2:], atol=1e-4)
    np.testing.assert_allclose(found.values[11::2][:6], parts[2][:6], atol=1e-4)
    assert found.times[-1, 1] == pytest.approx(36 / 25)


def test_a_short_clip_has_two_equal_segments(folder: Path, tmp_path: Path) -> None:
    found = run("videomae", media_of(tmp_path, 20), weights=small(folder), input="frame", sampling="two_segment")
    np.testing.assert_array_equal(found.values[::2], found.values[1::2])
    np.testing.assert_array_equal(found.times[::2], found.times[1::2])


def test_faces_are_taken_among_frames_that_have_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = media_of(tmp_path, 30)
    boxes = np.tile([40.0, 30.0, 90.0, 80.0], (30, 1)) + np.arange(30)[:, None]
    boxes[[0, 7, 8, 29]] = np.nan
    hide_faces(monkeypatch, boxes)
    found = run("videomae", media, weights=small(folder))
    usable = [i for i in range(30) if i not in (0, 7, 8, 29)]
    crops = {
        f.index: crop_face(f.rgb(), boxes[f.index], size=64, expand=1.2) for f in media.frames() if f.index in usable
    }
    expected = as_the_script_does(folder, [crops[usable[i]] for i in uniform16(26)])
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    assert found.times[0, 0] == pytest.approx(0.04)


@pytest.mark.parametrize("last_norm", ["model", "none"])
def test_merrs_recipe_on_a_pth_file_gives_what_its_script_gives(tmp_path: Path, last_norm: str) -> None:
    state = videomae_state()
    path = saved(tmp_path / "maeVideo_ckp199.pth", {"model": state, "epoch": 199})
    media = media_of(tmp_path, 25)
    weights = {"local": str(path), "format": "videomae-pth"}
    options = {"weights": weights, "input": "frame", "sampling": "eight_pairs", "last_norm": last_norm}
    found = run("videomae", media, level="utterance", **options)
    frames = [Image.fromarray(f.rgb()).resize((224, 224), Image.Resampling.BILINEAR) for f in media.frames()]
    taken = torch.stack([pil_to_tensor(frames[i]) for i in eight_pairs(25)]).float() / 255
    expected = videomae_tokens(state, taken, last_norm=last_norm == "model").mean(dim=0)
    np.testing.assert_allclose(found.values[0], expected.numpy(), atol=1e-4)
    spec = build_alone("videomae", "v", options).spec
    assert (spec.weights["file"], spec.weights["epoch"], spec.weights["format"]) == (path.name, 199, "videomae-pth")
    assert len(spec.columns) == WIDTH
    assert spec.recipe["preprocessing"] == "merr"
    assert not spec.synthetic


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"sampling": "uniform16"}, 8),
        ({"sampling": "two_segment"}, 16),
        ({"sampling": "sliding", "stride": 4}, 8),
        ({"sampling": "eight_pairs", "level": "utterance"}, 1),
    ],
)
def test_without_a_face_every_row_is_nan_and_the_times_tile_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], rows: int
) -> None:
    hide_faces(monkeypatch, np.full((10, 4), np.nan))
    found = run("videomae", media_of(tmp_path, 10), **options)
    assert found.values.shape == (rows, 64)
    assert np.isnan(found.values).all()
    assert not found.valid.any()
    np.testing.assert_allclose(found.times[[0, -1], [0, 1]], [0.0, 0.4])
    np.testing.assert_array_equal(found.times[1:, 0], found.times[:-1, 1])


def test_the_real_face_stage_feeds_it(folder: Path, tmp_path: Path) -> None:
    media = media_of(tmp_path, 6)
    faces, whole = (run("videomae", media, weights=small(folder), input=i) for i in ("main_face", "frame"))
    assert faces.valid.all()
    assert (faces.values != whole.values).any()


def test_the_utterance_is_the_mean_of_the_rows(folder: Path, tmp_path: Path) -> None:
    media = media_of(tmp_path, 20)
    rows, one = (run("videomae", media, weights=small(folder), level=level) for level in ("frame", "utterance"))
    np.testing.assert_allclose(one.values, rows.values.mean(axis=0, keepdims=True, dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(one.times, [[0.0, 0.8]])


@pytest.mark.parametrize("sampling", ["uniform16", "two_segment", "sliding", "eight_pairs"])
@pytest.mark.parametrize("frames", [1, 3])
def test_clips_of_one_and_of_three_frames_have_rows(folder: Path, tmp_path: Path, sampling: str, frames: int) -> None:
    found = run("videomae", media_of(tmp_path, frames), weights=small(folder), sampling=sampling)
    assert found.valid.all()
    assert len(found.values) == (16 if sampling == "two_segment" else 8)
    assert found.times[-1, 1] <= frames / 25 + 1e-9


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-4), ("bf16", 1e-2)])
def test_a_clip_alone_and_in_a_mixed_batch_agree(folder: Path, tmp_path: Path, precision: str, bound: float) -> None:
    clips = [media_of(tmp_path, n, name) for n, name in ((3, "p"), (40, "q"), (17, "r"))]
    options = {"weights": small(folder), "sampling": "sliding", "precision": precision}
    assert worst_of_batching("videomae", options, clips) < bound


def test_a_clip_whose_frames_are_not_kept_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    kept = run("videomae", media_of(tmp_path, 20), weights=small(folder), input="frame")
    media = Media(Clip("a", video="a.mp4"), tmp_path, frame_cache_bytes=0)
    media.decode()
    again = run("videomae", media, weights=small(folder), input="frame")
    assert again.values.tobytes() == kept.values.tobytes()
    assert media.video_passes == 2


def test_digests_tell_every_setting_apart() -> None:
    choices: list[dict[str, Any]] = [
        {},
        {"weights": {"random": {"seed": 1, "size": "tiny"}}},
        {"sampling": "two_segment"},
        {"sampling": "sliding"},
        {"sampling": "sliding", "stride": 8},
        {"sampling": "eight_pairs"},
        {"last_norm": "none"},
        {"preprocessing": "merr"},
        {"preprocessing": "imagenet"},
        {"precision": "bf16"},
        {"level": "utterance"},
        {"input": "frame"},
    ]
    choices = [{"weights": TINY_WEIGHTS} | choice for choice in choices]
    specs = [build_alone("videomae", "v", o, CENTER).spec for o in choices]
    assert len({s.digest for s in specs}) == len(choices)
    others = [build_alone("videomae", "v", o).spec for o in choices]
    same = [a.digest == b.digest for a, b in zip(specs, others, strict=True)]
    assert same == [choice.get("input") == "frame" for choice in choices]
    assert specs[0].synthetic


def test_features_share_a_network_only_where_it_is_the_same(folder: Path) -> None:
    weights = {"weights": small(folder)}
    one, other, bare = (built("videomae", weights | o) for o in ({}, {"sampling": "sliding"}, {"last_norm": "none"}))
    assert one._model is other._model
    assert one._model.layernorm is not None
    assert bare._model.layernorm is None


def test_options_without_effect_are_refused() -> None:
    with pytest.raises(ConfigError, match="stride is for sampling: sliding"):
        build_alone("videomae", "v", {"stride": 8})


def test_full_is_the_base_model() -> None:
    with torch.device("meta"):
        model = VideoMAEModel(VideoMAEConfig(**FULL))
    assert sum(p.numel() for p in model.parameters()) == 86_227_200


def test_weights_that_are_missing_or_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(RunError, match=r"videomae-base.*merflow weights pull"):
        _ = build_alone("videomae", "v", {}).spec
    VideoMAEModel(VideoMAEConfig(**TINY | {"num_frames": 8})).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    extractor = build_alone("videomae", "v", {"weights": {"local": tmp_path}})
    for _ in range(2):  # what is wrong once is wrong the second time
        with pytest.raises(RunError, match="num_frames is 8, expected 16"):
            _ = extractor.spec


def test_preprocessing_of_another_size_than_the_models_is_refused(folder: Path, tmp_path: Path) -> None:
    VideoMAEModel.from_pretrained(folder).save_pretrained(tmp_path)
    VideoMAEImageProcessor(size={"shortest_edge": 96}, crop_size={"height": 96, "width": 96}).save_pretrained(tmp_path)
    with pytest.raises(RunError, match=r"\(3, 96, 96\), the model takes \(3, 64, 64\)"):
        build_alone("videomae", "v", {"weights": {"local": tmp_path}}).load("cpu")


def test_a_pth_file_must_be_named_for_what_it_is_and_have_the_hash_it_should(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pth", {"model": videomae_state()})
    weights = {"local": str(path), "format": "mae-pth"}
    with pytest.raises(RunError, match="format mae-pth does not fit; expected videomae-pth"):
        _ = build_alone("videomae", "v", {"weights": weights}).spec
    weights = {"local": str(path), "format": "videomae-pth", "sha256": "0" * 64}
    with pytest.raises(RunError, match="000000"):
        _ = build_alone("videomae", "v", {"weights": weights}).spec
