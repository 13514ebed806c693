"""A chosen part of a store gives, in every format, the bytes of an export of a store that holds that part alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from unittest import mock

import numpy as np
import pytest

from configs.errors import RunError
from storage.choice import Where
from storage.exporters import EXPORTERS, export
from storage.exporters._shared import exporter as module
from storage.exporters._shared.choosing import Columns, Trim
from storage.records import Features, FeatureSpec
from storage.store.store import FeatureStore
from storage.vocabulary.openface_columns import INTENSITY_AUS, PRESENCE_AUS
from storage.vocabulary.speech import SPEECH_COLUMNS
from tests.conformance.test_exporters import OPTIONS
from tests.exports import ACTION_UNITS, CLIPS, FRAMES, GEMAPS, SPECS, contents, features, make_store

FORMATS = EXPORTERS.names()
ACTIVITY = FeatureSpec("voice_activity", "voice_activity", "audio", "frame", SPEECH_COLUMNS, hop=0.04)
QUALITY = FeatureSpec("quality", "quality", "video", "utterance", ("face_share", "fps"))
QUALITIES = dict(zip(FRAMES, (0.2, 0.9, 0.6, 0.4), strict=True))
# Frames of 40 ms with speech, first and last; the last clip has none.
SPEECH = {"clip_2_Cooking_1": (2, 6), "clip_1_Test_2": (0, 20), "clip_1_Test_1": (9, 30), "clip_3_News_1": (3, 3)}


def accepts(name, section):
    return issubclass(EXPORTERS.load(name).Options, section)


def activity(clip_id: str) -> Features:
    n = FRAMES[clip_id]
    first, last = SPEECH[clip_id]
    spoken = (np.arange(n) >= first) & (np.arange(n) < last)
    start = np.arange(n) * 0.04
    return Features(
        np.stack([spoken, spoken], axis=1).astype(np.float32), np.stack([start, start + 0.04], 1), np.ones(n, np.bool_)
    )


def quality(clip_id: str) -> Features:
    end = FRAMES[clip_id] / 25
    return Features(np.array([[QUALITIES[clip_id], 25]], np.float32), np.array([[0, end]]), np.ones(1, np.bool_))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    made = {("voice_activity", activity), ("quality", quality)}
    replaced = {(clip.id, name): make(clip.id) for clip in CLIPS for name, make in made}
    return make_store(tmp_path_factory.mktemp("one") / "store", specs=[*SPECS, ACTIVITY, QUALITY], replaced=replaced)


def exported(name, store, path, **options):
    """Bytes of an export, without the text that says what was chosen."""
    with mock.patch.object(module, "describe_provenance", return_value="{}"):
        lines = export(name, store, path, {**OPTIONS.get(name, {}), **options})
    return contents(path), lines


def in_three(name, kept):
    """`mmsa` needs three splits, and may use one twice; `emobox` may not."""
    if name != "mmsa":
        return {}
    there = list(dict.fromkeys(CLIPS[i].split for i in kept))
    return {
        "splits": ",".join(f"{there[min(i, len(there) - 1)]}:{to}" for i, to in enumerate(("train", "valid", "test")))
    }


def own(name):
    """Features that both stores have: other formats need none of the flags."""
    return {"features": ",".join(spec.name for spec in SPECS)} if name in SELECTING else {}


SELECTING = [name for name in FORMATS if "features" in EXPORTERS.load(name).Options.model_fields]


NEEDS_THREE_SPLITS = "emobox"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Gives a store that holds some of the clips and nothing else, made once."""

    @cache
    def made(*places):
        return make_store(tmp_path_factory.mktemp("alone") / "store", clips=[CLIPS[i] for i in places])

    return made


def assert_chosen(name, store, alone, tmp_path, options, kept):
    more = own(name) | in_three(name, kept)
    ours, lines = exported(name, store, tmp_path / "ours", **options, **more)
    theirs, _ = exported(name, alone(*kept), tmp_path / "theirs", **more)
    assert ours == theirs
    assert f"{len(kept)} clip{'s' * (len(kept) > 1)} of 4, as told" in lines


@pytest.mark.parametrize("name", FORMATS)
def test_chosen_clips_in_every_format(name, store, alone, tmp_path):
    assert_chosen(name, store, alone, tmp_path, {"where": "speaker != '07'"}, [0, 2, 3])


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"split": "train"}, [0, 1]),
        ({"clips": "clip_1_*"}, [1, 2]),
        ({"where": "quality.face_share > 0.5"}, [1, 2]),
        ({"where": "group == '1' and not speaker == '07'", "split": "train,val"}, [2]),
    ],
)
def test_chosen_clips(store, alone, tmp_path, options, kept):
    assert_chosen("indomer", store, alone, tmp_path, options, kept)
    with pytest.raises(RunError, match="expected clips, got none; --opt splits="):
        exported(NEEDS_THREE_SPLITS, store, tmp_path / "three", **options)


@pytest.mark.parametrize("name", [n for n in FORMATS if accepts(n, Trim) and n != NEEDS_THREE_SPLITS])
def test_rows_outside_of_speech_are_left_out_with_their_times_kept(name, store, tmp_path):
    clips = [clip for clip in CLIPS if clip.id != "clip_3_News_1"]
    trimmed = {}
    for clip in clips:
        places, times = SPEECH[clip.id], activity(clip.id).times
        first, last = times[places[0], 0], times[places[1] - 1, 1]
        for spec in SPECS:
            rows = features(spec, clip.id, FRAMES[clip.id])
            middles = rows.times.mean(axis=1)
            keep = (middles >= first) & (middles < last)
            if spec.level == "frame" and spec.name != "faces":
                rows = Features(rows.values[keep], rows.times[keep], rows.valid[keep])
            trimmed[clip.id, spec.name] = rows
    alone = make_store(tmp_path / "alone", clips=clips, replaced=trimmed)
    more = own(name) | in_three(name, [0, 1, 2])
    ours, _ = exported(name, store, tmp_path / "ours", trim="voice_activity", clips="clip_[12]*", **more)
    theirs, _ = exported(name, alone, tmp_path / "theirs", **more)
    assert ours == theirs


def test_a_clip_without_speech_has_no_rows_and_is_named(store, tmp_path):
    options = {"trim": "voice_activity", "features": "gemaps"}
    with pytest.raises(RunError, match=r"1 clip has no gemaps: clip_3_News_1; --opt missing=omit"):
        export("parquet", store, tmp_path / "out", options)
    lines = export("parquet", store, tmp_path / "out", options | {"missing": "omit"})
    assert "trim: 1 clip has no speech: clip_3_News_1" in lines


@pytest.mark.parametrize("name", [name for name in SELECTING if accepts(name, Columns) and name != "mmsa"])
def test_chosen_columns(name, store, tmp_path):
    wanted = [0, 3, 4]
    names = tuple(GEMAPS.columns[i] for i in wanted)
    narrow = replace(GEMAPS, columns=names)
    replaced = {}
    for clip in CLIPS:
        rows = features(GEMAPS, clip.id, FRAMES[clip.id])
        replaced[clip.id, "gemaps"] = Features(np.ascontiguousarray(rows.values[:, wanted]), rows.times, rows.valid)
    alone = make_store(tmp_path / "alone", specs=[narrow], replaced=replaced)
    options = {"features": "gemaps", "columns": "gemaps:g_0,gemaps:g_[34]"}
    ours, _ = exported(name, store, tmp_path / "ours", **options)
    theirs, _ = exported(name, alone, tmp_path / "theirs", features="gemaps")
    assert ours == theirs


def test_a_preset_has_openfaces_columns_in_its_order(store, tmp_path):
    import pyarrow.parquet as pq

    export("parquet", store, tmp_path / "out", {"features": "action_units", "preset": "openface-35"})
    table = pq.read_table(tmp_path / "out" / "action_units.parquet")
    expected = [*(f"{au}_r" for au in INTENSITY_AUS), *(f"{au}_c" for au in PRESENCE_AUS)]
    assert [name for name in table.column_names if name.startswith("AU")] == expected
    rows = store.get(CLIPS[0].id, "action_units").values[:, ACTION_UNITS.columns.index("AU12_r")]
    first = table.filter(np.array(table["clip_id"].to_pylist()) == CLIPS[0].id)
    np.testing.assert_array_equal(first["AU12_r"].to_numpy(), rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "option split: no clip is of split 'dev'; splits: test, train, val"),
        ({"clips": "nobody*"}, r"clips nobody\*: no such file of ids, and no clip's id matches it"),
        ({"where": "duration > 5"}, "no clip is left by where=duration > 5"),
        ({"where": "split = 'train'"}, "cannot be read; expected a condition such as quality.face_share"),
        ({"where": "split == train"}, "no field 'train'; a word needs quotes, fields are id, video,"),
        ({"where": "qualty.fps > 1"}, r"no feature 'qualty'; with one row per clip: .*quality"),
        ({"where": "gemaps.g_0 > 1"}, "feature gemaps has many rows per clip"),
        ({"where": "quality.fsp > 1"}, "feature quality has no column 'fsp'; columns: face_share, fps"),
        ({"where": "__import__('os').getcwd()"}, r"\"__import__\('os'\)\.getcwd\(\)\" is not understood"),
        ({"where": "speaker > 3"}, "clip clip_1_Test_2: '>' not supported between instances of 'str' and 'int'"),
        ({"columns": "gemaps:z"}, "option columns: feature gemaps has no column 'z'; its first are g_0"),
        ({"columns": "gmaps:z"}, "option columns: no feature 'gmaps'; features: action_units, faces, gemaps"),
        ({"preset": "openface-709"}, "preset: openface-709: feature action_units lacks 40 columns, as p_scale"),
        ({"trim": "gemaps"}, "option trim: gemaps: has no voice activity; extract voice_activity"),
        ({"trim": "speech"}, "option trim: speech: no such feature"),
    ],
)
def test_what_there_is_not_is_refused_in_one_line(store, tmp_path, options, message):
    with pytest.raises(RunError, match=message) as error:
        export("parquet", store, tmp_path / "out", options)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("split in ('train', 'val')", [0, 1, 2]),
        ("label != 'sad' and label_raw is not None", [1, 2, 3]),
        ("speaker is None", [0, 2, 3]),
        ("not speaker < 'z'", [0, 2, 3]),
        ("labels.sentiment == 'positif' or dimensions.valence < -1", [0, 2, 3]),
        ("0 < dimensions.valence <= 1", [1, 3]),
        ("dimensions.arousal > 0", []),
        ("'Wah' in text", [2]),
        ("group in ['1'] and -dimensions.valence > -1", [1]),
        ("mae.mae_0 > 0", "mae has many rows"),
        ("videomae.videomae_0 >= 0", [0, 1, 2, 3]),
    ],
)
def test_conditions(store, text, expected):
    if isinstance(expected, str):
        with pytest.raises(RunError, match=expected):
            Where(text, store)
    else:
        where = Where(text, store)
        assert [i for i, clip in enumerate(CLIPS) if where.holds(clip)] == expected


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_is_replaced_when_asked_for_and_never_anything_else(name, store, tmp_path):
    options = OPTIONS.get(name, {})
    export(name, store, tmp_path / "out", options)
    options |= in_three(name, [0, 2, 3])
    before = contents(tmp_path / "out")
    with pytest.raises(RunError, match="no clip is left"):
        export(name, store, tmp_path / "out", {**options, "where": "duration > 5"}, replace=True)
    assert contents(tmp_path / "out") == before
    export(name, store, tmp_path / "out", {**options, "where": "speaker != '07'"}, replace=True)
    assert contents(tmp_path / "out") != before
    assert list(EXPORTERS.load(name).validate(tmp_path / "out")) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years")
    with pytest.raises(RunError, match=f"not replaced, for nothing in it says that it is an export as {name}"):
        export(name, store, mine, options, replace=True)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="not replaced"):
        export(name, store, tmp_path / "letter.txt", options, replace=True)
    assert (mine / "thesis.tex").read_text() + (tmp_path / "letter.txt").read_text() == "yearsdear"


def test_stale_values_of_clips_that_are_not_chosen_stop_nothing(store, tmp_path):
    asked = []
    with mock.patch.object(module, "settle_stale", lambda *given: asked.append(given[3]) or []):
        export("parquet", store, tmp_path / "a", {"split": "train"})
        export("parquet", store, tmp_path / "b", {})
    assert asked == [{"clip_2_Cooking_1", "clip_1_Test_2"}, None]
