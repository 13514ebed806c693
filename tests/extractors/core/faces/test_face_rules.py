"""What the face stage looks at and what it makes of it, on scripted detections; and what is in its recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from configs.sections import Faces
from extractors.core.faces import main_face as stage
from extractors.core.faces.detector import load_detector
from extractors.core.faces.main_face import face_recipe, find_main_face
from tests.extractors.faces_first import face_extractor
from tests.scenes import decoded, written


class Script:
    """A detector for frames whose grey value is ten times their index; records which it looked at."""

    default_weights = None

    def __init__(self, faces):
        self.faces, self.looked, self.shapes = faces, [], set()

    def has_landmarks(self):
        return False

    def build(self, config):
        return self.detect

    def detect(self, rgb):
        self.looked.append(round(float(rgb.mean()) / 10))
        self.shapes.add(rgb.shape)
        return self.faces.get(self.looked[-1], [])


@pytest.fixture(scope="module")
def grey(tmp_path_factory) -> Path:
    return written(
        tmp_path_factory.mktemp("grey") / "grey.mp4", [np.full((64, 96, 3), 10 * i, np.uint8) for i in range(13)]
    )


@pytest.fixture
def scripted(grey, monkeypatch):
    def run(faces, **config):
        script = Script(faces)
        monkeypatch.setattr(stage, "load_detector", lambda name: script)
        return find_main_face(decoded(grey), Faces(**config)), script

    return run


def at(left: float, confidence: float = 0.9) -> tuple[float, ...]:
    return (left, 10.0, left + 30, 50.0, confidence)


SMALL = (60.0, 10.0, 70.0, 20.0, 0.9)


def test_where_all_faces_link_nothing_in_between_is_looked_at(scripted):
    track, script = scripted({i: [at(i), SMALL] for i in range(13)})
    assert script.looked == [0, 5, 10, 12]
    np.testing.assert_allclose(track.boxes, [at(i)[:4] for i in range(13)], atol=1e-5)
    assert (track.count == 2).all()
    np.testing.assert_array_equal(np.flatnonzero(track.detected), [0, 5, 10, 12])


def test_a_jump_is_looked_at_frame_by_frame(scripted):
    track, script = scripted({i: [at(5.0 if i < 8 else 60.0)] for i in range(13)})
    assert script.looked == [0, 5, 10, 6, 7, 8, 9, 12]
    np.testing.assert_array_equal(np.flatnonzero(track.valid), range(8))
    assert [(t.id, t.first, t.last, t.boxes[0, 0]) for t in track.others] == [(1, 8, 12, 60.0)]


def test_another_face_that_comes_and_goes_is_exact_to_the_frame_too(scripted):
    track, script = scripted({i: [at(5.0), *([SMALL] if 3 <= i < 7 else [])] for i in range(13)})
    assert script.looked == [0, 5, 1, 2, 3, 4, 10, 6, 7, 8, 9, 12]
    np.testing.assert_array_equal(track.count, [1] * 3 + [2] * 4 + [1] * 6)
    assert [(t.first, t.last) for t in track.others] == [(3, 6)]
    assert track.valid.all()


def test_a_frame_without_detection_stays_empty_and_the_track_goes_on(scripted):
    track, _ = scripted({i: [at(5.0)] for i in range(13) if i != 5})
    np.testing.assert_array_equal(np.flatnonzero(~track.valid), [5])
    assert (track.track_count, track.count[5]) == (1, 0)


def test_between_two_absences_nothing_is_looked_for(scripted):
    track, script = scripted({i: [at(5.0)] for i in (0, 1, 2, 7)})
    assert script.looked == [0, 5, 1, 2, 3, 4, 10, 12]
    assert not track.detected[11]
    assert (track.count[3:] == 0).all()


def test_weak_and_empty_boxes_are_ignored(scripted):
    faces = [
        at(0.0, 0.599),
        (9.0, 9.0, 9.0, 90.0, 0.9),
        (9.0, 9.0, 90.0, 9.0, 0.9),
        (3.0, 3.0, 9.0, 9.0, 0.99),
        at(20.0, 0.6),
    ]
    track, _ = scripted({0: faces}, detect_every=1)
    np.testing.assert_array_equal(track.boxes[0], at(20.0)[:4])
    assert track.count[0] == 2


@pytest.mark.parametrize(("short_side", "shape"), [(32, (32, 48, 3)), (None, (64, 96, 3)), (360, (64, 96, 3))])
def test_boxes_are_of_the_full_frame_whatever_the_size_of_detection(scripted, short_side, shape):
    part = np.array([1 / 6, 1 / 8, 1 / 2, 7 / 8]) * np.tile([shape[1], shape[0]], 2)
    track, script = scripted({i: [(*part, 1.0)] for i in range(13)}, short_side=short_side)
    assert script.shapes == {shape}
    np.testing.assert_allclose(track.boxes, [[16.0, 8.0, 48.0, 56.0]] * 13)


def test_only_every_fifth_frame_and_the_last_are_looked_at_once(grey, monkeypatch):
    script, media = Script({}), decoded(grey)
    monkeypatch.setattr(stage, "load_detector", lambda name: script)
    find_main_face(media, Faces())
    assert script.looked == [0, 5, 10, 12]
    find_main_face(media, Faces(detect_every=6))
    assert script.looked[4:] == [0, 6, 12]


@pytest.mark.parametrize(
    "change", [{"detect_every": 1}, {"detector": "center"}, {"short_side": None}, {"min_confidence": 0.7}]
)
def test_every_setting_is_in_the_digest(change):
    before, after = (face_extractor(f).spec for f in (Faces(), Faces(**change)))
    assert before.digest != after.digest


def test_the_rules_and_the_detector_are_in_the_recipe():
    made = face_recipe(Faces())
    assert made["rules"]["gap"] == 5
    assert made["detector_version"] == load_detector("libfacedetection").version()
    assert "weights" not in made
