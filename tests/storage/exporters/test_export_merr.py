"""The tree that Emotion-LLaMA loads: its loader re-enacted, its labels and frame counts, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from configs.errors import RunError
from storage.clip import Clip
from storage.exporters import export
from storage.exporters.merr.validate import validate_tree
from storage.records import Features
from storage.vocabulary.action_unit_rules import clip_emotion, frequent_aus, peak_aus, peak_frame
from tests.consumers import EMOTIONS, lines_of, load_item
from tests.exports import (
    ACTION_UNITS,
    CLIPS,
    FACES,
    FRAMES,
    HUBERT,
    MAE,
    VIDEOMAE,
    features,
    make_store,
    peak_of,
    wide,
)

SPECS = (HUBERT, MAE, VIDEOMAE, ACTION_UNITS, FACES)
MIXED = {"mix_splits": "true"}  # all four clips in one annotation
SLOTS = {"mae_340_UTT": MAE, "maeV_399_UTT": VIDEOMAE, "HL-UTT": HUBERT}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("merr") / "store", specs=SPECS)


@pytest.fixture(scope="module")
def out(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("merr") / "out"
    export("merr", store, path, MIXED)
    return path


def test_the_loader_gets_its_stack_emotion_and_sentence(store, out):
    annotation = out / "MERR_coarse_grained.txt"
    lines = lines_of(annotation)
    assert lines == [
        *("clip_2_Cooking_1 10 sad", "clip_1_Test_2 25 neutral", "clip_1_Test_1 31 happy", "clip_3_News_1 40 surprise")
    ]
    for line, clip in zip(lines, CLIPS, strict=True):
        stack, emotion, sentence = load_item(annotation, line)
        assert (stack.shape, stack.dtype) == ((3, 1024), torch.float32)
        assert emotion == EMOTIONS[str(clip.label)]
        assert sentence == clip.text
        for row, spec in zip(stack, SLOTS.values(), strict=True):
            found = store.get(clip.id, spec.name)
            mean = found.values[found.valid].astype(np.float64).mean(axis=0)
            np.testing.assert_array_equal(row.numpy(), mean.astype(np.float32))
    assert all(np.load(out / slot / "clip_1_Test_1.npy").shape == (1024,) for slot in SLOTS)


def test_a_utterance_row_is_taken_as_it_is_and_invalid_rows_are_left_out(tmp_path):
    values = np.full((3, 1024), 5, np.float32)
    values[0], values[1] = 1, np.nan
    times = np.stack([np.arange(3), np.arange(3) + 1], axis=1).astype(float)
    gaps = Features(values, times, np.array([True, False, True]))
    store = make_store(tmp_path / "store", CLIPS[:1], SPECS, replaced={(CLIPS[0].id, "mae"): gaps})
    export("merr", store, tmp_path / "out", MIXED)
    assert set(np.load(tmp_path / f"out/mae_340_UTT/{CLIPS[0].id}.npy").tolist()) == {3.0}
    given = store.get(CLIPS[0].id, "videomae").values[0]
    assert np.load(tmp_path / f"out/maeV_399_UTT/{CLIPS[0].id}.npy").tobytes() == given.tobytes()


def test_the_loader_s_order_is_mae_videomae_hubert(tmp_path):
    def constant(value: float) -> Features:
        return Features(np.full((1, 1024), value, np.float32), np.array([[0.0, 1.0]]), np.array([True]))

    by_slot = {(CLIPS[0].id, name): constant(value) for name, value in (("mae", 1), ("videomae", 2), ("hubert", 3))}
    store = make_store(tmp_path / "store", CLIPS[:1], SPECS, replaced=by_slot)
    export("merr", store, tmp_path / "out", MIXED)
    stack, _, _ = load_item(tmp_path / "out/MERR_coarse_grained.txt", f"{CLIPS[0].id} 10 sad")
    assert stack[:, 0].tolist() == [1, 2, 3]
    # A leading axis changes nothing for the loader.
    path = tmp_path / f"out/HL-UTT/{CLIPS[0].id}.npy"
    np.save(path, np.load(path)[None])
    again, _, _ = load_item(tmp_path / "out/MERR_coarse_grained.txt", f"{CLIPS[0].id} 10 sad")
    assert torch.equal(stack, again)
    # Why the writer refuses rows over time: the loader does not, and later modalities fall off the model's three.
    np.save(tmp_path / f"out/mae_340_UTT/{CLIPS[0].id}.npy", np.zeros((7, 1024), np.float32))
    wrong, _, _ = load_item(tmp_path / "out/MERR_coarse_grained.txt", f"{CLIPS[0].id} 10 sad")
    assert wrong.shape == (9, 1024)


@pytest.mark.parametrize("rule", ["documented", "mer_factory"])
def test_the_coarse_json_has_the_keys_that_come_from_the_features(store, tmp_path, rule):
    export("merr", store, tmp_path / "out", MIXED | {"rule": rule})
    entries = json.loads((tmp_path / "out/MERR_coarse_grained.json").read_text())
    assert json.loads((tmp_path / "out/MERR_fine_grained.json").read_text()) == {}
    assert list(entries) == [clip.id for clip in CLIPS]
    for clip in CLIPS:
        found, columns = store.get(clip.id, "action_units"), ACTION_UNITS.columns
        peak = peak_frame(found, columns, rule)
        assert peak is not None
        entry = entries[clip.id]
        words = {"happiness": "happy", "sadness": "sad", "anger": "angry"}
        word = clip_emotion(found, columns, rule)
        expected = {
            "AU_list": list(frequent_aus(found, columns)),
            "peak_index": str(peak.row),
            "peak_AU_list": list(peak_aus(found, columns, peak.row)),
            "pseu_emotion": words.get(str(word), word),
            "text": clip.text,
        }
        assert entry == {key: value for key, value in expected.items() if value != "disgust"}
        assert list(entry) == [key for key in expected if key in entry]
        assert 0 <= int(entry["peak_index"]) < FRAMES[clip.id]


def test_each_split_has_an_annotation_of_its_own_unless_mixing_is_asked_for(store, tmp_path):
    lines = export("merr", store, tmp_path / "out", {})
    names = {path.name: [line.split()[0] for line in lines_of(path)] for path in (tmp_path / "out").glob("*.txt")}
    by_split = {}
    for clip in CLIPS:
        by_split.setdefault(f"MERR_coarse_grained_{clip.split}.txt", []).append(clip.id)
    assert names == by_split
    assert len(names) > 1
    assert all(f"{name}: {len(ids)} clip{'s' * (len(ids) > 1)}" in lines for name, ids in names.items())
    mixed = export("merr", store, tmp_path / "mixed", MIXED)
    assert "note: one annotation holds all splits, as told: train, val, test" in mixed


def test_lists_with_a_valence_stand_beside_the_annotations(store, tmp_path):
    export("merr", store, tmp_path / "each", {"ncev": "valence"})
    plain = {path.name: path.read_text() for path in (tmp_path / "each").glob("*.txt")}
    valences = {clip.id: clip.dimensions["valence"] for clip in store.clips()}
    for split in ("train", "val", "test"):
        lines = plain[f"MERR_coarse_grained_{split}.txt"].splitlines()
        expected = [f"{line} {valences[line.split(' ')[0]]:g}" for line in lines]
        assert plain[f"relative_{split}_NCEV.txt"].splitlines() == expected
    assert "0.25" in plain["relative_train_NCEV.txt"]
    export("merr", store, tmp_path / "one", {"ncev": "valence", "mix_splits": "true"})
    assert len((tmp_path / "one" / "relative_NCEV.txt").read_text().splitlines()) == 4
    (tmp_path / "one" / "relative_NCEV.txt").write_text("clip_1_Test_1 31 happy high\nclip_1_Test_1 30 happy 1\n")
    problems = list(validate_tree(tmp_path / "one"))
    assert "relative_NCEV.txt, line 1, valence: expected a number, got high" in problems
    assert any(
        problem.startswith("relative_NCEV.txt, line 2: expected a clip of the annotation") for problem in problems
    )
    with pytest.raises(RunError, match="option ncev: no clip has 'arousal'; they have valence"):
        export("merr", store, tmp_path / "none", {"ncev": "arousal"})


def test_unlabelled_clips_of_a_test_get_the_word_that_is_asked_for(tmp_path):
    clips = [CLIPS[0], replace(CLIPS[3], label=None, label_raw=None)]
    store = make_store(tmp_path / "store", clips, SPECS)
    export("merr", store, tmp_path / "out", {"unlabelled": f"{clips[1].split}:neutral", "labels": "x:angry"})
    assert lines_of(tmp_path / f"out/MERR_coarse_grained_{clips[1].split}.txt") == [f"{clips[1].id} 40 neutral"]
    with pytest.raises(RunError, match=r"option unlabelled: expected one of neutral, .*; got 'bored'"):
        export("merr", store, tmp_path / "two", {"unlabelled": "bored"})


def test_a_clip_without_a_face_keeps_its_place_without_action_units(tmp_path):
    rows = FRAMES[CLIPS[0].id]
    seen = features(ACTION_UNITS, CLIPS[0].id, rows)
    none = Features(np.full_like(seen.values, np.nan), seen.times, np.zeros(rows, np.bool_))
    store = make_store(tmp_path / "store", specs=SPECS, replaced={(CLIPS[0].id, "action_units"): none})
    lines = export("merr", store, tmp_path / "out", MIXED)
    assert json.loads((tmp_path / "out/MERR_coarse_grained.json").read_text())[CLIPS[0].id] == {"text": CLIPS[0].text}
    assert "MERR_coarse_grained.json, peak_index: 1 clip has none: clip_2_Cooking_1" in lines
    missing = json.loads((tmp_path / "out/missing.json").read_text())
    assert missing["peak_index"] == missing["pseu_emotion"][:1] == [CLIPS[0].id]
    assert len(lines_of(tmp_path / "out/MERR_coarse_grained.txt")) == 4
    with pytest.raises(
        RunError, match=r"clip clip_2_Cooking_1, emotion: expected one of neutral, .*; got none by rule"
    ):
        export("merr", store, tmp_path / "two", MIXED | {"emotion": "pseudo"})


def test_without_action_units_frames_are_counted_by_the_faces(tmp_path):
    store = make_store(tmp_path / "store", specs=(HUBERT, MAE, VIDEOMAE, FACES))
    lines = export("merr", store, tmp_path / "out", MIXED)
    assert lines_of(tmp_path / "out/MERR_coarse_grained.txt")[1] == "clip_1_Test_2 25 neutral"
    assert "MERR_coarse_grained.json: no action units, so only text" in lines
    entries = json.loads((tmp_path / "out/MERR_coarse_grained.json").read_text())
    assert entries["clip_1_Test_2"] == {"text": "Tidak?"}
    store = make_store(tmp_path / "other", specs=(HUBERT, MAE, VIDEOMAE))
    with pytest.raises(RunError, match=r"no feature with a row per frame.*extract faces.*frames_feature=NAME"):
        export("merr", store, tmp_path / "two", MIXED)
    with pytest.raises(RunError, match="no action units, which emotion=pseudo and images=peak need"):
        export("merr", store, tmp_path / "two", MIXED | {"emotion": "pseudo", "frames_feature": "mae"})
    export("merr", store, tmp_path / "two", MIXED | {"frames_feature": "mae"})


@pytest.mark.parametrize(
    ("spec", "model"),
    [
        (
            replace(HUBERT, columns=wide("h", 768)),
            r"HL-UTT: expected 1024 columns, feature hubert has 768.*chinese-hubert-large",
        ),
        (
            replace(MAE, columns=wide("m", 768)),
            r"mae_340_UTT: expected 1024 columns, feature mae has 768.*MAE ViT-L/16",
        ),
        (replace(VIDEOMAE, columns=wide("v", 768)), r"maeV_399_UTT: .* videomae has 768.*VideoMAE-large"),
    ],
)
def test_another_width_is_refused_with_the_model_that_fits(tmp_path, spec, model):
    specs = [spec if spec.name == other.name else other for other in SPECS]
    store = make_store(tmp_path / "store", specs=specs)
    with pytest.raises(RunError, match=model):
        export("merr", store, tmp_path / "out", MIXED)


def test_labels_outside_the_nine_are_refused_omitted_or_named_by_action_units(tmp_path):
    clips = [
        replace(CLIPS[0], label="disgust", label_raw="jijik"),
        replace(CLIPS[1], label=None, label_raw="Doubt"),
        CLIPS[2],
    ]
    store = make_store(tmp_path / "store", clips, SPECS)
    expected = (
        r"1 clip, label: expected one of neutral, .*doubt; got clip_2_Cooking_1 \('jijik'\); --opt unlabelled=omit"
    )
    with pytest.raises(RunError, match=expected):
        export("merr", store, tmp_path / "out", MIXED)
    lines = export("merr", store, tmp_path / "out", MIXED | {"unlabelled": "omit"})
    assert lines_of(tmp_path / "out/MERR_coarse_grained.txt") == ["clip_1_Test_2 25 doubt", "clip_1_Test_1 31 happy"]
    assert "label: 1 clip left out: clip_2_Cooking_1" in lines
    assert json.loads((tmp_path / "out/missing.json").read_text())["label"] == ["clip_2_Cooking_1"]
    assert not (tmp_path / "out/HL-UTT/clip_2_Cooking_1.npy").exists()
    export("merr", store, tmp_path / "two", MIXED | {"emotion": "pseudo", "unlabelled": "omit"})
    entries = json.loads((tmp_path / "two/MERR_coarse_grained.json").read_text())
    found = [line.split(" ") for line in lines_of(tmp_path / "two/MERR_coarse_grained.txt")]
    assert found
    assert all(emotion == entries[name]["pseu_emotion"] for name, _, emotion in found)


def test_clips_that_lack_a_feature_or_a_valid_row(tmp_path):
    none = Features(np.full((1, 1024), np.nan, np.float32), np.array([[0.0, 1.0]]), np.array([False]))
    store = make_store(
        tmp_path / "store",
        specs=SPECS,
        without=[(CLIPS[0].id, "hubert")],
        replaced={(CLIPS[2].id, "videomae"): none},
    )
    with pytest.raises(RunError, match=r"1 clip has no hubert: clip_2_Cooking_1; --opt missing=omit leaves them out"):
        export("merr", store, tmp_path / "out", MIXED)
    whole = make_store(tmp_path / "whole", specs=SPECS, replaced={(CLIPS[2].id, "videomae"): none})
    with pytest.raises(RunError, match=r"clip clip_1_Test_1, feature videomae: expected a valid row, got none"):
        export("merr", whole, tmp_path / "out", MIXED)
    assert not (tmp_path / "out").exists()
    export("merr", store, tmp_path / "out", MIXED | {"missing": "omit"})
    missing = json.loads((tmp_path / "out/missing.json").read_text())
    assert (missing["hubert"], missing["videomae"]) == ([CLIPS[0].id], [CLIPS[2].id])
    assert [line.split(" ")[0] for line in lines_of(tmp_path / "out/MERR_coarse_grained.txt")] == [
        CLIPS[1].id,
        CLIPS[3].id,
    ]


def test_a_transcript_never_becomes_the_word_nan(tmp_path):
    clips = [replace(CLIPS[0], text="None"), replace(CLIPS[1], text=None), replace(CLIPS[2], text='a, "b"\nc')]
    store = make_store(tmp_path / "store", clips, SPECS)
    with pytest.raises(RunError, match=r"clip clip_1_Test_2, text: expected a transcript, got none; --opt text=omit"):
        export("merr", store, tmp_path / "out", MIXED)
    export("merr", store, tmp_path / "out", MIXED | {"text": "blank"})
    annotation = tmp_path / "out/MERR_coarse_grained.txt"
    assert [load_item(annotation, line)[2] for line in lines_of(annotation)] == ["None ", " ", 'a, "b"\nc']
    export("merr", store, tmp_path / "two", MIXED | {"text": "omit"})
    assert len(lines_of(tmp_path / "two/MERR_coarse_grained.txt")) == 2


def test_the_recipe_of_hubert_is_said(store, out, tmp_path):
    assert json.loads((out / "provenance.json").read_text())["features"]["hubert"]["recipe"] == {"recipe": "mer2023"}
    assert "HL-UTT: hubert, recipe mer2023" in export("merr", store, tmp_path / "out", MIXED)
    summed = [replace(HUBERT, recipe={"recipe": "merbench"}), *SPECS[1:]]
    lines = export("merr", make_store(tmp_path / "store", specs=summed), tmp_path / "two", MIXED)
    assert "HL-UTT: hubert, recipe merbench, unlike the published features, most likely" in lines


def test_names_that_pandas_reads_as_numbers_are_refused(tmp_path):
    clips = [replace(clip, id=f"00{i}") for i, clip in enumerate(CLIPS)]
    store = make_store(tmp_path / "store", clips, SPECS)
    with pytest.raises(RunError, match="name: expected some that are not a number, which pandas would read as one"):
        export("merr", store, tmp_path / "out", MIXED)


def test_an_export_holds_one_clip_at_a_time(tmp_path):
    clips = [Clip(f"c{i}", label="sad", text="x") for i in range(12)]
    specs = (HUBERT, MAE, VIDEOMAE, FACES)
    long = {(clip.id, spec.name): features(spec, clip.id, 500) for clip in clips for spec in (HUBERT, MAE)}
    store = make_store(tmp_path / "store", clips, specs, replaced=long)
    clip_bytes = sum(long["c0", name].values.nbytes for name in ("hubert", "mae"))
    export("merr", store, tmp_path / "warm", MIXED)
    assert peak_of(lambda: export("merr", store, tmp_path / "out", MIXED)) < 2 * clip_bytes
