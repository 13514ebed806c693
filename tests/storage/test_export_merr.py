"""The tree that Emotion-LLaMA loads: its loader re-enacted, its labels and frame counts, and what is refused."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from extractors.core.clip_reader import ClipReader
from extractors.core.media import Media
from storage.au_rules import clip_emotion, frequent_aus, peak_aus, peak_frame
from storage.errors import ClipError, RunError
from storage.exporters import export
from storage.exporters.merr import check
from storage.records import Clip, Features
from tests.exports import (
    ACTION_UNITS,
    CLIPS,
    FACES,
    HUBERT,
    MAE,
    PICTURES,
    VIDEOMAE,
    contents,
    features,
    load_consumer,
    make_store,
    wide,
)
from tests.media import write_clip

SPECS = (HUBERT, MAE, VIDEOMAE, ACTION_UNITS, FACES)
SLOTS = {"mae_340_UTT": MAE, "maeV_399_UTT": VIDEOMAE, "HL-UTT": HUBERT}
WORDS = ["neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "contempt", "doubt"]
EMOTIONS = {word: i for i, word in enumerate(WORDS)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("merr") / "store", specs=SPECS)


@pytest.fixture(scope="module")
def out(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("merr") / "out"
    export("merr", store, path, {})
    return path


def load_item(annotation: Path, line: str) -> tuple[torch.Tensor, int, str]:
    """What Emotion-LLaMA's loader makes of one line: the stack, the emotion's number, the sentence."""
    fields = line.split(" ")
    parts = []
    for folder in ("mae_340_UTT", "maeV_399_UTT", "HL-UTT"):
        part = torch.tensor(np.load(annotation.parent / folder / f"{fields[0]}.npy"))
        parts.append(part.unsqueeze(0) if part.dim() == 1 else part)
    table = pd.read_csv(annotation.parent / "transcription_en_all.csv")
    sentence = table.loc[table["name"] == fields[0]]["sentence"].values[0]
    return torch.cat(parts, dim=0), EMOTIONS[fields[2]], sentence


def lines_of(annotation: Path) -> list[str]:
    return [line.strip() for line in annotation.read_text(encoding="utf-8").splitlines()]


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
    export("merr", store, tmp_path / "out", {})
    assert set(np.load(tmp_path / f"out/mae_340_UTT/{CLIPS[0].id}.npy").tolist()) == {3.0}
    given = store.get(CLIPS[0].id, "videomae").values[0]
    assert np.load(tmp_path / f"out/maeV_399_UTT/{CLIPS[0].id}.npy").tobytes() == given.tobytes()


def test_the_loader_s_order_is_mae_videomae_hubert(tmp_path):
    def constant(value: float) -> Features:
        return Features(np.full((1, 1024), value, np.float32), np.array([[0.0, 1.0]]), np.array([True]))

    by_slot = {(CLIPS[0].id, name): constant(value) for name, value in (("mae", 1), ("videomae", 2), ("hubert", 3))}
    store = make_store(tmp_path / "store", CLIPS[:1], SPECS, replaced=by_slot)
    export("merr", store, tmp_path / "out", {})
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
    export("merr", store, tmp_path / "out", {"rule": rule})
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
        assert 0 <= int(entry["peak_index"]) < PICTURES[clip.id]


def test_a_clip_without_a_face_keeps_its_place_without_action_units(tmp_path):
    rows = PICTURES[CLIPS[0].id]
    seen = features(ACTION_UNITS, CLIPS[0].id, rows)
    none = Features(np.full_like(seen.values, np.nan), seen.times, np.zeros(rows, np.bool_))
    store = make_store(tmp_path / "store", specs=SPECS, replaced={(CLIPS[0].id, "action_units"): none})
    lines = export("merr", store, tmp_path / "out", {})
    assert json.loads((tmp_path / "out/MERR_coarse_grained.json").read_text())[CLIPS[0].id] == {"text": CLIPS[0].text}
    assert "MERR_coarse_grained.json, peak_index: 1 clips have none: clip_2_Cooking_1" in lines
    missing = json.loads((tmp_path / "out/missing.json").read_text())
    assert missing["peak_index"] == missing["pseu_emotion"][:1] == [CLIPS[0].id]
    assert len(lines_of(tmp_path / "out/MERR_coarse_grained.txt")) == 4
    with pytest.raises(
        RunError, match=r"clip clip_2_Cooking_1, emotion: expected one of neutral, .*; got none by rule"
    ):
        export("merr", store, tmp_path / "two", {"emotion": "pseudo"})


def test_without_action_units_pictures_are_counted_by_the_faces(tmp_path):
    store = make_store(tmp_path / "store", specs=(HUBERT, MAE, VIDEOMAE, FACES))
    lines = export("merr", store, tmp_path / "out", {})
    assert lines_of(tmp_path / "out/MERR_coarse_grained.txt")[1] == "clip_1_Test_2 25 neutral"
    assert "MERR_coarse_grained.json: no action units, so only text" in lines
    entries = json.loads((tmp_path / "out/MERR_coarse_grained.json").read_text())
    assert entries["clip_1_Test_2"] == {"text": "Tidak?"}
    store = make_store(tmp_path / "other", specs=(HUBERT, MAE, VIDEOMAE))
    with pytest.raises(RunError, match=r"no feature with a row per picture.*extract faces.*frames_feature=NAME"):
        export("merr", store, tmp_path / "two", {})
    with pytest.raises(RunError, match="no action units, which emotion=pseudo and images=peak need"):
        export("merr", store, tmp_path / "two", {"emotion": "pseudo", "frames_feature": "mae"})
    export("merr", store, tmp_path / "two", {"frames_feature": "mae"})


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
        export("merr", store, tmp_path / "out", {})


def test_labels_outside_the_nine_are_refused_omitted_or_named_by_action_units(tmp_path):
    clips = [
        replace(CLIPS[0], label="disgust", label_raw="jijik"),
        replace(CLIPS[1], label=None, label_raw="Doubt"),
        CLIPS[2],
    ]
    store = make_store(tmp_path / "store", clips, SPECS)
    expected = r"1 clips, label: expected one of neutral, .*doubt; got clip_2_Cooking_1 \('jijik'\); --opt labels=omit"
    with pytest.raises(RunError, match=expected):
        export("merr", store, tmp_path / "out", {})
    lines = export("merr", store, tmp_path / "out", {"labels": "omit"})
    assert lines_of(tmp_path / "out/MERR_coarse_grained.txt") == ["clip_1_Test_2 25 doubt", "clip_1_Test_1 31 happy"]
    assert "label: 1 clips left out: clip_2_Cooking_1" in lines
    assert json.loads((tmp_path / "out/missing.json").read_text())["label"] == ["clip_2_Cooking_1"]
    assert not (tmp_path / "out/HL-UTT/clip_2_Cooking_1.npy").exists()
    export("merr", store, tmp_path / "two", {"emotion": "pseudo", "labels": "omit"})
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
    with pytest.raises(RunError, match=r"1 clips have no hubert: clip_2_Cooking_1; --opt missing=omit leaves them out"):
        export("merr", store, tmp_path / "out", {})
    whole = make_store(tmp_path / "whole", specs=SPECS, replaced={(CLIPS[2].id, "videomae"): none})
    with pytest.raises(RunError, match=r"clip clip_1_Test_1, feature videomae: expected a valid row, got none"):
        export("merr", whole, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
    export("merr", store, tmp_path / "out", {"missing": "omit"})
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
        export("merr", store, tmp_path / "out", {})
    export("merr", store, tmp_path / "out", {"text": "blank"})
    annotation = tmp_path / "out/MERR_coarse_grained.txt"
    assert [load_item(annotation, line)[2] for line in lines_of(annotation)] == ["None ", " ", 'a, "b"\nc']
    export("merr", store, tmp_path / "two", {"text": "omit"})
    assert len(lines_of(tmp_path / "two/MERR_coarse_grained.txt")) == 2


def test_the_recipe_of_hubert_is_said(store, out, tmp_path):
    assert json.loads((out / "provenance.json").read_text())["features"]["hubert"]["recipe"] == {"recipe": "mer2023"}
    assert "HL-UTT: hubert, recipe mer2023" in export("merr", store, tmp_path / "out", {})


# Pictures for EVA


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """A store whose clips have media: every picture of a video has a brightness of its own."""
    root = tmp_path_factory.mktemp("filmed")
    (root / "store/media").mkdir(parents=True)
    clips = []
    for clip in CLIPS[:2]:
        n = PICTURES[clip.id]
        pictures = [np.full((48, 64, 3), 40 + 4 * i, np.uint8) for i in range(n + 5)]
        write_clip(root / "store/media" / f"{clip.id}.mp4", pictures=pictures, seconds=(n + 5) / 25)
        clips.append(replace(clip, start=0.2, crop=(0.0, 0.0, 0.5, 1.0)))
    (root / "store/media").rename(root / "media")
    store = make_store(root / "store", clips, SPECS)
    (root / "media").rename(root / "store/media")
    return store


def test_pictures_are_those_that_the_extractors_counted(filmed, tmp_path):
    lines = export("merr", filmed, tmp_path / "out", {"images": "first,middle,peak"}, ClipReader())
    assert [line for line in lines if "images" in line] == [
        f"images/{w}: 2 of 2 clips" for w in ("first", "middle", "peak")
    ]
    entries = json.loads((tmp_path / "out/MERR_coarse_grained.json").read_text())
    for clip in filmed.clips():
        media = Media(clip, filmed.manifest.root, audio=False)
        media.decode()
        frames = [frame.rgb() for frame in media.frames()]
        assert len(frames) == PICTURES[clip.id]
        assert abs(int(frames[0].mean()) - 60) < 4  # the sixth picture of the file is the clip's first
        places = {"first": 0, "middle": (len(frames) - 1) // 2, "peak": int(entries[clip.id]["peak_index"])}
        for which, at in places.items():
            with Image.open(tmp_path / f"out/images/{which}/{clip.id}.png") as picture:
                assert picture.size == (32, 48)
                assert np.asarray(picture).tobytes() == frames[at].tobytes()


def test_pictures_need_media_and_somebody_to_read_them(filmed, store, tmp_path):
    with pytest.raises(RunError, match="option images: needs the clips' media"):
        export("merr", filmed, tmp_path / "out", {"images": "first"})
    with pytest.raises(
        RunError, match=r"clip clip_2_Cooking_1, pictures: expected media that can be read, got .*no such file"
    ):
        export("merr", store, tmp_path / "out", {"images": "first"}, ClipReader())
    with pytest.raises(RunError, match=r"option images: expected none or some of first, middle, peak, got 'last'"):
        export("merr", filmed, tmp_path / "out", {"images": "first,last"}, ClipReader())

    class Short:
        def pictures(self, clip: Clip, root: Path):
            yield np.zeros((4, 4, 3), np.uint8)

    with pytest.raises(
        RunError, match="clip clip_2_Cooking_1, pictures: expected picture 4 and those before, got fewer"
    ):
        export("merr", filmed, tmp_path / "out", {"images": "middle"}, Short())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_reader_refuses_what_has_no_pictures(tmp_path):
    write_clip(tmp_path / "a.wav", video=False)
    for clip, reason in (
        (Clip("a"), "no_video"),
        (Clip("a", video="a.wav"), "no_video"),
        (Clip("a", video="b"), "missing_file"),
    ):
        with pytest.raises(ClipError) as error:
            next(ClipReader().pictures(clip, tmp_path))
        assert error.value.reason == reason


# The validator


def _npy(change: Callable[[np.ndarray], np.ndarray], slot: str = "HL-UTT"):
    def damage(out: Path) -> None:
        path = out / slot / "clip_1_Test_2.npy"
        np.save(path, change(np.load(path)))

    return damage


def _text(name: str, old: str, new: str):
    def damage(out: Path) -> None:
        text = (out / name).read_text(encoding="utf-8")
        assert old in text
        (out / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return damage


def _entry(**changed: object):
    def damage(out: Path) -> None:
        entries = json.loads((out / "MERR_coarse_grained.json").read_text())
        entries["clip_1_Test_2"].update(changed)
        (out / "MERR_coarse_grained.json").write_text(json.dumps(entries))

    return damage


def _nan(array: np.ndarray) -> np.ndarray:
    array[3] = np.nan
    return array


TXT, JSON, CSV = "MERR_coarse_grained.txt", "MERR_coarse_grained.json", "transcription_en_all.csv"
HL = "clip clip_1_Test_2, HL-UTT"
LINE = f"{TXT}, line 2"
FAULTS = {
    "wrong width": (_npy(lambda a: a[:768]), f"{HL}: expected shape (1024), got (768,)"),
    "2-D": (_npy(lambda a: np.tile(a, (5, 1))), f"{HL}: expected shape (1024), got (5, 1024)"),
    "float64": (_npy(lambda a: a.astype(float)), f"{HL}: expected float32, got float64"),
    "NaN": (_npy(_nan), f"{HL}: expected finite numbers, got 1 that are not, first nan"),
    "missing file": (
        lambda out: (out / "mae_340_UTT/clip_1_Test_2.npy").unlink(),
        "clip clip_1_Test_2, mae_340_UTT: expected mae_340_UTT/clip_1_Test_2.npy, got no file",
    ),
    "not an array": (
        lambda out: (out / "HL-UTT/clip_1_Test_2.npy").write_bytes(b"x"),
        f"{HL}: expected an array in clip_1_Test_2.npy, got what cannot be read",
    ),
    "unknown label": (
        _text(TXT, "neutral", "disgust"),
        f"{LINE}, clip clip_1_Test_2, emotion: expected one of neutral",
    ),
    "frame count": (
        _text(TXT, " 25 ", " 0 "),
        f"{LINE}, clip clip_1_Test_2, number of pictures: expected a whole number",
    ),
    "two spaces": (_text(TXT, " 25 ", "  25 "), f"{LINE}: expected a name, a number of pictures and an emotion"),
    "tabs": (_text(TXT, " 25 neutral", "\t25\tneutral"), f"{LINE}: expected a name, a number of pictures"),
    "blank line": (_text(TXT, "sad\n", "sad\n\n"), f"{LINE}: expected a name, a number of pictures"),
    "two annotations": (lambda out: (out / "x.txt").write_text(""), "annotation: expected one .txt, got 2"),
    "no fine JSON": (lambda out: (out / "MERR_fine_grained.json").unlink(), "MERR_fine_grained.json: expected a file"),
    "no entry": (_text(JSON, '"clip_1_Test_2"', '"x"'), f"{JSON}, clip clip_1_Test_2: expected an entry, got none"),
    "number": (_entry(peak_index=3), f"{JSON}, clip clip_1_Test_2, peak_index: expected text of a whole number below"),
    "late peak": (_entry(peak_index="25"), f"{JSON}, clip clip_1_Test_2, peak_index: expected text of a whole number"),
    "AU code": (_entry(AU_list=["AU5"]), f"{JSON}, clip clip_1_Test_2, AU_list: expected a list of action units"),
    "emotion": (_entry(pseu_emotion="disgust"), f"{JSON}, clip clip_1_Test_2, pseu_emotion: expected one of neutral"),
    "text": (_entry(text=None), f"{JSON}, clip clip_1_Test_2, text: expected text, got None"),
    "key": (_entry(peak=1), f"{JSON}, clip clip_1_Test_2: expected keys of AU_list, peak_index,"),
    "columns": (_text(CSV, "sentence", "text"), f"{CSV}: expected the columns name,sentence, got name,text"),
    "no row": (_text(CSV, "clip_1_Test_2", "x"), f"{CSV}, clip clip_1_Test_2: expected a sentence, got no row"),
    "nan": (_text(CSV, "Tidak?", "NULL"), f"{CSV}, clip clip_1_Test_2, sentence: expected text, got 'NULL'"),
    "no csv": (lambda out: (out / CSV).unlink(), f"{CSV}: expected a file, got none"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_validator_names_clip_field_expected_and_got(out, tmp_path, fault):
    damage, message = FAULTS[fault]
    for name, data in contents(out).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert list(check(tmp_path)) == []
    damage(tmp_path)
    problems = list(check(tmp_path))
    assert [p for p in problems if message in p], problems


def test_names_that_pandas_reads_as_numbers_are_refused(tmp_path):
    clips = [replace(clip, id=f"00{i}") for i, clip in enumerate(CLIPS)]
    store = make_store(tmp_path / "store", clips, SPECS)
    with pytest.raises(RunError, match="name: expected some that are not a number, which pandas would read as one"):
        export("merr", store, tmp_path / "out", {})


def test_an_export_holds_one_clip_at_a_time(tmp_path):
    clips = [Clip(f"c{i}", label="sad", text="x") for i in range(12)]
    specs = (HUBERT, MAE, VIDEOMAE, FACES)
    long = {(clip.id, spec.name): features(spec, clip.id, 500) for clip in clips for spec in (HUBERT, MAE)}
    store = make_store(tmp_path / "store", clips, specs, replaced=long)
    clip_bytes = sum(long["c0", name].values.nbytes for name in ("hubert", "mae"))
    export("merr", store, tmp_path / "warm", {})
    tracemalloc.start()
    try:
        export("merr", store, tmp_path / "out", {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * clip_bytes


# The consumer's own code, where a checkout of it is at hand


@pytest.mark.skipif("MERFLOW_EMOTION_LLAMA" not in os.environ, reason="MERFLOW_EMOTION_LLAMA names no checkout")
def test_emotion_llama_s_own_loader_takes_the_export(out, monkeypatch):
    drawing = (
        "skimage",
        "skimage.io",
        "matplotlib",
        "matplotlib.pyplot",
        "matplotlib.collections",
        "matplotlib.patches",
    )
    base = ("minigpt4", "minigpt4.datasets", "minigpt4.datasets.datasets", "minigpt4.datasets.datasets.base_dataset")
    source = Path(os.environ["MERFLOW_EMOTION_LLAMA"]) / "minigpt4/datasets/datasets/first_face.py"
    module = load_consumer(source, [*drawing, *base, "webdataset", "cv2"], monkeypatch)
    # Its three absolute paths are literals in the class: files of that name in the export stand in for them.
    monkeypatch.setattr(module, "open", lambda path, *_: StringIO((out / Path(path).name).read_text()), raising=False)
    read_csv = pd.read_csv
    monkeypatch.setattr(module.pd, "read_csv", lambda path: read_csv(Path(out, Path(path).name)))
    monkeypatch.setattr(module.FeatureFaceDataset, "extract_frame", lambda self, path: np.zeros((4, 4, 3), np.uint8))
    annotation = out / "MERR_coarse_grained.txt"
    items = module.FeatureFaceDataset(lambda image: image, str, "videos", str(annotation))
    assert len(items) == len(CLIPS)
    for i, line in enumerate(lines_of(annotation)):
        stack, emotion, sentence = load_item(annotation, line)
        assert torch.equal(items[i]["video_features"], stack)
        assert (items[i]["emotion"], items[i]["answer"]) == (emotion, line.split(" ")[2])
        assert f"The person in video says: {sentence}. " in items[i]["instruction_input"]
