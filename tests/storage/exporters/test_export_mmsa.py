"""MMSA's pickle, read as MMSA reads it."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.errors import RunError
from storage.errors import StoreError
from storage.exporters import export
from storage.exporters._shared.legacy_pickle import dump, load
from storage.exporters.mmsa.arrays import Source
from storage.exporters.mmsa.validate import split_problems, validate_pickle
from storage.manifest import write_manifest
from storage.records import Features
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from storage.timeline import align, regular_grid
from tests.exports import contents, peak_of
from tests.storage import toy

pytestmark = pytest.mark.filterwarnings("ignore:numpy.core is deprecated")

SENTIMENT = {"dimension": "sentiment"}
WORDED = {"labels": "positif:1,netral:0,negatif:-1", "label": "audio"}
# Exports by name: features of the store, and options. `sims` has labels of each modality.
EXPORTS = {
    "mosi": (("gemaps", "action_units", "words"), SENTIMENT),
    "mosi-bert": (("gemaps", "action_units", "tokens"), SENTIMENT),
    "mosi-aligned": (("gemaps", "action_units", "words"), {**SENTIMENT, "align": "words"}),
    "sims": (("gemaps", "action_units", "words"), WORDED),
    "sims-bert-aligned": (("gemaps", "action_units", "tokens"), {**WORDED, "align": "tokens"}),
}
SPLITS = {"train": ["a.1", "b1", "c1"], "valid": ["a.2", "c2"], "test": ["b2", "d1"]}
ROWS = {"gemaps": 120, "action_units": 30, "words": 5, "tokens": 6}


@pytest.fixture(scope="module")
def exports(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mmsa")
    for name, (features, options) in EXPORTS.items():
        export("mmsa", toy.make_store(folder / f"{name}-store", features), folder / name, options)
    return folder


def pickle_of(folder: Path, name: str) -> Path:
    return next((folder / name).glob("*.pkl"))


class Reenacted:
    """What MMSA 2.2.1 does with a feature file, in order, errors and all."""

    def __init__(self, args, mode):
        with Path(args["custom_feature"]).open("rb") as file:
            data = pickle.load(file)[mode]
        self.args = args
        self.text = data["text_bert" if args["use_bert"] else "text"].astype(np.float32)
        self.audio, self.vision = data["audio"].astype(np.float32), data["vision"].astype(np.float32)
        args["feature_dims"][:] = [
            768 if args["use_bert"] else self.text.shape[2],
            self.audio.shape[2],
            self.vision.shape[2],
        ]
        self.raw_text, self.ids = data["raw_text"], data["id"]
        self.labels = {"M": np.array(data["regression_labels"]).astype(np.float32)}
        if args["dataset_name"] == "sims":
            self.labels |= {m: data[f"regression_labels_{m}"].astype(np.float32) for m in "TAV"}
        if not args["need_data_aligned"]:
            self.audio_lengths, self.vision_lengths = data["audio_lengths"], data["vision_lengths"]
        self.audio[self.audio == -np.inf] = 0
        if args["need_normalized"]:
            self.audio = np.nan_to_num(self.audio.mean(axis=1, keepdims=True))
            self.vision = np.nan_to_num(self.vision.mean(axis=1, keepdims=True))

    def __len__(self):
        return len(self.labels["M"])

    def __getitem__(self, i):
        item = {"raw_text": self.raw_text[i], "id": self.ids[i], "index": i, "text": self.text[i]}
        item |= {"audio": self.audio[i], "vision": self.vision[i]}
        item["labels"] = {k: v[i].reshape(-1) for k, v in self.labels.items()}
        if not self.args["need_data_aligned"]:
            item |= {"audio_lengths": self.audio_lengths[i], "vision_lengths": self.vision_lengths[i]}
        return item


class Arguments(dict):
    __getattr__ = dict.__getitem__


@pytest.fixture(scope="module", params=["re-enacted", "MERFLOW_MMSA"])
def mmsa(request):
    """MMSA's dataset: our few lines, and its own code where its checkout is given."""
    if request.param == "re-enacted":
        return Reenacted
    if request.param not in os.environ:
        pytest.skip("MERFLOW_MMSA is not set to a checkout of MMSA: its real loader is not run")
    path = next(Path(os.environ[request.param]).rglob("data_loader.py"))
    spec = importlib.util.spec_from_file_location("mmsa_data_loader", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MMDataset


def opened(mmsa, path, mode, dataset="mosi", bert=0, normalized=0):
    paths = {"custom_feature": str(path), "featurePath": "", "feature_T": "", "feature_A": "", "feature_V": ""}
    dims = {"feature_dims": [0, 0, 0], "seq_lens": [0, 0, 0]}
    kind = {"need_data_aligned": path.name == "aligned.pkl", "need_normalized": normalized, "use_bert": bert}
    args = Arguments(paths | dims | kind | {"dataset_name": dataset})
    return mmsa(args, mode), args


@pytest.mark.parametrize(("name", "mode", "normalized"), list(itertools.product(EXPORTS, SPLITS, (0, 1))))
def test_the_loader_takes_every_split_with_and_without_bert_aligned_and_normalised(
    exports, mmsa, name, mode, normalized
):
    bert = int("bert" in name)
    path = pickle_of(exports, name)
    data, args = opened(mmsa, path, mode, name.split("-")[0], bert, normalized)
    columns = json.loads((exports / name / "columns.json").read_text())
    width, rows = (
        {key: len(c["columns"]) for key, c in columns.items()},
        {key: c["rows"] for key, c in columns.items()},
    )
    assert args["feature_dims"] == [768 if bert else width["text"], width["audio"], width["vision"]]
    assert len(data) == len(SPLITS[mode])
    for i, clip_id in enumerate(SPLITS[mode]):
        item = data[i]
        assert item["id"] == f"{clip_id[0]}$_${clip_id}"
        assert item["raw_text"].startswith("kata")
        assert tuple(item["text"].shape) == ((3, rows["text_bert"]) if bert else (rows["text"], width["text"]))
        for key in ("audio", "vision"):
            assert tuple(item[key].shape) == (1 if normalized else rows[key], width[key])
            assert np.isfinite(np.asarray(item[key])).all()
        assert {k: tuple(v.shape) for k, v in item["labels"].items()} == dict.fromkeys(
            "MTAV" if "sims" in name else "M", (1,)
        )
        assert ("audio_lengths" in item) == ("aligned" not in name)


def test_bert_without_token_ids_is_the_key_error_that_was_foretold(exports, mmsa):
    with pytest.raises(KeyError, match="text_bert"):
        opened(mmsa, pickle_of(exports, "mosi"), "train", bert=1)


def test_values_lengths_and_padding(exports):
    data = load(pickle_of(exports, "mosi"))
    assert list(data) == list(SPLITS)
    for split, ids in SPLITS.items():
        items = data[split]
        for key, name in (("audio", "gemaps"), ("vision", "action_units"), ("text", "words")):
            assert (items[key].shape[:2], items[key].dtype) == ((len(ids), ROWS[name]), np.float32)
            for clip_id, rows in zip(ids, items[key], strict=True):
                source = toy.features(name, clip_id).values
                assert rows[: len(source)].tobytes() == np.nan_to_num(source, nan=0).tobytes()
                assert not rows[len(source) :].any()
        for key, name in (("audio_lengths", "gemaps"), ("vision_lengths", "action_units")):
            assert items[key] == [len(toy.features(name, i).valid) for i in ids]
            assert {type(n) for n in items[key]} == {int}
    assert not check_problems(pickle_of(exports, "mosi"))


def check_problems(path: Path) -> list[str]:
    return list(validate_pickle(path))


def test_labels_from_a_dimension_and_from_words(exports):
    data = load(pickle_of(exports, "mosi"))["train"]
    assert data["regression_labels"].tolist() == pytest.approx([-1, -1 / 3, 1 / 3])
    assert data["classification_labels"] == [0, 0, 2]
    assert data["annotations"] == ["hap", "exc", "xxx"]
    assert not [key for key in data if key.startswith("regression_labels_")]
    worded = load(pickle_of(exports, "sims"))["train"]
    assert worded["regression_labels"].tolist() == [0, 0, 0]
    parts = {p: worded[f"regression_labels_{p}"].tolist() for p in "TAV"}
    assert parts == {"T": [1, 1, 1], "A": [0, 0, 0], "V": [-1, -1, -1]}


def test_labels_of_each_modality_from_dimensions(tmp_path):
    store = toy.make_store(tmp_path / "s", ("gemaps", "action_units"))
    lines = export("mmsa", store, tmp_path / "out", {"dimension": "arousal"})
    data = load(tmp_path / "out/unaligned.pkl")["test"]
    parts = [data[f"regression_labels_{p}"].tolist() for p in "TAV"]
    assert parts == [pytest.approx([x, x]) for x in (0.1, 0.2, 0.3)]
    for key, shape in (("text", (2, 1, 1)), ("text_bert", (2, 3, 1))):
        assert f"{key}: zeros in its place, so that MMSA can take it from another file (feature_T)" in lines
        assert (data[key].shape, data[key].any()) == (shape, False)
    assert not [line for line in lines if "sims" in line]


def test_token_ids_become_rows_of_ids_mask_and_segments(exports):
    data = load(pickle_of(exports, "mosi-bert"))
    for split, ids in SPLITS.items():
        tokens = data[split]["text_bert"]
        assert (tokens.shape, tokens.dtype) == ((len(ids), 3, ROWS["tokens"]), np.int64)
        assert tokens[:, 1].sum(axis=1).tolist() == [len(toy.features("tokens", i).valid) for i in ids]
        assert set(np.unique(tokens[:, 1])) <= {0, 1}
        assert set(tokens[:, 0, 0]) == {toy.CLS}
        assert not tokens[:, 2].any()
        assert "text" not in data[split]


def test_aligned_to_a_features_steps_and_to_a_rate(exports, tmp_path):
    data = load(pickle_of(exports, "mosi-aligned"))["train"]
    assert {data[key].shape[1] for key in ("audio", "vision", "text")} == {ROWS["words"]}
    assert not [key for key in data if key.endswith("_lengths")]
    grid = toy.features("words", "c1").times
    expected = align(toy.features("action_units", "c1"), grid).values
    assert data["vision"][2].tobytes() == np.nan_to_num(expected, nan=0).tobytes()
    store = toy.make_store(tmp_path / "s", ("gemaps", "action_units"))
    export("mmsa", store, tmp_path / "out", {**SENTIMENT, "align": "5", "method": "nearest"})
    data = load(tmp_path / "out/aligned.pkl")["train"]
    expected = align(toy.features("gemaps", "a.1"), regular_grid(0.52, 5), "nearest").values
    assert data["audio"].shape[1] == data["vision"].shape[1] == 6
    assert data["audio"][0, :3].tobytes() == expected.tobytes()


def test_mean_and_three_deviations_pad_and_cut_as_mmsa_fet_does(tmp_path):
    ids = ["c1", "d1", *(f"d{i}" for i in range(2, 14))]
    seconds = dict.fromkeys(ids, 0.4) | {"c1": 1.2}
    lengths = np.array([round(s / 0.01) for s in seconds.values()])
    expected = int(lengths.mean() + 3 * lengths.std())
    assert lengths.min() < expected < lengths.max()
    clips = [replace(toy.clips()[-1], id=i, split=("train", "val", "test")[n % 3]) for n, i in enumerate(ids)]
    store = FeatureStore.create(tmp_path / "s")
    write_manifest(store.path / "manifest.parquet", clips, root=tmp_path, corpus="toy")
    for name in ("gemaps", "action_units"):
        entries = [Entry(i, toy.features(name, "c1" if i == "c1" else "d1")) for i in ids]
        store.put(name, toy.SPECS[name], entries, {})
    lines = export("mmsa", store, tmp_path / "out", {**SENTIMENT, "length": "mean+3std"})
    data = load(tmp_path / "out/unaligned.pkl")["train"]
    assert data["audio"].shape[1] == expected
    assert data["audio_lengths"][0] == expected
    assert data["audio"][0].tobytes() == toy.features("gemaps", "c1").values[:expected].tobytes()
    assert f"audio: 1 clip cut to {expected} rows: c1" in lines


def test_what_a_person_is_told(exports, tmp_path):
    lines = export("mmsa", toy.make_store(tmp_path / "s"), tmp_path / "out", SENTIMENT)
    assert lines == [
        "train: 3 clips",
        "valid: 2 clips",
        "test: 2 clips",
        "audio: gemaps, 120 rows x 18 columns",
        "vision: action_units, 30 rows x 3 columns",
        "vision: 1 clip of zeros only: d1",
        "text: words, 5 rows x 2 columns",
        "no text_bert: MMSA's models with BERT do not open this pickle",
        "no labels of each modality: not to be opened as sims or simsv2",
    ]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "unaligned.pkl",
        "dataset.json",
        "columns.json",
        "missing.json",
        "provenance.json",
    }
    assert list(json.loads((tmp_path / "out/provenance.json").read_text())["features"]) == [
        "gemaps",
        "action_units",
        "words",
    ]


def test_splits_can_be_used_twice_or_left_out(tmp_path):
    store = toy.make_store(tmp_path / "s")
    lines = export("mmsa", store, tmp_path / "out", {**SENTIMENT, "splits": "train:train,val:valid,val:test,test:none"})
    data = load(tmp_path / "out/unaligned.pkl")
    assert data["valid"]["id"] == data["test"]["id"] == ["a$_$a.2", "c$_$c2"]
    assert lines[:2] == ["split test: 2 clips left out, as told", "split val: used more than once"]


def test_clips_that_lack_something(tmp_path):
    clips = [
        replace(c, dimensions={}) if c.id == "c2" else replace(c, text=None) if c.id == "b1" else c for c in toy.clips()
    ]
    store = toy.make_store(tmp_path / "s", of_clips=clips, without={("a.1", "gemaps")})
    with pytest.raises(RunError, match=r"1 clip has no gemaps: a.1; --opt missing=omit leaves them out of the pickle"):
        export("mmsa", store, tmp_path / "out", SENTIMENT)
    assert not (tmp_path / "out").exists()
    with pytest.raises(RunError, match=r"1 clip, label: expected sentiment; got c2 .*--opt unlabelled=omit"):
        export("mmsa", store, tmp_path / "out", {**SENTIMENT, "missing": "omit"})
    with pytest.raises(RunError, match="option unlabelled: expected error, omit or a number, got 'sad'"):
        export("mmsa", store, tmp_path / "out", {**SENTIMENT, "missing": "omit", "unlabelled": "sad"})
    export("mmsa", store, tmp_path / "zero", {**SENTIMENT, "missing": "omit", "unlabelled": "val:0.5"})
    assert load(tmp_path / "zero/unaligned.pkl")["valid"]["regression_labels"].tolist()[-1] == 0.5
    lines = export("mmsa", store, tmp_path / "out", {**SENTIMENT, "missing": "omit", "unlabelled": "omit"})
    missing = json.loads((tmp_path / "out/missing.json").read_text())
    assert missing == {"gemaps": ["a.1"], "action_units": [], "words": [], "label": ["c2"]}
    assert [len(s["id"]) for s in load(tmp_path / "out/unaligned.pkl").values()] == [2, 1, 2]
    assert lines[-2:] == ["gemaps: 1 clip has none, left out: a.1", "label: 1 clip has none, left out: c2"]
    assert "raw_text: 1 clip has none, left empty: b1" in lines


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {},
            r"no label to learn: --opt dimension=NAME \(the clips have arousal, arousal_A, arousal_T, arousal_V, sent",
        ),
        ({**SENTIMENT, "labels": "a:1"}, "options dimension and labels: expected one of them, got both"),
        ({"labels": "sad"}, "option labels: expected pairs such as a:b,c:d, got 'sad'"),
        ({"labels": "sad:low"}, "option labels: expected word:number pairs"),
        ({"labels": "sad:nan"}, "option labels: expected finite numbers"),
        ({"labels": "sad:-1"}, r"clip a.1, label raw: expected one of --opt labels \(sad\), got 'hap'"),
        (
            {**SENTIMENT, "align": "fast"},
            r"option align: expected none, steps per second, or a feature \(action_units.*'fast'",
        ),
        ({**SENTIMENT, "align": "-1"}, "option align"),
        ({**SENTIMENT, "method": "best"}, "option method: expected overlap, mean, nearest or linear, got 'best'"),
        ({**SENTIMENT, "length": "40"}, r"option length: expected max or mean\+3std, got '40'"),
        ({**SENTIMENT, "audio_feature": "x"}, "no feature 'x'.*audio_feature=NAME"),
        ({**SENTIMENT, "splits": "train:train"}, "split 'val': train, valid or test"),
        (
            {**SENTIMENT, "splits": "dev:valid"},
            "option splits: expected one of train, val, test to one of train, valid",
        ),
        ({**SENTIMENT, "splits": "train:train,val:train,test:test"}, "split valid: expected clips, got none"),
    ],
)
def test_refusals_name_what_to_do(exports, tmp_path, options, message):
    with pytest.raises(RunError, match=message) as error:
        export("mmsa", FeatureStore(exports / "mosi-store"), tmp_path / "out", options)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_vectors_and_token_ids_go_together_and_two_of_a_kind_need_a_choice(tmp_path):
    store = toy.make_store(tmp_path / "s", ("gemaps", "action_units", "words", "tokens"))
    export("mmsa", store, tmp_path / "both", SENTIMENT)
    both = load(tmp_path / "both/unaligned.pkl")["train"]
    assert (both["text"].dtype, both["text_bert"].dtype) == (np.float32, np.int64)
    export("mmsa", store, tmp_path / "named", {**SENTIMENT, "text_feature": "tokens,words"})
    np.testing.assert_array_equal(load(tmp_path / "named/unaligned.pkl")["train"]["text"], both["text"])
    export("mmsa", store, tmp_path / "none", {**SENTIMENT, "text_feature": "none"})
    assert not load(tmp_path / "none/unaligned.pkl")["train"]["text"].any()
    entries = [Entry(clip.id, toy.features("words", clip.id)) for clip in store.clips()]
    store.put("more", replace(toy.SPECS["words"], name="more"), entries, {})
    with pytest.raises(RunError, match=r"more and words are both vectors; choose with --opt text_feature=NAME"):
        export("mmsa", FeatureStore(store.path), tmp_path / "out", SENTIMENT)


def good(split="train"):
    array = np.ones((2, 4, 3), np.float32)
    array[0, 3:] = 0
    return {
        "id": ["v$_$1", "v$_$2"],
        "raw_text": ["x", "y"],
        "audio": array.copy(),
        "vision": array.copy(),
        "text_bert": np.ones((2, 3, 5), np.int64),
        "regression_labels": np.zeros(2, np.float32),
        "audio_lengths": [3, 4],
        "vision_lengths": [3, 4],
    }


def without(key):
    return {k: v for k, v in good().items() if k != key}


def changed(key, place, value):
    array = good()[key]
    array[place] = value
    return {key: array}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": [np.ones((4, 3))] * 2}, "split train, audio: expected an array, got list"),
        ({"vision": np.ones((2, 4), np.float32)}, r"split train, vision: expected shape \(0, any, any\), got \(0, 4\)"),
        ({"audio": good()["audio"].astype(np.float64)}, "split train, audio: expected float32, got float64"),
        ({"audio": np.ones((3, 4, 3), np.float32)}, "split train, audio: expected 2 clips, got 3"),
        (
            changed("audio", (1, 2, 0), np.nan),
            r"split train, audio, clip v\$_\$2: expected finite numbers, got 1 .* nan",
        ),
        (changed("vision", (1, 2, 0), -np.inf), r"vision, clip v\$_\$2: expected finite numbers, got 1 .* -inf"),
        (changed("audio", (0, 3, 0), 1), r"audio, clip v\$_\$1: expected zeros after its 3 rows, got others"),
        ({"text_bert": np.ones((2, 5, 3), np.int64)}, r"text_bert: expected shape \(0, 3, any\), got \(0, 5, 3\)"),
        (changed("text_bert", (1, 1, 0), 7), r"text_bert, clip v\$_\$2: expected a mask of 0 and 1 in row 1, got 7"),
        ({"audio_lengths": [3.0, 4]}, r"audio_lengths, clip v\$_\$1: expected a whole number of 1 or more, got 3.0"),
        ({"audio_lengths": [np.int64(3), 4]}, r"audio_lengths, clip v\$_\$1: .* got np.int64\(3\)"),
        ({"vision_lengths": [3, 0]}, r"vision_lengths, clip v\$_\$2: expected a whole number of 1 or more, got 0"),
        ({"audio_lengths": [3, 5]}, r"audio, clip v\$_\$2: expected no more than 4 rows, got a length of 5"),
        ({"audio_lengths": [3]}, "audio_lengths: expected 2 entries, got 1"),
        ({"regression_labels": [0, 1]}, r"regression_labels: expected an array of 2 numbers, got list of \(2,\)"),
        ({"regression_labels_T": [0, 1]}, "regression_labels_T: expected an array of 2 numbers, got list"),
        (
            {"regression_labels": np.array([0, np.nan], np.float32)},
            r"labels, clip v\$_\$2: expected a finite number, got nan",
        ),
        ({"raw_text": ["x", None]}, r"raw_text, clip v\$_\$2: expected a text, got None"),
        ({"id": ["v$_$1", "v$_$1"]}, r"clip v\$_\$1, id: expected video\$_\$clip, each once, got 'v\$_\$1'"),
        ({"id": ["v1", "v$_$2"]}, r"clip v1, id: expected video\$_\$clip, each once, got 'v1'"),
    ],
)
def test_the_validator_names_clip_field_expected_and_got(tmp_path, change, message):
    assert not list(split_problems("train", good()))
    with (tmp_path / "unaligned.pkl").open("wb") as file:
        dump({"train": good() | change, "valid": good(), "test": good()}, file)
    lines = check_problems(tmp_path / "unaligned.pkl")
    assert lines
    with pytest.raises(StoreError, match=message):
        raise StoreError(lines[0])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("aligned.pkl", [1], "expected splits train, valid, test, got list"),
        ("aligned.pkl", {"train": {}, "val": {}, "test": {}}, r"got \['train', 'val', 'test'\]"),
        ("aligned.pkl", dict.fromkeys(SPLITS, without("vision")), "split train, vision: expected, got none"),
        (
            "unaligned.pkl",
            dict.fromkeys(SPLITS, without("audio_lengths")),
            "split train, audio_lengths: expected, got none",
        ),
    ],
)
def test_the_validator_names_what_is_not_there(tmp_path, name, data, message):
    with (tmp_path / name).open("wb") as file:
        dump(data, file)
    with pytest.raises(StoreError, match=message):
        raise StoreError(check_problems(tmp_path / name)[0])


def test_nothing_is_left_of_an_export_that_the_validator_refuses(tmp_path, monkeypatch):
    store = toy.make_store(tmp_path / "s")
    monkeypatch.setattr(
        Source, "array", lambda self, key, clips, length: np.full((len(clips), length, 2), np.nan, "f4")
    )
    message = (
        r"format mmsa: split train, audio, clip a\$_\$a.1: expected finite numbers, got 240 .* \(and 2 more problems\)"
    )
    with pytest.raises(StoreError, match=message):
        export("mmsa", store, tmp_path / "out", SENTIMENT)
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_numpy_1_24_reads_it(exports, numpy124):
    script = """
import pickle
with open(sys.argv[1], "rb") as file:
    data = pickle.load(file)
for split, items in data.items():
    audio = items["audio"]
    print(split, items["id"], audio.shape, audio.dtype, float(audio.sum()), items["text_bert"].sum())
"""
    printed = numpy124(script, pickle_of(exports, "mosi-bert")).splitlines()
    data = load(pickle_of(exports, "mosi-bert"))
    assert len(printed) == 3
    for line, (split, items) in zip(printed, data.items(), strict=True):
        total, tokens = float(items["audio"].sum()), items["text_bert"].sum()
        assert line == f"{split} {items['id']} {items['audio'].shape} float32 {total} {tokens}"


def test_the_order_in_which_shards_finished_changes_no_byte(tmp_path):
    orders = [[range(7)], [[6, 2], [0, 1, 5], [4, 3]]]
    for i, shards in enumerate(orders):
        export("mmsa", toy.make_store(tmp_path / f"{i}/s", shards=shards), tmp_path / f"{i}/out", SENTIMENT)
    assert contents(tmp_path / "0/out") == contents(tmp_path / "1/out")


def test_no_more_than_twice_a_split_is_in_memory(tmp_path):
    clips = [replace(toy.clips()[0], id=f"c{i}", split=("train", "val", "test")[i % 3]) for i in range(48)]
    store = FeatureStore.create(tmp_path / "s")
    write_manifest(store.path / "manifest.parquet", clips, root=tmp_path, corpus="toy")
    for name in ("gemaps", "action_units"):
        spec = replace(toy.SPECS[name], columns=tuple(f"c{i}" for i in range(256)))
        times = np.stack([np.arange(250), np.arange(1, 251)], axis=1) / 25
        values = np.ones((250, 256), np.float32)
        store.put(name, spec, [Entry(c.id, Features(values, times, np.ones(250, bool))) for c in clips], {})
    export("mmsa", store, tmp_path / "warm", SENTIMENT)
    peak = peak_of(lambda: export("mmsa", store, tmp_path / "out", SENTIMENT))
    split = 2 * 16 * 250 * 256 * 4
    assert (tmp_path / "out/unaligned.pkl").stat().st_size > 3 * split
    assert peak < 2 * split
