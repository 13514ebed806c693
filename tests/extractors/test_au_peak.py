"""The peak of a clip as a feature: one row, made of another feature of the same clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.errors import RunError
from extractors.au_peak import COLUMNS
from extractors.core.extractor import resolve_dependencies
from extractors.core.media.clip_media import Media
from storage.clip import Clip
from storage.records import Failure, Features
from storage.vocabulary.action_unit_rules import RULES, clip_emotion, emotions_at, frequent_aus, peak_frame
from tests.extractors.faces_first import build_alone, face_extractor
from tests.media import write_clip
from tests.openface import command

TINY = {"random": {"seed": 0, "size": "tiny"}}


def _peak(given, **options):
    """The extractor and what it needs, as a run builds them."""
    peak = build_alone("au_peak", "au_peak", {"of": given.feature, **options})
    needed = [face_extractor()] if given.needs else []
    assert resolve_dependencies([*needed, peak, given]) == [*needed, given, peak]
    return peak


@pytest.fixture(scope="module")
def openface():
    return build_alone("openface", "of", {"command": command(), "columns": "aus"})


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Media:
    path = write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", seconds=2, audio=None)
    made = Media(Clip("a", video=path.name), path.parent, audio=False)
    made.decode()
    return made


@pytest.fixture(scope="module")
def aus(media, openface) -> Features:
    """Made-up action units on the clip's frames, a fifth of them failed."""
    rng, times = np.random.default_rng(3), media.frame_times()
    width = len(openface.spec.columns)
    values = rng.choice([0, 0, 1, 1.5, 3], (len(times), width)).astype(np.float32)
    values[:, -18:] = rng.integers(0, 2, (len(times), 18))
    valid = rng.random(len(times)) > 0.2
    values[~valid] = np.nan
    return Features(values, times, valid)


def _run(peak, media, outcome) -> Features | Failure:
    media.set_feature(peak.options.of, outcome)
    [found] = peak.extract([media])
    return found


def test_one_row_says_what_the_rules_say(media, openface, aus):
    peak = _peak(openface, distance=5)
    found = _run(peak, media, aus)
    assert found.times.tolist() == [[0.0, media.frame_times()[-1, 1]]]
    row = dict(zip(peak.spec.columns, found.values[0], strict=True))
    columns = openface.spec.columns
    assert {n for n in row if n.startswith("frequent_") and row[n]} == {
        f"frequent_{au}" for au in frequent_aus(aus, columns)
    }
    for rule in RULES:
        expected = peak_frame(aus, columns, rule)
        assert [row[f"{rule}_{n}"] for n in ("row", "frame")] == [expected.row, expected.frame]
        assert row[f"{rule}_time"] == pytest.approx(expected.time)
        assert row[f"{rule}_score"] == pytest.approx(expected.score)
        active = {n for n, v in row.items() if n.startswith(f"{rule}_AU") and v == 1}
        assert active == {f"{rule}_{au}" for au in expected.aus}
        for emotion in emotions_at(aus, columns, expected.row, rule):
            assert row[f"{rule}_{emotion.word}"] == pytest.approx(emotion.score)
        labels = [n for n in row if n.startswith(f"{rule}_is_") and row[n]]
        assert labels == [f"{rule}_is_{clip_emotion(aus, columns, rule, 5)}"]
    assert sum(bool(row[f"mer_factory_{word}"]) for word in ("happy", "sad", "fear", "angry", "contempt")) > 0


def test_a_clip_without_any_valid_row_has_one_row_that_is_not_valid(media, openface, aus):
    nothing = Features(np.full_like(aus.values, np.nan), aus.times, np.zeros(len(aus.times), bool))
    found = _run(_peak(openface), media, nothing)
    assert found.valid.tolist() == [False]
    assert np.isnan(found.values).all()
    assert found.times.tolist() == [[0.0, media.frame_times()[-1, 1]]]


def test_what_failed_for_the_action_units_fails_for_their_peak(media, openface):
    failure = _run(_peak(openface), media, Failure("a", "of", "no_video", "a.mp4: no video stream", "open"))
    assert (failure.reason, failure.feature) == ("no_video", "au_peak")
    assert failure.message == "of: a.mp4: no video stream"


def test_the_spec_follows_the_feature_it_is_made_from(openface):
    spec = _peak(openface).spec
    assert spec.source == "OpenFace 2.2"
    assert not spec.synthetic
    assert spec.level == "utterance"
    assert spec.inputs == {"of": openface.spec.digest}
    assert len(spec.units) == len(spec.columns) == len(set(spec.columns)) == len(COLUMNS)
    assert _peak(openface, distance=15).spec.digest != spec.digest
    feat = build_alone("action_units", "au", {"weights": TINY})
    assert _peak(feat).spec.synthetic
    assert _peak(feat).spec.digest != spec.digest
    assert _peak(feat).spec.source.startswith("py-feat")
    assert build_alone("au_peak", "p", {}).needs == ("action_units",)


def test_a_feature_without_action_units_is_refused_before_any_work(openface):
    for given, message in (
        (build_alone("faces", "boxes", {}), "feature au_peak: 'boxes' has no column AU01_r"),
        (_peak(openface), "feature second: 'au_peak' has no column AU01_r"),
    ):
        second = build_alone("au_peak", "second", {"of": given.feature})
        peak = second if given.feature == "au_peak" else build_alone("au_peak", "au_peak", {"of": "boxes"})
        peak.inputs[given.feature] = given.spec
        with pytest.raises(RunError, match=message):
            _ = peak.spec
    peak = build_alone("au_peak", "p", {"of": "of"})
    peak.inputs["of"] = replace(openface.spec, level="utterance")
    with pytest.raises(RunError, match="'of' is not frame-level; `of:` must name action units"):
        _ = peak.spec
