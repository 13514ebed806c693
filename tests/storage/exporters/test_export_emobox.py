"""EmoBox's folds and features, taken in as EmoBox's own preparation does it."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.errors import RunError
from storage.clip import Clip
from storage.exporters import export
from storage.exporters.emobox.folds import equal_parts
from storage.exporters.emobox.lists import record_of
from storage.exporters.emobox.validate import validate_folder
from storage.store.store import FeatureStore
from tests.exports import contents
from tests.storage import toy

SPLITS = ("train", "valid", "test")
KEYS = ["key", "dataset", "wav", "type", "sample_rate", "num_frame", "task", "length", "emo", "channel"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An export by group, with four folds, that every test reads and none changes."""
    base = tmp_path_factory.mktemp("emobox")
    export("emobox", toy.make_store(base / "store"), base / "out", {"by": "group", "folds": "4"})
    return base / "out"


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def fold(folder: Path, k: int, dataset: str = "toy") -> dict[str, list[str]]:
    """Clip ids of each split of one fold."""
    root = folder / f"data/{dataset}/fold_{k}"
    paths = {split: root / f"{dataset}_{split}_fold_{k}.jsonl" for split in SPLITS}
    return {split: [line["key"].removeprefix(f"{dataset}-") for line in lines(path)] for split, path in paths.items()}


def reenacted(annotations, outputs, label_map, feat_dir):
    """EmoBox's `prepare_data`: keep what has an npy, map the labels; a missing valid file means an empty one."""
    names = json.loads(Path(label_map).read_text())
    for annotation, output in zip(annotations, outputs, strict=True):
        data = json.loads(Path(annotation).read_text()) if Path(annotation).exists() else {}
        kept = {key: clip for key, clip in data.items() if (Path(feat_dir) / f"{key}.npy").exists()}
        for clip in kept.values():
            clip["emo"] = names[clip["emo"]]
        Path(output).write_text(json.dumps(kept))


@pytest.fixture(params=["re-enacted", "MERFLOW_EMOBOX"])
def prepare(request, monkeypatch):
    """EmoBox's preparation: our few lines, and its own code where its checkout is given."""
    if request.param == "re-enacted":
        return reenacted
    if request.param not in os.environ:
        pytest.skip("MERFLOW_EMOBOX is not set to a checkout of EmoBox: its real code is not run")
    for name in ("speechbrain", "speechbrain.dataio", "speechbrain.dataio.dataio"):
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(read_audio=None))
    path = Path(os.environ[request.param]) / "examples/sb/dataset_prepare.py"
    spec = importlib.util.spec_from_file_location("emobox_dataset_prepare", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(annotations, outputs, label_map, feat_dir):
        module.prepare_data(*map(str, annotations), *map(str, outputs), label_map=label_map, feat_dir=str(feat_dir))

    return run


# EmoBox's own code leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_emobox_prepares_every_fold_and_drops_nothing(folder, prepare, tmp_path, k):
    root = folder / "data/toy"
    annotations = [root / f"fold_{k}/toy_{split}_fold_{k}.json" for split in SPLITS]
    outputs = [tmp_path / f"{split}.json" for split in SPLITS]
    prepare(annotations, outputs, root / "label_map.json", folder / "features/gemaps")
    found = {split: json.loads(path.read_text()) for split, path in zip(SPLITS, outputs, strict=True)}
    assert {s: [key.removeprefix("toy-") for key in f] for s, f in found.items()} == fold(folder, k)
    labels = {key: clip["emo"] for clips in found.values() for key, clip in clips.items()}
    assert labels == {f"toy-{i}": {"a.1": "Happy", "b1": "Happy", "c1": "xxx"}.get(i, "Sad") for i in toy.SECONDS}


def test_folds_leak_nothing_and_test_every_clip_once(folder):
    folds = [fold(folder, k) for k in (1, 2, 3, 4)]
    for splits in folds:
        groups = {split: {clip_id[0] for clip_id in ids} for split, ids in splits.items()}
        assert all(groups.values())
        assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 4
        assert sorted(i for ids in splits.values() for i in ids) == sorted(toy.SECONDS)
    assert sorted(i for splits in folds for i in splits["test"]) == sorted(toy.SECONDS)
    assert [splits["valid"] for splits in folds] == [splits["test"] for splits in folds[1:] + folds[:1]]


def test_lists_agree_and_have_emoboxs_keys(folder):
    root = folder / "data/toy"
    found = lines(root / "toy.jsonl")
    assert [list(line) for line in found] == [KEYS] * 7
    assert found[0] == {
        "key": "toy-a.1",
        "dataset": "toy",
        "wav": "downloads/toy/video/a.1.mp4",
        "type": "raw",
        "sample_rate": 16000,
        "num_frame": 8000.0,
        "task": "category",
        "length": 0.5,
        "emo": "hap",
        "channel": 1,
    }
    for path in root.rglob("*.jsonl"):
        whole = json.loads(path.with_suffix(".json").read_text())
        assert path.with_suffix(".json").read_text() == json.dumps(whole, indent=4)
        expected = {c["key"]: {k: c[k] for k in ("wav", "length", "emo", "dataset", "channel")} for c in lines(path)}
        assert list(whole.items()) == list(expected.items())
    assert json.loads((root / "label_map.json").read_text()) == {
        "hap": "Happy",
        "sad": "Sad",
        "exc": "Happy",
        "xxx": "xxx",
    }
    assert not list(validate_folder(folder))


def test_features_are_float32_with_zeros_where_not_valid(folder):
    for name in ("gemaps", "action_units", "words", "voice"):
        assert {p.name for p in (folder / "features" / name).iterdir()} == {f"toy-{i}.npy" for i in toy.SECONDS}
        for clip_id in toy.SECONDS:
            value = np.load(folder / f"features/{name}/toy-{clip_id}.npy")
            assert value.dtype == np.float32
            assert value.tobytes() == np.nan_to_num(toy.features(name, clip_id).values, nan=0).tobytes()


def test_one_fold_of_the_corpus_own_splits(tmp_path):
    told = export("emobox", toy.make_store(tmp_path / "s", ("gemaps",)), tmp_path / "out", {"dataset": "moods"})
    assert told == ["moods: 7 clips", "fold 1: 2 test, 3 train, 2 valid"]
    assert fold(tmp_path / "out", 1, "moods") == {
        "train": ["a.1", "b1", "c1"],
        "valid": ["a.2", "c2"],
        "test": ["b2", "d1"],
    }


def test_a_fifth_of_train_is_held_out_by_group_where_there_is_no_valid(tmp_path):
    store = toy.make_store(
        tmp_path / "s", ("gemaps",), [replace(c, split="test" if c.id == "d1" else "train") for c in toy.clips()]
    )
    told = export("emobox", store, tmp_path / "out", {})
    assert told[0] == "valid: none in the corpus; 2 of 6 clips of train held out"
    assert fold(tmp_path / "out", 1) == {"train": ["b1", "b2", "c1", "c2"], "valid": ["a.1", "a.2"], "test": ["d1"]}
    single = [replace(c, group="one") for c in toy.clips()]
    store = toy.make_store(
        tmp_path / "t",
        ("gemaps",),
        [replace(c, split="train") for c in single[:-1]] + [replace(single[-1], split="test")],
    )
    with pytest.raises(RunError, match="split valid: none, and all of train is one group or speaker"):
        export("emobox", store, tmp_path / "other", {})


def test_parts_are_about_equal_and_do_not_depend_on_order():
    sizes = {"a": 5, "b": 3, "c": 3, "d": 2, "e": 1}
    parts = equal_parts(sizes, 3)
    assert parts == {"a": 0, "b": 1, "c": 2, "d": 1, "e": 2}
    assert equal_parts(dict(reversed(sizes.items())), 3) == parts


def test_segments_channels_addresses_and_other_media():
    clip = Clip("x", video="v.mp4", audio="a b/x.flac", start=2.0, end=3.5, audio_channel=2, label_raw="joy")
    record = record_of(clip, "d", 1.5, 44100)
    assert list(record) == [*KEYS, "start_time", "end_time"]
    assert (record["wav"], record["channel"], record["num_frame"]) == ("downloads/d/a b/x.flac", 3, 66150.0)
    assert (record["start_time"], record["end_time"]) == (2.0, 3.5)
    assert record_of(replace(clip, end=None), "d", 1.5, 1)["end_time"] == 3.5
    assert record_of(replace(clip, audio="https://host/x.wav"), "d", 1.5, 1)["wav"] == "https://host/x.wav"


def test_emoboxs_own_list_comes_back_key_by_key():
    """Needs EmoBox's checkout: reads its IEMOCAP list into clips and writes it again."""
    if "MERFLOW_EMOBOX" not in os.environ:
        pytest.skip("MERFLOW_EMOBOX is not set to a checkout of EmoBox: its own list is not read")
    found = lines(Path(os.environ["MERFLOW_EMOBOX"]) / "data/iemocap/iemocap.jsonl")
    assert len(found) == 5531
    for line in found:
        clip = Clip(
            line["key"].removeprefix("iemocap-"),
            audio=line["wav"].removeprefix("downloads/iemocap/"),
            label_raw=line["emo"],
        )
        record = record_of(clip, "iemocap", line["length"], line["sample_rate"])
        assert abs(record["num_frame"] - line["num_frame"]) < 1e-6
        assert list(record.items()) == list((line | {"num_frame": record["num_frame"]}).items())


def test_clips_that_lack_something(tmp_path):
    clips = [
        replace(c, label_raw=None) if c.id == "b1" else replace(c, video=None) if c.id == "b2" else c
        for c in toy.clips()
    ]
    store = toy.make_store(tmp_path / "s", ("gemaps", "voice"), clips, without={("c1", "voice")})
    with pytest.raises(RunError, match=r"1 clip has no voice: c1; --opt missing=omit leaves them out of the lists"):
        export("emobox", store, tmp_path / "out", {"by": "speaker", "folds": "3"})
    with pytest.raises(RunError, match=r"1 clip, label: expected one of the corpus's own; got b1 \(no label\)"):
        export("emobox", store, tmp_path / "out", {"by": "speaker", "folds": "3", "missing": "omit"})
    options = {"by": "speaker", "folds": "3", "missing": "omit"}
    export("emobox", store, tmp_path / "given", options | {"unlabelled": "train:sad"})
    given = {line["key"]: line["emo"] for line in lines(tmp_path / "given/data/toy/toy.jsonl")}
    assert given["toy-b1"] == "sad"
    export("emobox", store, tmp_path / "out", options | {"unlabelled": "omit"})
    missing = json.loads((tmp_path / "out/missing.json").read_text())
    assert missing == {"gemaps": [], "voice": ["c1"], "label": ["b1"], "media": ["b2"]}
    kept = sorted(f"toy-{i}" for i in toy.SECONDS if i not in {"b1", "b2", "c1"})
    assert sorted(line["key"] for line in lines(tmp_path / "out/data/toy/toy.jsonl")) == kept
    assert sorted(p.stem for p in (tmp_path / "out/features/gemaps").iterdir()) == kept


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "year"}, "option by: expected split, speaker or group, got 'year'"),
        ({"by": "group", "folds": "2"}, "option folds: expected a whole number from 3 to 100, got '2'"),
        ({"by": "group", "folds": "5"}, "option folds: expected no more than the 4 groups of the clips, got 5"),
        ({"dataset": "my set"}, "option dataset: expected a name of A-Z a-z 0-9 _ . -, got 'my set'"),
        ({"sample_rate": "16k"}, "option sample_rate: expected a whole number of 1 or more, got '16k'"),
        ({"splits": "train:train,val:train,test:none"}, "split test: expected clips, got none"),
        ({"splits": "train:train,val:valid,val:test,test:none"}, "option splits: .* a fold must not leak"),
        ({"labels": "hap"}, "option labels: expected pairs such as a:b,c:d, got 'hap'"),
    ],
)
def test_refusals_name_what_to_do(folder, tmp_path, options, message):
    with pytest.raises(RunError, match=message):
        export("emobox", FeatureStore(folder.parent / "store"), tmp_path / "out", options)
    assert not list(tmp_path.iterdir())


def test_a_label_is_shown_one_way_and_speakers_are_known(tmp_path):
    clips = [replace(c, label="calm", speaker=None) if c.id == "d1" else c for c in toy.clips()]
    store = toy.make_store(tmp_path / "s", ("gemaps",), clips)
    with pytest.raises(
        RunError, match="label 'sad': expected one label to show, got Sad and, in clip d1, Calm; --opt labels=sad:N"
    ):
        export("emobox", store, tmp_path / "out", {})
    with pytest.raises(RunError, match="clip d1 has no speaker; --opt by=split, speaker or group: choose another"):
        export("emobox", store, tmp_path / "out", {"by": "speaker"})
    export("emobox", store, tmp_path / "out", {"labels": "sad:Down"})
    assert json.loads((tmp_path / "out/data/toy/label_map.json").read_text())["sad"] == "Down"


def test_the_order_in_which_shards_finished_changes_no_byte(tmp_path):
    for i, shards in enumerate([[range(7)], [[6, 2], [0, 1, 5], [4, 3]]]):
        store = toy.make_store(tmp_path / f"{i}/s", shards=shards)
        export("emobox", store, tmp_path / f"{i}/out", {"by": "group", "folds": "3"})
    assert contents(tmp_path / "0/out") == contents(tmp_path / "1/out")


def edited(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / "data/toy" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


BREAKS = {
    "toy.jsonl, clip joy-a.1, key: expected it to begin with toy-, got 'joy-a.1'": (
        "toy.jsonl",
        '"toy-a.1"',
        '"joy-a.1"',
    ),
    "toy.jsonl, clip toy-a.1, wav: expected a path below downloads/": ("toy.jsonl", "downloads/toy", "raw"),
    "toy.jsonl, clip toy-a.1, num_frame: expected length times sample_rate, got 9000.0": (
        "toy.jsonl",
        "8000.0",
        "9000.0",
    ),
    "toy.jsonl, clip toy-a.1, length: expected more than 0 seconds": ("toy.jsonl", '"length": 0.5', '"length": 0'),
    "toy.jsonl, clip toy-a.1, channel: expected 1 or more, got 0": ("toy.jsonl", '"channel": 1', '"channel": 0'),
    "toy.jsonl, clip toy-a.1, emo: expected one of hap, sad, exc, xxx, got 'joy'": ("toy.jsonl", '"hap"', '"joy"'),
    "toy.jsonl, clip toy-a.1: expected keys key, dataset": ("toy.jsonl", '"type"', '"kind"'),
    "toy.json, clip toy-a.1, length: expected 0.5 as in jsonl, got 0.6": ("toy.json", '"length": 0.5', '"length": 0.6'),
    "toy.json: expected the 7 clips of its jsonl in order, each once, got 7": ("toy.json", '"toy-a.1"', '"toy-a.9"'),
}


@pytest.mark.parametrize("message", BREAKS)
def test_the_validator_names_clip_field_expected_and_got(folder, tmp_path, message):
    copy(folder, tmp_path)
    edited(tmp_path, *BREAKS[message])
    assert [line for line in validate_folder(tmp_path) if message in line], list(validate_folder(tmp_path))


def copy(folder: Path, to: Path) -> None:
    for name, content in contents(folder).items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(content)


def test_the_validator_names_folds_that_leak_or_lack_something(folder, tmp_path):
    copy(folder, tmp_path)
    root = tmp_path / "data/toy/fold_1"
    for suffix in (".json", ".jsonl"):
        (root / f"toy_valid_fold_1{suffix}").write_bytes((root / f"toy_test_fold_1{suffix}").read_bytes())
    clip_id = fold(folder, 1)["test"][0]
    assert [
        x
        for x in validate_folder(tmp_path)
        if f"fold_1, clip toy-{clip_id}: expected it once, in one split, got valid and test" in x
    ]
    (root / "toy_valid_fold_1.json").unlink()
    assert "fold_1: expected toy_valid_fold_1.json and .jsonl, got none" in validate_folder(tmp_path)
    (root / "toy_test_fold_1.jsonl").unlink()
    tested = len(toy.SECONDS) - len(fold(folder, 1)["test"])
    assert f"toy: expected every clip in the test of a fold, got {tested} of 7" in validate_folder(tmp_path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones((5, 2)), "clip toy-a.1, gemaps: expected float32, got float64"),
        (np.ones(5, np.float32), "clip toy-a.1, gemaps: expected shape (any, any), got (5,)"),
        (np.full((5, 2), np.nan, np.float32), "clip toy-a.1, gemaps: expected finite numbers, got 10"),
        (None, "clip toy-a.1, gemaps: expected gemaps/toy-a.1.npy, got no file"),
    ],
)
def test_the_validator_names_features_that_do_not_fit(folder, tmp_path, value, message):
    copy(folder, tmp_path)
    path = tmp_path / "features/gemaps/toy-a.1.npy"
    path.unlink()
    if value is not None:
        np.save(path, value)
    assert [line for line in validate_folder(tmp_path) if line.startswith(message)]
