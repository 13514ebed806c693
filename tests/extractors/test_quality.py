"""Quality flags: each against a value computed another way, and against clips made better and worse on purpose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from configs.sections import Faces
from extractors import quality
from extractors.core.faces import main_face as stage
from extractors.core.faces.main_face import find_main_face
from storage.records import Features
from tests.extractors.faces_first import build_alone
from tests.media import write_clip
from tests.scenes import HEIGHT, WIDTH, compose, decoded, frames_of, written

SINGLE, WOLFGANG = "single_face.mp4", "WolfgangLanger_Pexels.mp4"
N = 16


def flags(path: Path, **clip) -> dict[str, float]:
    extractor = build_alone("quality", "quality", {})
    [features] = extractor.extract([decoded(path, **clip)])
    assert isinstance(features, Features)
    assert features.values.shape == (1, 12)
    assert features.valid.all()
    return dict(zip(extractor.spec.columns, features.values[0].tolist(), strict=True))


@pytest.fixture(scope="module")
def frames(feat_clips) -> list[np.ndarray]:
    return frames_of(feat_clips / SINGLE, N, WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def usual(frames, tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("usual") / "usual.mp4", frames)


def test_of_a_usual_clip(usual):
    found, track = flags(usual), find_main_face(decoded(usual), Faces())
    sides = [float(np.sqrt((b[2] - b[0]) * (b[3] - b[1]))) for b in track.boxes]
    centres = np.array([[(b[0] + b[2]) / 2, (b[1] + b[3]) / 2] for b in track.boxes])
    assert (found["face_share"], found["track_count"], found["most_faces"]) == (1, 1, 1)
    assert found["face_size"] == pytest.approx(np.median(sides) / HEIGHT)
    assert found["face_drift"] == pytest.approx(np.sqrt(centres.var(axis=0).sum()) / np.median(sides))
    assert (found["width"], found["height"]) == (WIDTH, HEIGHT)
    assert found["fps"] == pytest.approx(25)
    assert found["duration"] == pytest.approx(N / 25)


def test_several_faces_are_counted_and_the_share_is_the_main_faces(feat_clips, tmp_path):
    left, right = (dict.fromkeys(range(*r), p) for r, p in (((0, 12), (20, 40, 94)), ((8, N), (214, 54, 74))))
    found = flags(written(tmp_path / "two.mp4", compose(feat_clips, N, {SINGLE: left, WOLFGANG: right})))
    assert (found["track_count"], found["most_faces"]) == (2, 2)
    assert found["face_share"] == 12 / N


def test_a_face_that_moves_by_its_own_size_drifts_by_about_a_third(feat_clips, tmp_path):
    """A uniform movement over a length L has a standard deviation of L / sqrt(12)."""
    places = {i: (20 + 4 * i, 40, 94) for i in range(N)}
    path = written(tmp_path / "moves.mp4", compose(feat_clips, N, {SINGLE: places}))
    found = flags(path)
    length = 4 * (N - 1) / (found["face_size"] * HEIGHT)
    assert found["face_drift"] == pytest.approx(length / np.sqrt(12), rel=0.15)


def test_a_blurred_clip_is_less_sharp(frames, usual, tmp_path):
    blurred = [gaussian_filter(p, (2, 2, 0)) for p in frames]
    assert flags(written(tmp_path / "blurred.mp4", blurred))["sharpness"] < 0.3 * flags(usual)["sharpness"]


@pytest.mark.parametrize(("change", "flag"), [(0.12, "underexposed"), (6.0, "overexposed")])
def test_a_badly_lit_clip_is_flagged_and_the_other_flag_is_not(frames, usual, tmp_path, change, flag):
    lit = [np.clip(p * change, 0, 255).astype(np.uint8) for p in frames]
    found, before = flags(written(tmp_path / "lit.mp4", lit)), flags(usual)
    other = {"underexposed": "overexposed", "overexposed": "underexposed"}[flag]
    assert found[flag] > 0.5
    assert before[flag] < 0.2
    assert found[other] <= before[other]


def test_without_a_face_it_is_the_whole_frame_and_all_is_finite(tmp_path):
    """A chessboard of black and white 40-pixel squares: half the pixels are black, half white."""
    board = np.kron(np.indices((3, 4)).sum(axis=0) % 2, np.ones((40, 40)))[..., None] * np.full(3, 255)
    found = flags(written(tmp_path / "board.mp4", [board.astype(np.uint8)] * 5))
    assert [found[n] for n in ("face_share", "track_count", "most_faces", "face_size", "face_drift")] == [0] * 5
    assert found["overexposed"] == pytest.approx(0.5, abs=0.05)
    assert found["underexposed"] == pytest.approx(0.5, abs=0.05)
    assert found["sharpness"] > 100


def test_sharpness_is_the_variance_of_the_laplacian():
    grey = np.zeros((128, 128), np.float32)
    grey[64, 64] = 100
    sharpness, over, under = quality._sharpness_and_exposure(grey)
    values = np.zeros(128 * 128)
    values[:5] = [-400, 100, 100, 100, 100]
    assert sharpness == pytest.approx(values.var(), rel=1e-6)
    assert (over, under) == (0, pytest.approx(1 - 1 / 128**2))


def test_at_most_sixteen_frames_of_the_main_face_are_looked_at_evenly_spread(feat_clips, tmp_path, monkeypatch):
    looked, grey = [], quality._grey
    monkeypatch.setattr(quality, "_grey", lambda frame, box: looked.append(frame.index) or grey(frame, box))
    frames = compose(feat_clips, 45, {SINGLE: dict.fromkeys(range(8, 42), (20, 40, 94))})
    flags(written(tmp_path / "late.mp4", frames))
    assert len(looked) == 16
    assert (looked[0], looked[-1]) == (8, 41)
    assert set(np.diff(looked)) <= {2, 3}


def test_a_box_over_the_edge_or_outside_gives_finite_flags(frames, usual):
    frame = next(decoded(usual).frames())
    whole = quality._grey(frame, np.full(4, np.nan, np.float32))
    part = quality._grey(frame, np.array([-50, -50, 100, 90], np.float32))
    np.testing.assert_array_equal(part, quality._grey(frame, np.array([0, 0, 100, 90], np.float32)))
    np.testing.assert_array_equal(whole, quality._grey(frame, np.array([-50, -50, -20, -20], np.float32)))


def test_rate_and_length_are_the_containers_whatever_the_pace(tmp_path, frames):
    times = [0.0, 0.04, 0.08, 0.4, 0.44, 0.48, 0.9, 0.94]
    path = write_clip(tmp_path / "pace.mp4", frames=frames[:8], times=times, audio=None)
    stamps = decoded(path).frame_times()
    found = flags(path)
    assert found["duration"] == pytest.approx(stamps[-1, 1] - stamps[0, 0])
    assert found["fps"] == pytest.approx(8 / found["duration"])
    assert found["fps"] < 10


def test_the_flags_are_the_same_with_faces_from_a_store(feat_clips, tmp_path, monkeypatch):
    left, right = (dict.fromkeys(range(*r), p) for r, p in (((0, 10), (20, 40, 94)), ((7, N), (214, 54, 74))))
    path = written(tmp_path / "two.mp4", compose(feat_clips, N, {SINGLE: left, WOLFGANG: right}))
    faces, extractor = (build_alone(name, name, {}) for name in ("faces", "quality"))
    [stored] = faces.extract([decoded(path)])
    [fresh] = extractor.extract([decoded(path)])
    media = decoded(path)
    media.set_feature("faces", stored)
    monkeypatch.setattr(stage, "load_detector", None)
    [found] = extractor.extract([media])
    assert found.values.tobytes() == fresh.values.tobytes()


def test_what_is_computed_from_meaningless_numbers_is_meaningless_too():
    real, random = build_alone("quality", "quality", {}), build_alone("quality", "quality", {})
    random.inputs = {name: replace(spec, synthetic=True) for name, spec in random.inputs.items()}
    assert not real.spec.synthetic
    assert random.spec.synthetic
