from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEImageProcessor, VideoMAEModel

import extractors.videomae as module
from configs.schema import Faces
from extractors.core.base import build_extractor
from extractors.core.faces import FaceTrack, crop_face
from extractors.core.media import Media
from extractors.core.weights import seeded
from extractors.videomae import ARCHITECTURES, PREPROCESSING, row_times, two_segment, uniform16
from storage.errors import RunError
from storage.records import Clip, Features
from tests.media import write_clip

TINY = {"random": {"seed": 0, "size": "tiny"}}
CENTER = Faces(detector="center")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with its decoder, as MCG-NJU/videomae-base is published."""
    path = tmp_path_factory.mktemp("videomae")
    decoder = {"decoder_hidden_size": 32, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    config = VideoMAEConfig(**ARCHITECTURES["tiny"] | decoder)
    seeded(1, lambda: VideoMAEForPreTraining(config)).save_pretrained(path)
    VideoMAEImageProcessor(**PREPROCESSING).save_pretrained(path)
    return path


def media_of(tmp_path: Path, pictures: int) -> Media:
    write_clip(tmp_path / "a.mp4", seconds=pictures / 25, audio=None)
    media = Media(Clip("a", video="a.mp4"), tmp_path)
    media.decode()
    assert len(media.frame_times()) == pictures
    return media


def run(media: Media, weights: dict[str, Any] = TINY, faces: Faces = CENTER, **options: Any) -> Features:
    extractor = build_extractor("videomae", "videomae", {"weights": weights, **options}, faces)
    extractor.load("cpu")
    (outcome,) = extractor.extract([media])
    assert isinstance(outcome, Features), outcome
    assert outcome.values.shape[1] == len(extractor.spec.columns) == 64
    return outcome


def as_the_script_does(folder: Path, pictures: list[np.ndarray]) -> np.ndarray:
    """(8, D) of 16 pictures."""
    model = VideoMAEModel.from_pretrained(folder).eval()
    inputs = VideoMAEImageProcessor.from_pretrained(folder)(pictures, return_tensors="pt")
    with torch.no_grad():
        return model(**inputs).last_hidden_state.view(8, 196, -1).mean(dim=1).numpy()


def hide_faces(monkeypatch: pytest.MonkeyPatch, boxes: np.ndarray) -> None:
    n = len(boxes)
    track = FaceTrack(boxes.astype(np.float32), boxes[:, 0].astype(np.float32), np.ones(n, np.int32), np.ones(n, bool))
    monkeypatch.setattr(module, "face_track", lambda _media, _faces: track)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (5, [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]),
        (16, list(range(16))),
        (40, [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 30, 32, 35, 37]),
        (64, list(range(0, 64, 4))),
        (100, [0, 6, 12, 18, 25, 31, 37, 43, 50, 56, 62, 68, 75, 81, 87, 93]),
    ],
)
def test_uniform16(count: int, expected: list[int]) -> None:
    assert uniform16(count) == expected


@pytest.mark.parametrize(
    ("count", "first", "last"),
    [
        (5, [0] + [4] * 15, [0] + [4] * 15),
        (16, [0, 4, 8] + [12] * 13, [0, 4, 8] + [12] * 13),
        (40, [*range(0, 40, 4)] + [36] * 6, [*range(0, 40, 4)] + [36] * 6),
        (64, list(range(0, 64, 4)), list(range(0, 64, 4))),
        (100, list(range(0, 64, 4)), list(range(36, 100, 4))),
    ],
)
def test_two_segment(count: int, first: list[int], last: list[int]) -> None:
    assert two_segment(count) == first + last


@pytest.mark.parametrize("count", [1, 2, 5, 9, 15, 16, 17, 40, 64, 100])
@pytest.mark.parametrize("sampling", [uniform16, two_segment])
def test_row_times_tile_what_was_taken(count: int, sampling: Any) -> None:
    stamps = np.stack([np.arange(count), np.arange(1, count + 1)], axis=1) / 25
    picked = np.array(sampling(count))[:16]
    times = row_times(stamps[picked])
    assert times.shape == (8, 2)
    assert (times[:, 1] > times[:, 0]).all()
    np.testing.assert_array_equal(times[1:, 0], times[:-1, 1])
    assert times[0, 0] == stamps[0, 0]
    assert times[-1, 1] == stamps[picked[-1], 1]


def test_row_times_of_a_short_clip_share_the_last_picture() -> None:
    stamps = np.stack([np.arange(5.0), np.arange(1.0, 6.0)], axis=1)[uniform16(5)]
    edges = [0.0, 2.0, 4.0, *(4 + np.arange(1, 7) / 6)]
    np.testing.assert_allclose(row_times(stamps), np.stack([edges[:-1], edges[1:]], axis=1))


@pytest.mark.parametrize("count", [5, 30])
def test_uniform16_on_pictures_gives_what_the_script_gives(folder: Path, tmp_path: Path, count: int) -> None:
    media = media_of(tmp_path, count)
    found = run(media, {"local": str(folder)}, input="frame")
    pictures = [f.rgb() for f in media.frames()]
    expected = as_the_script_does(folder, [pictures[i] for i in uniform16(count)])
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    assert found.times[0, 0] == 0.0


def test_two_segment_gives_both_windows_in_order_of_start(folder: Path, tmp_path: Path) -> None:
    media = media_of(tmp_path, 72)
    found = run(media, {"local": str(folder)}, input="frame", sampling="two_segment")
    pictures = [f.rgb() for f in media.frames()]
    picked = two_segment(72)
    first, last = (as_the_script_does(folder, [pictures[i] for i in part]) for part in (picked[:16], picked[16:]))
    assert found.values.shape == (16, 64)
    np.testing.assert_allclose(found.times[:2, 0], [0.0, 8 / 25])
    # The second window starts with picture 8, the second row of the first one too.
    np.testing.assert_allclose(found.values[[0, 1, 2]], [first[0], first[1], last[0]], atol=1e-4)
    np.testing.assert_allclose(found.values.mean(axis=0), np.concatenate([first, last]).mean(axis=0), atol=1e-4)


def test_a_short_clip_has_two_equal_segments(tmp_path: Path) -> None:
    found = run(media_of(tmp_path, 20), input="frame", sampling="two_segment")
    np.testing.assert_array_equal(found.values[::2], found.values[1::2])
    np.testing.assert_array_equal(found.times[::2], found.times[1::2])


def test_faces_are_taken_among_pictures_that_have_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = media_of(tmp_path, 30)
    boxes = np.tile([40.0, 30.0, 90.0, 80.0], (30, 1)) + np.arange(30)[:, None]
    boxes[[0, 7, 8, 29]] = np.nan
    hide_faces(monkeypatch, boxes)
    found = run(media, {"local": str(folder)})
    usable = [i for i in range(30) if i not in (0, 7, 8, 29)]
    crops = {
        f.index: crop_face(f.rgb(), boxes[f.index], size=224, expand=1.2) for f in media.frames() if f.index in usable
    }
    expected = as_the_script_does(folder, [crops[usable[i]] for i in uniform16(26)])
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    assert found.times[0, 0] == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("sampling", "level", "rows"),
    [("uniform16", "frame", 8), ("two_segment", "frame", 16), ("uniform16", "utterance", 1)],
)
def test_without_a_face_every_row_is_nan_and_the_times_tile_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampling: str, level: str, rows: int
) -> None:
    hide_faces(monkeypatch, np.full((10, 4), np.nan))
    found = run(media_of(tmp_path, 10), sampling=sampling, level=level)
    assert found.values.shape == (rows, 64)
    assert np.isnan(found.values).all()
    assert not found.valid.any()
    np.testing.assert_allclose(found.times[[0, -1], [0, 1]], [0.0, 0.4])
    np.testing.assert_array_equal(found.times[1:, 0], found.times[:-1, 1])


def test_the_real_face_stage_feeds_it(tmp_path: Path) -> None:
    media = media_of(tmp_path, 6)
    faces, whole = run(media), run(media, input="frame")
    assert faces.valid.all()
    assert (faces.values != whole.values).any()


def test_the_utterance_is_the_mean_of_the_rows(tmp_path: Path) -> None:
    media = media_of(tmp_path, 20)
    rows, one = (run(media, input="frame", level=level) for level in ("frame", "utterance"))
    np.testing.assert_allclose(one.values, rows.values.mean(axis=0, keepdims=True, dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(one.times, [[0.0, 0.8]])


def test_a_clip_whose_pictures_are_not_kept_gives_the_same_bytes(tmp_path: Path) -> None:
    kept = run(media_of(tmp_path, 20), input="frame")
    media = Media(Clip("a", video="a.mp4"), tmp_path, frame_cache_bytes=0)
    media.decode()
    assert run(media, input="frame").values.tobytes() == kept.values.tobytes()
    assert media.video_passes == 2


def test_digests_tell_every_setting_apart() -> None:
    choices: list[dict[str, Any]] = [
        {"weights": TINY},
        {"weights": {"random": {"seed": 1, "size": "tiny"}}},
        {"weights": TINY, "sampling": "two_segment"},
        {"weights": TINY, "level": "utterance"},
        {"weights": TINY, "input": "frame"},
    ]
    specs = [build_extractor("videomae", "v", o, CENTER).spec for o in choices]
    assert len({s.digest for s in specs}) == len(choices)
    others = [build_extractor("videomae", "v", o, Faces(detector="center", detect_every=1)).spec for o in choices]
    assert [a.digest == b.digest for a, b in zip(specs, others, strict=True)] == [False] * 4 + [True]
    assert specs[0].synthetic


def test_full_is_the_base_model() -> None:
    with torch.device("meta"):
        model = VideoMAEModel(VideoMAEConfig(**ARCHITECTURES["full"]))
    assert sum(p.numel() for p in model.parameters()) == 86_227_200


def test_weights_that_are_missing_or_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(RunError, match=r"videomae-base.*merflow weights pull"):
        _ = build_extractor("videomae", "v", {}, CENTER).spec
    VideoMAEModel(VideoMAEConfig(**ARCHITECTURES["tiny"] | {"num_frames": 8})).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(RunError, match="num_frames is 8, expected 16"):
        _ = build_extractor("videomae", "v", {"weights": {"local": tmp_path}}, CENTER).spec
