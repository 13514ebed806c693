"""Which face speaks: drawn faces whose mouths move in step with a voice and out of it, and the rules built on that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import RunError
from configs.plugins import parse
from configs.schema import RunConfig
from configs.sections import Faces
from extractors.core.extractor import build_extractor
from extractors.core.faces.stored_tracks import decide_speaker, read_tracks
from extractors.core.faces.synchrony import TEMPLATE
from extractors.core.media.clip_media import Media
from flows.plan import build_extractors
from storage.clip import Clip
from storage.face_points import PointedFace
from storage.records import Failure, Features
from storage.vocabulary.face_tracks import FACE_TRACKS, LANDMARK_COLUMNS, SPEAKING, TRACK_COLUMNS
from tests.media import write_clip

FPS, RATE, SECONDS = 25, 16_000, 4.0
STAMPS = np.stack([np.arange(100), np.arange(1, 101)], axis=1) / FPS
SIDE = 160


def envelope(at: np.ndarray, phase: float = 0.0) -> np.ndarray:
    """How loud a voice is, and how wide a mouth: syllables of changing pace, 0..1."""
    return np.clip(np.sin(2 * np.pi * (1.7 * at + 0.35 * np.sin(2 * np.pi * 0.23 * at + phase) + phase)), 0, 1)


def face(opening: float, seed: int) -> np.ndarray:
    """(160, 160) a grey face on the template's points, 16 pixels in: eyes, brows, texture, a mouth."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] - 16
    noise = np.random.default_rng(seed).normal(size=(20, 20)).repeat(8, 0).repeat(8, 1)
    grey = 150 + 8 * noise
    for x, y in TEMPLATE[:2]:
        grey -= 90 * np.exp(-((columns - x) ** 2 / 40 + (rows - y) ** 2 / 15))
        grey -= 60 * np.exp(-((columns - x) ** 2 / 120 + (rows - y + 12) ** 2 / 8))
    x, y = TEMPLATE[3:].mean(axis=0)
    grey -= 100 * np.exp(-((columns - x) ** 2 / 150 + (rows - y - 3 * opening) ** 2 / (4 + 50 * opening)))
    return np.clip(grey, 0, 255)


def frames(*phases: float | None) -> list[np.ndarray]:
    """Faces side by side; one whose phase is None is still."""
    made = []
    for i in range(len(STAMPS)):
        opened = [0.0 if phase is None else float(envelope(STAMPS[i].mean(), phase)) for phase in phases]
        row = np.concatenate([face(value, seed) for seed, value in enumerate(opened)], axis=1)
        made.append(np.repeat(row[:, :, None], 3, axis=2).astype(np.uint8))
    return made


def voice_samples() -> np.ndarray:
    at = np.arange(round(SECONDS * RATE)) / RATE
    carrier = np.sin(2 * np.pi * 180 * at) + 0.5 * np.sin(2 * np.pi * 900 * at) + 0.3 * np.sin(2 * np.pi * 2500 * at)
    return (0.3 * envelope(at) * carrier + 0.002 * np.random.default_rng(0).normal(size=len(at))).astype(np.float32)


def tracks(*shown: tuple[int, int], offsets: list[int] | None = None) -> Features:
    """Rows of faces that lie side by side, each shown in frames first to last."""
    rows = []
    for i, (first, last) in enumerate(shown):
        left = SIDE * (offsets[i] if offsets else i)
        points = (TEMPLATE + 16 + [left, 0]).ravel()
        about = (i, left + 40.0, 50.0, left + 120.0, 150.0, 0.9, 1.0, *points)
        rows += [(frame, *about) for frame in range(first, last + 1)]
    rows.sort()
    values = np.array([row[1:] for row in rows], np.float32).reshape(-1, len(TRACK_COLUMNS) + len(LANDMARK_COLUMNS))
    times = STAMPS[[row[0] for row in rows]].reshape(-1, 2)
    return Features(values, times, np.ones(len(rows), bool))


def speech(spoken: bool = True) -> Features:
    """Voice activity every 32 ms, as the envelope has it."""
    edges = np.arange(0, SECONDS, 0.032)
    times = np.stack([edges, edges + 0.032], axis=1)
    loud = envelope(times.mean(axis=1)) if spoken else np.zeros(len(edges))
    return Features(np.stack([loud, loud > 0.1], axis=1).astype(np.float32), times, np.ones(len(edges), bool))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("speaking")
    write_clip(made / "two.mp4", frames=frames(0.0, 2.1), audio=voice_samples()[None], rate=RATE, fps=FPS)
    write_clip(made / "still.mp4", frames=frames(None, 0.0), audio=voice_samples()[None], rate=RATE, fps=FPS)
    return made


def media_of(
    folder: Path, rows: Features, name: str = "two", voice: Features | Failure | None = None, **clip: Any
) -> Media:
    media = Media(Clip("c", video=f"{name}.mp4", audio=f"{name}.mp4", **clip), folder)
    media.decode()
    assert np.allclose(media.frame_times(), STAMPS)
    media.set_feature(FACE_TRACKS, rows)
    media.set_feature("voice_activity", speech() if voice is None else voice)
    return media


BOTH = ((0, 99), (0, 99))


@pytest.fixture(scope="module")
def speaking():
    chosen = build_extractors(parse(RunConfig, {"extractors": [{"name": SPEAKING, "piece": 2.0}]}, "c"))
    extractor = next(one for one in chosen if one.feature == SPEAKING)
    extractor.load("cpu")
    return extractor


def scored(speaking, media: Media) -> Features:
    (found,) = speaking.extract([media])
    assert isinstance(found, Features), found
    return found


SCORED: dict[bytes, Features] = {}
"""Scores of tests that look at what is made of them, by the rows of their faces: computed once."""


def once(speaking, media: Media) -> Features:
    key = media.feature(FACE_TRACKS).values.tobytes()
    if key not in SCORED:
        SCORED[key] = scored(speaking, media)
    return SCORED[key]


def scores(found: Features) -> dict[int, float]:
    rows = found.values[found.valid]
    return {int(i): float(rows[rows[:, 0] == i, 1].mean()) for i in sorted(set(rows[:, 0]))}


def test_the_mouth_in_step_with_the_voice_has_the_higher_score(speaking, folder):
    found = scored(speaking, media_of(folder, tracks(*BOTH)))
    assert found.valid.all()
    best = scores(found)
    assert best[0] > best[1] + 0.1
    rows = found.values.reshape(-1, 2, 3)
    np.testing.assert_allclose(rows[:, 0, 2], rows[:, 0, 1] - rows[:, 1, 1], rtol=1e-5)
    np.testing.assert_allclose(rows[:, 0, 2], -rows[:, 1, 2], rtol=1e-5)
    assert decide_speaker(found, 0.1).track_id == 0
    assert decide_speaker(found, 5.0).track_id is None


def test_a_still_face_beside_a_speaker(speaking, folder):
    best = scores(scored(speaking, media_of(folder, tracks(*BOTH), "still")))
    assert best[1] > best[0] + 0.1
    assert abs(best[0]) < 0.15


def test_a_single_face_costs_nothing_and_has_no_score(speaking, folder, monkeypatch):
    media = media_of(folder, tracks(BOTH[0]))
    monkeypatch.setattr(Media, "frames", lambda _: pytest.fail("frames were looked at"))
    assert not scored(speaking, media).valid.any()


def test_no_face_no_audio_no_speech(speaking, folder):
    nobody = scored(speaking, media_of(folder, tracks()))
    assert nobody.values.shape == (0, 3)
    mute = Failure("c", "voice_activity", "no_audio", "the clip has no audio")
    assert not scored(speaking, media_of(folder, tracks(*BOTH), voice=mute)).valid.any()
    silent = scored(speaking, media_of(folder, tracks(*BOTH), voice=speech(spoken=False)))
    assert not silent.valid.any()
    assert len(silent.values) == 200


def test_a_face_shown_for_less_than_a_second_and_a_half_has_no_score(speaking, folder):
    found = scored(speaking, media_of(folder, tracks((0, 99), (0, 30))))
    assert not found.valid.any()  # one face alone is left


def test_a_cut_in_the_middle_gives_each_side_its_own_scores(speaking, folder):
    rows = tracks((0, 49), (0, 49), (50, 99), (50, 99), offsets=[0, 1, 0, 1])
    best = scores(scored(speaking, media_of(folder, rows)))
    assert best[0] > best[1]
    assert best[2] > best[3]


def test_a_track_that_leaves_and_returns_is_scored_where_it_is(speaking, folder):
    rows = tracks(*BOTH)
    kept = ~((rows.values[:, 0] == 1) & (rows.times[:, 0] >= 1.0) & (rows.times[:, 0] < 1.15))
    found = scored(speaking, media_of(folder, Features(rows.values[kept], rows.times[kept], rows.valid[kept])))
    assert len(found.values) == kept.sum()
    assert found.valid.all()
    assert decide_speaker(found, 0.1).track_id == 0


def test_seven_faces(speaking, folder):
    rows = tracks(*[(0, 49)] * 7, offsets=[0, 1, 1, 1, 1, 1, 1])
    found = scored(speaking, media_of(folder, rows))
    assert decide_speaker(found, 0.1).track_id == 0
    assert decide_speaker(found, 0.1).talking == 7


def test_a_batch_gives_what_single_clips_give(speaking, folder):
    few = ((0, 59), (0, 59))
    clips = [media_of(folder, tracks(*few)), media_of(folder, tracks(*few), "still")]
    alone = [speaking.extract([media])[0] for media in clips]
    for one, other in zip(alone, speaking.extract(clips[::-1])[::-1], strict=True):
        assert one.values.tobytes() == other.values.tobytes()


def test_tracks_are_read_back_as_they_were(folder):
    rows = tracks((0, 99), (20, 60))
    found = read_tracks(rows, STAMPS)
    assert [(track.id, track.first, track.last) for track in found] == [(0, 0, 99), (1, 20, 60)]
    np.testing.assert_array_equal(found[1].boxes[0], [200, 50, 280, 150])


def main_face(folder, speaking, rule, rows, margin=0.1, name="two", **clip) -> Features | Failure:
    options = {"main_face": {"rule": rule, "margin": margin}}
    config = parse(RunConfig, {"extractors": [{"name": "quality"}], "faces": options}, "c")
    extractor = next(one for one in build_extractors(config) if one.feature == "faces")
    media = media_of(folder, rows, name, **clip)
    media.set_feature(SPEAKING, once(speaking, media))
    (outcome,) = extractor.extract([media])
    return outcome


def left_edge(found: Features) -> float:
    return float(found.values[found.valid][0, 0])


def test_the_main_face_is_the_one_that_speaks_or_listens(speaking, folder):
    rows = tracks((0, 80), (0, 99))  # the listener is there for longer
    found = main_face(folder, speaking, "speaking", rows)
    assert left_edge(found) == 40
    assert found.values[found.valid][0, 9] > 0.1
    assert found.values[found.valid][0, 10:].tolist() == [1, 2]
    assert left_edge(main_face(folder, speaking, "listener", rows)) == 200
    undecided = main_face(folder, speaking, "speaking", rows, margin=5.0)
    assert left_edge(undecided) == 200  # the longest
    assert undecided.values[undecided.valid][0, 10] == 0


@pytest.mark.parametrize("rule", ["speaking", "listener"])
def test_a_single_face_is_the_main_face_under_every_rule(speaking, folder, rule):
    found = main_face(folder, speaking, rule, tracks((10, 99)))
    assert left_edge(found) == 40
    assert found.valid.sum() == 90
    assert found.values[found.valid][0, 9:].tolist() == [0, 0, 0]


def test_somebodys_finger_beats_every_rule(speaking, folder):
    rows = tracks((0, 80), (0, 99))
    for pointed in (
        PointedFace((0.75, 0.6)),
        PointedFace((240.0, 100.0)),
        PointedFace((190.0, 40.0, 290.0, 150.0), 2.0),
    ):
        assert left_edge(main_face(folder, speaking, "speaking", rows, main_face=pointed)) == 200
    missed = main_face(folder, speaking, "speaking", rows, main_face=PointedFace((0.5, 0.05)))
    assert isinstance(missed, Failure)
    assert missed.reason == "no_such_face"
    assert missed.message == "2 faces, none of them at 160, 8 of 320 x 160 pixels"
    late = main_face(folder, speaking, "speaking", rows, main_face=PointedFace((80.0, 100.0), 3.5))
    assert isinstance(late, Failure)  # that face is gone by then
    assert late.message.endswith("at 80, 100 at 3.5 s of 320 x 160 pixels")


def test_rules_have_digests_of_their_own_and_the_longest_has_the_one_it_always_had():
    def digest(**options):
        config = parse(RunConfig, {"extractors": [{"name": "quality"}], "faces": options}, "c")
        return {one.feature: one.spec.digest for one in build_extractors(config)}

    usual = digest()
    assert digest(main_face={"rule": "longest"}) == usual
    other = {rule: digest(main_face={"rule": rule}) for rule in ("speaking", "listener")}
    assert len({found["faces"] for found in (usual, *other.values())}) == 3
    assert len({found["quality"] for found in (usual, *other.values())}) == 3
    assert other["speaking"][FACE_TRACKS] == other["listener"][FACE_TRACKS]


def test_quality_says_what_was_decided():
    config = {"extractors": [{"name": "quality"}], "faces": {"main_face": {"rule": "speaking"}}}
    quality = next(one for one in build_extractors(parse(RunConfig, config, "c")) if one.feature == "quality")
    assert quality.spec.columns[-3:] == ("speaker_margin", "speaker_decided", "faces_talking")


def test_a_detector_without_landmarks_is_refused():
    config = {"extractors": [{"name": SPEAKING}], "faces": {"detector": "center"}}
    with pytest.raises(RunError, match=r"speaking: synchrony needs landmarks, which center .* does not find"):
        build_extractors(parse(RunConfig, config, "c"))


def test_the_main_face_is_one_of_the_tracks_of_a_real_clip(feat_clips):
    path = feat_clips / "single_face.mp4"
    media = Media(Clip("c", video=path.name, audio=path.name, end=0.6), path.parent)
    media.decode()
    found = {}
    for name in (FACE_TRACKS, "faces"):
        extractor = build_extractor(name, name, {})
        assert isinstance(extractor.options, Faces)
        extractor.load("cpu")
        (found[name],) = extractor.extract([media])
    rows, main = found[FACE_TRACKS], found["faces"]
    assert rows.values.shape[1] == len(TRACK_COLUMNS) + len(LANDMARK_COLUMNS)
    mine = rows.values[rows.values[:, 0] == main.values[main.valid][0, 5]]
    np.testing.assert_array_equal(mine[:, 1:6], main.values[main.valid][:, :5])
    x, y = mine[:, 7::2], mine[:, 8::2]
    assert ((x > mine[:, 1:2]) & (x < mine[:, 3:4])).all()
    assert ((y > mine[:, 2:3]) & (y < mine[:, 4:5])).all()
    assert (x[:, 0] < x[:, 1]).all()  # the person's right eye is on the left
