"""The face stage on real clips, on clips joined from them, on scripted detections, and its feature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from configs.sections import Faces
from extractors.core.faces.main_face import FaceTrack, find_main_face
from extractors.core.faces.tracking import iou
from storage.records import Features
from storage.vocabulary.face_columns import main_face_boxes
from tests.extractors.faces_first import face_extractor
from tests.scenes import HEIGHT, WIDTH, compose, decoded, frames_of, written

SINGLE, WOLFGANG = "single_face.mp4", "WolfgangLanger_Pexels.mp4"
N = 31
FIFTH = Faces(short_side=180)  # small, so that the tests are quick
LEFT, RIGHT, LARGE = (20, 40, 94), (214, 54, 74), (200, 26, 114)


def shown(begin: int, end: int, place: tuple[int, int, int]) -> dict[int, tuple[int, int, int]]:
    return dict.fromkeys(range(begin, end), place)


SCENES = {
    "no face": {},
    "one face": {SINGLE: shown(0, N, LEFT)},
    "two faces": {SINGLE: shown(0, N, LEFT), WOLFGANG: shown(0, N, LARGE)},
    "one leaves": {SINGLE: shown(0, 13, LEFT)},
    "one enters": {WOLFGANG: shown(8, N, RIGHT)},
    "one of two leaves": {SINGLE: shown(0, 22, LARGE), WOLFGANG: shown(0, N, LEFT)},
    "one leaves after another enters": {SINGLE: shown(0, 19, LEFT), WOLFGANG: shown(13, N, RIGHT)},
    "one walks out": {SINGLE: {i: (160 + 5 * i, 40, 94) for i in range(N)}},
    "one crosses another": {
        WOLFGANG: shown(0, N, (126, 46, 88)),
        SINGLE: {i: (8 * i - 7, 26, 114) for i in range(N)},
    },
}


@pytest.fixture(scope="module")
def scenes(feat_clips, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("scenes")
    made = {name: compose(feat_clips, N, tiles) for name, tiles in SCENES.items()}
    before, after = (frames_of(feat_clips / name, N, WIDTH, HEIGHT) for name in (SINGLE, WOLFGANG))
    made["a cut"] = [*before[:12], *(p[:, ::-1] for p in after[12:])]
    return {name: written(folder / f"{name}.mp4", frames) for name, frames in made.items()}


@pytest.fixture(scope="module")
def tracks(scenes) -> dict[str, FaceTrack]:
    return {name: find_main_face(decoded(path), FIFTH) for name, path in scenes.items()}


@pytest.mark.parametrize(
    ("scene", "track_id", "present", "counts", "others"),
    [
        ("no face", None, (0, 0), [0] * N, []),
        ("one face", 0, (0, N), [1] * N, []),
        ("two faces", 1, (0, N), [2] * N, [(0, 0, N - 1)]),
        ("one leaves", 0, (0, 13), [1] * 13 + [0] * 18, []),
        ("one enters", 0, (8, N), [0] * 8 + [1] * 23, []),
        ("one of two leaves", 0, (0, N), [2] * 22 + [1] * 9, [(1, 0, 21)]),
        ("one leaves after another enters", 0, (0, 19), [1] * 13 + [2] * 6 + [1] * 12, [(1, 13, N - 1)]),
        ("a cut", 1, (12, N), [1] * N, [(0, 0, 11)]),
    ],
)
def test_presence_counts_and_ids_are_exact_to_the_frame(tracks, scene, track_id, present, counts, others):
    track = tracks[scene]
    expected = np.isin(np.arange(N), np.arange(*present))
    assert track.track_id == track_id
    np.testing.assert_array_equal(track.valid, expected)
    np.testing.assert_array_equal(np.isnan(track.boxes), ~np.tile(expected[:, None], 4))
    np.testing.assert_array_equal(track.count, counts)
    assert [(t.id, t.first, t.last) for t in track.others] == others
    assert track.track_count == len(others) + (track_id is not None)


@pytest.mark.parametrize("scene", [*SCENES, "a cut"])
def test_every_fifth_frame_tells_what_every_frame_tells(scenes, tracks, scene):
    some, every = tracks[scene], find_main_face(decoded(scenes[scene]), Faces(detect_every=1, short_side=180))
    assert every.detected.all()
    np.testing.assert_array_equal(some.valid, every.valid)
    np.testing.assert_array_equal(some.count, every.count)
    assert some.track_id == every.track_id
    assert [(t.id, t.first, t.last) for t in some.others] == [(t.id, t.first, t.last) for t in every.others]
    looked = some.detected & some.valid
    np.testing.assert_array_equal(some.boxes[looked], every.boxes[looked])
    assert not looked.size or iou(some.boxes, every.boxes)[some.valid & ~looked].min(initial=1) > 0.8


@pytest.mark.parametrize("scene", ["two faces", "one leaves after another enters", "one crosses another"])
def test_two_runs_give_the_same_bytes_with_and_without_room_for_the_frames(scenes, tracks, scene):
    kept, again = tracks[scene], decoded(scenes[scene], cache=0)
    streamed = find_main_face(again, FIFTH)
    assert again.video_passes == 2
    for name in ("boxes", "confidence", "count", "detected"):
        assert getattr(streamed, name).tobytes() == getattr(kept, name).tobytes()
    assert [t.boxes.tobytes() for t in streamed.others] == [t.boxes.tobytes() for t in kept.others]


def test_who_crosses_in_front_keeps_the_main_track_and_the_covered_face_has_one_before_and_one_after(tracks):
    track = tracks["one crosses another"]
    before, after = track.others
    assert (track.track_id, before.id, after.id, track.track_count) == (0, 1, 2, 3)
    assert track.valid.all()
    centres = (track.boxes[:, 0] + track.boxes[:, 2]) / 2
    tiles = np.array([8 * i - 7 + 57 for i in range(N)])
    assert np.abs(centres - tiles - (centres - tiles).mean()).max() < 11  # a tenth of the tile
    assert (before.first, after.last) == (0, N - 1)
    # How much of a face may be covered before it is not found is the detector's business.
    assert 10 <= before.last <= 13
    assert 23 <= after.first <= 27
    np.testing.assert_array_equal(track.count, [1 if before.last < i < after.first else 2 for i in range(N)])


@pytest.mark.parametrize(
    ("name", "first", "last", "frames"),
    [
        (SINGLE, 0, 71, 72),
        ("face_noface.mov", 0, 71, 169),
        ("noface_face.mov", 96, 167, 169),
        ("no_face.mp4", 0, -1, 95),
    ],
)
def test_on_real_clips_faces_are_found_where_they_are(feat_clips, name, first, last, frames):
    track = find_main_face(decoded(feat_clips / name), FIFTH)
    expected = np.isin(np.arange(frames), np.arange(first, last + 1))
    assert (track.valid != expected).sum() <= 2
    assert track.detected.mean() < 0.3


def test_interpolated_boxes_agree_with_boxes_of_every_frame(feat_clips):
    some, every = (
        find_main_face(decoded(feat_clips / WOLFGANG, end=1.5), Faces(detect_every=k, short_side=180)) for k in (5, 1)
    )
    between = some.valid & ~some.detected
    np.testing.assert_array_equal(some.valid, every.valid)
    np.testing.assert_array_equal(some.boxes[some.detected], every.boxes[some.detected])
    assert iou(some.boxes, every.boxes)[between].mean() >= 0.9


def test_a_cropped_clip_finds_the_same_face(feat_clips):
    whole, part = (
        find_main_face(decoded(feat_clips / SINGLE, end=0.1, crop=c), Faces()) for c in (None, (0.25, 0.0, 1.0, 1.0))
    )
    assert iou(part.boxes[0] + [160, 0, 160, 0], whole.boxes[0]) > 0.8


@pytest.mark.parametrize("scene", ["no face", "two faces", "one leaves after another enters"])
def test_the_feature_holds_the_main_track_and_nan_where_it_is_absent(scenes, tracks, scene):
    media, extractor = decoded(scenes[scene]), face_extractor(FIFTH)
    [features] = extractor.extract([media])
    assert isinstance(features, Features)
    track, named = tracks[scene], dict(zip(extractor.spec.columns, features.values.T, strict=True))
    np.testing.assert_array_equal(features.valid, track.valid)
    np.testing.assert_array_equal(features.times, media.frame_times())
    np.testing.assert_array_equal(np.isnan(features.values).all(axis=1), ~track.valid)
    np.testing.assert_array_equal(np.stack([named[c] for c in ("x1", "y1", "x2", "y2")], axis=1), track.boxes)
    expected = {
        "track_id": track.track_id,
        "track_count": track.track_count,
        "face_count": track.count,
        "detected": track.detected,
    }
    for name, value in expected.items() if track.valid.any() else ():
        np.testing.assert_array_equal(named[name][track.valid], np.broadcast_to(value, N)[track.valid])


@pytest.mark.parametrize("scene", ["no face", "two faces", "one leaves after another enters"])
def test_what_others_read_of_the_feature_is_the_main_track(scenes, tracks, scene):
    extractor, track = face_extractor(FIFTH), tracks[scene]
    [features] = extractor.extract([decoded(scenes[scene])])
    assert np.ascontiguousarray(main_face_boxes(features)).tobytes() == track.boxes.tobytes()
    named = dict(zip(extractor.spec.columns, features.values.T, strict=True))
    assert np.ascontiguousarray(named["confidence"]).tobytes() == track.confidence.tobytes()
    [again] = extractor.extract([decoded(scenes[scene])])
    assert again.values.tobytes() == features.values.tobytes()
