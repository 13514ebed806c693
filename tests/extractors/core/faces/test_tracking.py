"""Linking, ids, gaps and the main-track rule on made-up boxes."""

from __future__ import annotations

import numpy as np
import pytest

from extractors.core.faces.tracking import GAP, Track, Tracker, iou, main_track


def face(left: float, top: float = 10.0, side: float = 30.0, confidence: float = 0.9) -> list[float]:
    return [left, top, left + side, top + side, confidence]


def rows(*faces: list[float]) -> np.ndarray:
    return np.array(faces, np.float64).reshape(-1, 5)


def tracked(frames: dict[int, list[list[float]]], starts: np.ndarray | None = None) -> tuple[Track, ...]:
    tracker = Tracker(np.arange(60) / 25 if starts is None else starts)
    for frame, faces in frames.items():
        tracker.follow(frame, rows(*faces))
    return tracker.tracks()


def track(track_id: int, boxes: list[list[float]]) -> Track:
    table = np.array(boxes, np.float32)
    return Track(track_id, 0, table[:, :4], table[:, 4], table[:, 5:])


def test_iou_is_shared_over_joint_area():
    a = np.array([0.0, 0.0, 2.0, 2.0])
    np.testing.assert_allclose(
        iou(a, np.array([[0, 0, 2, 2], [1, 0, 3, 2], [0, 0, 1, 1], [5, 5, 6, 6]])), [1, 1 / 3, 0.25, 0]
    )


def test_a_face_that_moves_is_one_track():
    [one] = tracked({i: [face(3.0 * i)] for i in range(8)})
    assert (one.id, one.first, one.last) == (0, 0, 7)
    np.testing.assert_array_equal(one.boxes[:, 0], np.arange(8) * 3)


def test_a_jump_begins_another_track():
    first, second = tracked({i: [face(0.0 if i < 4 else 16.0)] for i in range(8)})
    assert (first.last, second.first, second.id) == (3, 4, 1)


def test_the_links_of_a_frame_are_the_best_of_all_together():
    """Taking the best single pair first (B to the left box, 0.85) would leave A and the right box without partner."""
    before = [face(0.0, confidence=0.1), face(6.0, confidence=0.2)]
    after = [face(3.6, confidence=0.3), face(11.5, confidence=0.4)]
    overlaps = iou(rows(*before)[:, None], rows(*after)[None])
    assert overlaps.max() == overlaps[1, 0]
    one, two = tracked({0: before, 1: after})
    np.testing.assert_allclose(one.confidence, [0.1, 0.3])
    np.testing.assert_allclose(two.confidence, [0.2, 0.4])


def test_ids_are_by_first_appearance_then_from_left_to_right_then_from_top_to_bottom():
    shown = [face(200.0), face(100.0, top=80.0), face(100.0), face(0.0)]
    tracks = tracked({0: shown[:1], 1: shown, 2: shown[::-1]})
    assert [t.id for t in tracks] == [0, 1, 2, 3]
    assert [t.boxes[0, :2].tolist() for t in tracks] == [[200, 10], [0, 10], [100, 10], [100, 80]]
    assert [t.last for t in tracks] == [2] * 4


def test_the_order_of_detections_does_not_matter():
    faces = {i: [face(10.0 * i), face(100.0 - 10 * i, top=20.0), face(50.0, top=90.0)] for i in range(10)}
    one, other = tracked(faces), tracked({i: found[::-1] for i, found in faces.items()})
    for a, b in zip(one, other, strict=True):
        assert (a.id, a.first) == (b.id, b.first)
        np.testing.assert_array_equal(a.boxes, b.boxes)


def test_boxes_and_confidence_are_linear_in_time_not_in_frames():
    starts = np.array([0.0, 0.1, 0.3, 0.4])
    [one] = tracked({0: [face(0.0, confidence=0.5)], 3: [face(8.0, confidence=0.9)]}, starts)
    np.testing.assert_allclose(one.boxes[:, 0], [0, 2, 6, 8], rtol=1e-6)
    np.testing.assert_allclose(one.confidence, [0.5, 0.6, 0.8, 0.9], rtol=1e-6)


@pytest.mark.parametrize(("absent", "expected"), [(1, 1), (GAP, 1), (GAP + 1, 2)])
def test_a_brief_gap_does_not_end_a_track_and_is_not_filled(absent, expected):
    shown = [0, 1, 2, *range(3 + absent, 12 + absent)]
    tracks = tracked({i: [face(5.0)] if i in shown else [] for i in range(12 + absent)})
    assert len(tracks) == expected
    assert sum(len(t.frames) for t in tracks) == len(shown)
    if expected == 1:
        np.testing.assert_array_equal(tracks[0].frames, shown)
        assert np.isnan(tracks[0].boxes[3 : 3 + absent]).all()
        assert np.isnan(tracks[0].confidence[3 : 3 + absent]).all()


def test_after_a_gap_a_face_elsewhere_is_another_track():
    assert len(tracked({0: [face(0.0)], 1: [], 2: [face(60.0)]})) == 2


def test_a_track_that_is_there_has_priority_over_one_that_was():
    """Face A vanishes; B comes to where A was. The box there goes on with B, which links, and not with A."""
    b = [40.0, 32.0, 24.0, 16.0, 8.0, 2.0]
    frames = {i: [face(left)] for i, left in enumerate(b)}
    frames[0] = [face(0.0), face(40.0)]
    a, other = tracked(frames)
    assert (len(a.frames), len(other.frames)) == (1, 6)


def test_whether_all_links_is_known_before_following():
    tracker = Tracker(np.arange(9.0))
    assert tracker.continues(rows())
    assert not tracker.continues(rows(face(0.0)))
    tracker.follow(0, rows(face(0.0), face(100.0)))
    assert tracker.continues(rows(face(102.0), face(1.0)))
    assert not tracker.continues(rows(face(1.0)))
    assert not tracker.continues(rows(face(1.0), face(130.0)))
    assert not tracker.continues(rows(face(1.0), face(100.0), face(200.0)))
    assert not tracker.continues(rows())


@pytest.mark.parametrize(
    ("tracks", "expected"),
    [
        pytest.param([[face(0.0, side=60.0)] * 3, [face(0.0, side=5.0)] * 4], 1, id="the longest"),
        pytest.param([[face(45.0, 45, 10.0)] * 4, [face(0.0, side=20.0)] * 4], 1, id="of equal ones the largest"),
        pytest.param([[face(0.0, 40)] * 4, [face(38.0, 38)] * 4, [face(90.0)] * 4], 1, id="then the most central"),
        pytest.param([[face(10.0, 35)] * 4, [face(60.0, 35)] * 4], 0, id="then the first"),
        pytest.param(
            [[face(0.0, side=20.0)] * 4, [*[face(0.0, side=9.0)] * 3, face(0.0, side=99.0)]], 0, id="median size"
        ),
    ],
)
def test_the_main_track_is(tracks, expected):
    made = [track(i, boxes) for i, boxes in enumerate(tracks)]
    for order in (made, made[::-1]):
        found = main_track(order, (100, 100))
        assert found is not None
        assert found.id == expected


def test_frames_of_a_gap_do_not_count_for_length():
    nothing = [float("nan")] * 5
    gap = track(0, [face(0.0), nothing, nothing, face(0.0)])
    assert main_track([gap, track(1, [face(50.0)] * 3)], (100, 100)).id == 1


def test_without_tracks_there_is_no_main_track():
    assert main_track([], (100, 100)) is None
