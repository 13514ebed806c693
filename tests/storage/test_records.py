"""The nouns refuse what no later step could use."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from storage.clip import Clip
from storage.errors import ClipError
from storage.records import Features, FeatureSpec

SPEC = FeatureSpec("gemaps", "gemaps", "audio", "frame", ("a", "b"), hop=0.01, recipe={"x": {"y": 1}})


def arrays(n=3, width=2):
    times = np.stack([np.arange(n) * 0.1, np.arange(n) * 0.1 + 0.1], axis=1)
    return np.ones((n, width), np.float32), times, np.ones(n, np.bool_)


def changed(position, value, what):
    found = list(arrays())
    found[position] = found[position].copy()
    found[position][what] = value
    return found


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([arrays()[0].astype(np.float64), *arrays()[1:]], r"values: expected \(T, D\) float32, got \(3, 2\) float64"),
        ([arrays()[0][0], *arrays()[1:]], "values: expected"),
        ([arrays()[0], arrays()[1][:, :1], arrays()[2]], "times: expected"),
        ([arrays()[0], arrays()[1], arrays()[2].astype(np.int8)], "valid: expected"),
        (changed(0, np.nan, (1, 1)), "NaN or infinity in a row marked valid"),
        (changed(0, np.inf, (1, 1)), "NaN or infinity in a row marked valid"),
        (changed(2, False, 1), "numbers in a row marked not valid"),
        (changed(1, 0.0, (0, 1)), "half-open"),
        (changed(1, np.nan, (0, 1)), "half-open"),
        (changed(1, (0.5, 0.6), 0), "in order"),
    ],
)
def test_features_check_every_invariant(made, message):
    with pytest.raises(ValueError, match=message):
        Features(*made)


def test_masked_rows_are_nan_throughout():
    values, times, valid = arrays()
    values[1] = np.nan
    valid[1] = False
    assert Features(values, times, valid).valid.tolist() == [True, False, True]


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"x": {"y": 2}}},
        {"columns": ("a", "c")},
        {"code": 2},
        {"precision": "bf16"},
        {"weights": {"sha": "1"}},
    ],
)
def test_every_field_that_changes_numbers_changes_the_digest(change):
    other = replace(SPEC, **change)
    assert other.digest != SPEC.digest
    assert next(iter(change)) in str(SPEC.first_difference(other))


def test_the_name_is_not_in_the_digest_and_specs_survive_json():
    assert replace(SPEC, name="other").digest == SPEC.digest
    assert FeatureSpec.from_dict(SPEC.to_dict()) == SPEC
    assert SPEC.first_difference(FeatureSpec.from_dict(SPEC.to_dict())) is None


def test_first_difference_names_the_nested_field():
    assert SPEC.first_difference(replace(SPEC, recipe={"x": {"y": 2}})) == "recipe.x.y: 1 against 2"


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "ä", "a[0]"])
def test_clip_ids_are_plain(bad):
    with pytest.raises(ValueError, match="clip id"):
        Clip(bad)


def test_fingerprint_covers_media_segment_and_text_but_not_labels():
    clip = Clip("a", video="a.mp4", text="hello")
    media = {"video": "00"}
    base = clip.with_fingerprint(media).fingerprint
    for other in ({"text": "bye"}, {"start": 1.0}, {"end": 2.0}, {"audio_channel": 1}, {"crop": (0.0, 0.0, 0.5, 1.0)}):
        assert replace(clip, **other).with_fingerprint(media).fingerprint != base
    assert clip.with_fingerprint({"video": "01"}).fingerprint != base
    assert replace(clip, label="sad", split="val").with_fingerprint(media).fingerprint == base


def test_clip_errors_cross_processes_and_know_their_codes():
    error = pickle.loads(pickle.dumps(ClipError("no_audio", "x.mp4: no audio stream", stage="open")))
    assert (error.reason, error.message, error.stage) == ("no_audio", "x.mp4: no audio stream", "open")
    with pytest.raises(KeyError, match="unknown reason code"):
        ClipError("bad_luck", "")
