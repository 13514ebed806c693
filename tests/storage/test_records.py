"""The nouns refuse what no later step could use."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest

from storage.clip import Clip
from storage.digests import digest_of
from storage.errors import ClipError
from storage.identity import input_digests, legacy_fingerprint
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


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"start": -1.0}, "start is -1.0"),
        ({"start": 2.0, "end": 1.0}, "end 1.0 is not after start 2.0"),
        ({"frame_rate": 0.0}, "frame_rate is 0.0, expected more than 0"),
        ({"frame_rate": float("nan")}, "frame_rate is nan"),
        ({"audio_channel": -2}, "audio_channel is -2, expected 0 or more, or -1"),
    ],
)
def test_a_clip_that_no_later_step_could_use_is_refused(field, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Clip("a", **field)


def test_what_is_new_in_a_clip_changes_the_digests_of_what_it_is_about_and_no_other():
    clip = Clip("a", video="v", audio="w", start=1.0, end=2.0, files={"video": "ab 1 2 3", "audio": "cd 1 2 3"})
    before = input_digests(clip)

    def other(**fields):
        after = input_digests(replace(clip, **fields))
        return {name for name in before if before[name] != after[name]}

    assert other(frame_rate=25.0) == {"video_part"}
    assert other(audio_is_cut=True) == {"audio_part"}
    assert other(audio_channel=-1) == {"audio_part"}
    kept = {"votes": {"a": "b"}, "folds": {"x": "1"}, "about": {"y": "z"}, "series": {"eeg": "p"}, "lacks": ("text",)}
    assert other(**kept, label_set=("joy",), scales={"valence": "1..5"}) == set()


def test_each_input_of_a_clip_has_a_digest_and_labels_are_in_none():
    clip = Clip("a", video="a.mp4", audio="a.wav", text="hello", files={"video": "aa 1 2 3", "audio": "bb 1 2 3"})
    base = input_digests(clip)
    changes = {
        "text": [{"text": "bye"}, {"text": None}, {"text": ""}],
        "video": [
            {"files": {**clip.files, "video": "ab 1 2 3"}},
            {"video": None},
            {"video": "https://x.org/a.mp4", "files": {}},
        ],
        "audio": [{"files": {**clip.files, "audio": "bc 1 2 3"}}, {"audio": None}],
        "video_part": [{"crop": (0.0, 0.0, 0.5, 1.0)}, {"video_track": 1}],
        "audio_part": [{"audio_channel": 1}, {"audio_track": 1}, {"audio_track": 0}],
        "video_part audio_part": [{"start": 1.0}, {"end": 2.0}],
        "": [
            {"label": "sad", "split": "val", "speaker": "x", "id": "b", "source_id": "y", "root": "disk"},
            {"video": "moved/a.mp4", "files": {"video": "aa 9 9 9", "audio": "bb 8 8 8"}},
        ],
    }  # fmt: skip
    for names, others in changes.items():
        for other in others:
            found = input_digests(replace(clip, **other))
            changed = {name for name in base if found[name] != base[name]}
            assert changed - ({"audio"} if "https" in str(other) else set()) == set(names.split()), other
    assert all(digest > 0 for digest in base.values())


def test_a_clip_of_an_old_manifest_has_one_digest_and_a_new_one_gives_what_old_stores_hold():
    old = Clip("a", video="a.mp4", fingerprint="00112233445566ff")
    assert len(set(input_digests(old).values())) == 1
    assert legacy_fingerprint(old) == 0x00112233445566FF
    new = Clip("a", video="a.mp4", text="x", files={"video": "aa 1 2 3"})
    assert legacy_fingerprint(new) == int(digest_of([{"video": "aa"}, None, None, None, None, "x"]), 16)
    assert legacy_fingerprint(replace(new, audio="gone.wav", audio_track=1)) == int(
        digest_of([{"video": "aa", "audio": "missing"}, None, None, None, None, "x", [1, None]]), 16
    )


def test_clip_errors_cross_processes_and_know_their_codes():
    error = pickle.loads(pickle.dumps(ClipError("no_audio", "x.mp4: no audio stream", stage="open")))
    assert (error.reason, error.message, error.stage) == ("no_audio", "x.mp4: no audio stream", "open")
    with pytest.raises(KeyError, match="unknown reason code"):
        ClipError("bad_luck", "")
