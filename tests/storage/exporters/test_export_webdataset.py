"""Tar shards, grouped and decoded as the webdataset package does it."""

from __future__ import annotations

import gc
import io
import json
import re
import tarfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from configs.errors import RunError
from storage.exporters import export
from storage.exporters.webdataset.layout import key_of
from storage.exporters.webdataset.validate import validate_folder
from tests.exports import contents
from tests.storage import toy

FEATURES = ["action_units", "gemaps", "voice", "words"]
PARTS = ("", ".times", ".valid")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An export with two clips to a shard, that every test reads and none changes."""
    base = tmp_path_factory.mktemp("webdataset")
    export("webdataset", toy.make_store(base / "store"), base / "out", {"maxcount": "2"})
    return base / "out"


def reenacted(paths):
    """The package's grouping: a name up to its first dot is the key; the rest, in small letters, the field."""
    for path in paths:
        sample = {}
        with tarfile.open(path) as tar:
            for member in tar:
                key, field = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", member.name).groups()
                if sample and sample["__key__"] != key:
                    yield sample
                    sample = {}
                assert field.lower() not in sample
                content = tar.extractfile(member).read()
                decode = json.loads if field.endswith("json") else lambda data: np.load(io.BytesIO(data))
                sample |= {"__key__": key, field.lower(): decode(content)}
        yield sample


@pytest.fixture(params=["re-enacted", "webdataset"])
def samples(request):
    """Reads shards: our few lines, and the package itself where it is installed."""
    if request.param == "re-enacted":
        return reenacted
    if find_spec("webdataset") is None:
        pytest.skip("the package webdataset is not installed: its real code is not run")
    import webdataset

    def read(paths):
        yield from webdataset.WebDataset([str(p) for p in paths], shardshuffle=False).decode()
        gc.collect()  # the package leaves its files to it

    return read


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_samples_hold_what_the_store_holds_in_manifest_order(folder, samples):
    for split in ("train", "val", "test"):
        found = list(samples(sorted((folder / split).iterdir())))
        clips = [clip for clip in toy.clips() if clip.split == split]
        assert [sample["__key__"] for sample in found] == [key_of(clip.id) for clip in clips]
        for sample, clip in zip(found, clips, strict=True):
            fields = {field for field in sample if not field.startswith("__")}
            assert fields == {"json", *(f"{name}{part}.npy" for name in FEATURES for part in PARTS)}
            for name in FEATURES:
                source = toy.features(name, clip.id)
                arrays = [sample[f"{name}{part}.npy"] for part in PARTS]
                assert [array.dtype for array in arrays] == [np.float32, np.float64, np.bool_]
                assert arrays[0].tobytes() == np.nan_to_num(source.values, nan=0).tobytes()
                assert arrays[1].tobytes() == source.times.tobytes()
                assert arrays[2].tobytes() == source.valid.tobytes()
            assert sample["json"]["id"] == clip.id
            assert sample["json"]["labels"] == dict(clip.labels)
            assert {k: sample["json"][k] for k in ("text", "label_raw", "speaker")} == {
                "text": clip.text,
                "label_raw": clip.label_raw,
                "speaker": clip.speaker,
            }


def test_dots_of_an_id_are_not_taken_for_the_start_of_a_field(folder):
    assert key_of("a.1") == "a%2E1"
    assert len({key_of(i) for i in ("a.b", "a_b", "a..b", ".", "..", "a-b")}) == 6
    with tarfile.open(folder / "train/000000.tar") as tar:
        assert tar.getnames()[:2] == ["a%2E1.json", "a%2E1.action_units.npy"]


def test_shards_are_filled_by_clips_or_bytes(folder, tmp_path):
    counts = json.loads((folder / "shards.json").read_text())["shards"]
    assert counts == {"train/000000.tar": 2, "train/000001.tar": 1, "val/000000.tar": 2, "test/000000.tar": 2}
    store = toy.make_store(tmp_path / "s", ("gemaps",))
    lines = export("webdataset", store, tmp_path / "out", {"maxsize": "1"})
    assert lines == ["train: 3 clips in 3 shards", "val: 2 clips in 2 shards", "test: 2 clips in 2 shards"]


def test_headers_hold_no_time_and_no_owner(folder):
    with tarfile.open(folder / "train/000000.tar") as tar:
        headers = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.isfile()) for m in tar}
    assert headers == {(0, 0, 0, "", "", 0o644, True)}


def test_columns_and_provenance_are_beside_the_shards(folder):
    assert json.loads((folder / "shards.json").read_text())["columns"]["words"] == ["w0", "w1"]
    assert sorted(json.loads((folder / "provenance.json").read_text())["features"]) == FEATURES
    assert {p.name for p in folder.iterdir()} == {
        "train",
        "val",
        "test",
        "shards.json",
        "missing.json",
        "provenance.json",
    }


def test_clips_that_lack_a_feature_are_left_out_whole(tmp_path):
    store = toy.make_store(tmp_path / "s", without={("b1", "voice")})
    with pytest.raises(RunError, match=r"1 clip has no voice: b1; --opt missing=omit leaves them out of the shards"):
        export("webdataset", store, tmp_path / "out", {})
    assert (
        export("webdataset", store, tmp_path / "out", {"missing": "omit"})[-1] == "voice: 1 clip has none, left out: b1"
    )
    assert [s["__key__"] for s in reenacted([tmp_path / "out/train/000000.tar"])] == ["a%2E1", "c1"]


def test_neither_the_order_of_shards_nor_the_time_changes_a_byte(tmp_path):
    for i, shards in enumerate([[range(7)], [[6, 2], [0, 1, 5], [4, 3]]]):
        time.sleep(1.1 * i)  # tar counts time in seconds
        export("webdataset", toy.make_store(tmp_path / f"{i}/s", shards=shards), tmp_path / f"{i}/out", {})
    assert contents(tmp_path / "0/out") == contents(tmp_path / "1/out")


def test_refusals_name_what_to_do(tmp_path):
    clips = [replace(clip, split=None) for clip in toy.clips()]
    store = toy.make_store(tmp_path / "s", ("gemaps",), clips)
    store.put("x", replace(toy.VOICE, name="Gemaps"), [], {})
    for options, message in [
        ({}, "features Gemaps, gemaps: webdataset does not tell capitals from small letters; choose one"),
        ({"features": "gemaps"}, r"clip a.1 has no split; --opt default_split=train"),
        ({"features": "gemaps", "default_split": ".."}, "clip a.1: split '..' cannot be the name of a folder or file"),
        (
            {"features": "gemaps", "default_split": "all", "maxcount": "0"},
            "option maxcount: expected a whole number of 1 or more",
        ),
    ]:
        with pytest.raises(RunError, match=message):
            export("webdataset", store, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()
    lines = export("webdataset", store, tmp_path / "out", {"features": "gemaps", "default_split": "all"})
    assert lines == ["all: 7 clips in 1 shard"]


def rewritten(folder: Path, to: Path, change) -> list[str]:
    """Check a copy of the first shard whose members were changed."""
    with tarfile.open(folder / "train/000000.tar") as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    (to / "train").mkdir()
    with tarfile.open(to / "train/000000.tar", "w") as tar:
        for name, content in change(members):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    index = json.loads((folder / "shards.json").read_text()) | {"shards": {"train/000000.tar": 2}}
    (to / "shards.json").write_text(json.dumps(index))
    return list(validate_folder(to))


def with_array(name, array):
    file = io.BytesIO()
    np.save(file, array)
    return lambda members: [(n, file.getvalue() if n == name else content) for n, content in members]


VALUES = "a%2E1.words.npy"
WHERE = "train/000000.tar, clip a%2E1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_array(VALUES, np.ones((2, 2))), f"{WHERE}, words: expected float32, got float64"),
        (with_array(VALUES, np.ones(2, np.float32)), f"{WHERE}, words: expected shape (any, 2), got (2,)"),
        (with_array(VALUES, np.ones((2, 3), np.float32)), f"{WHERE}, words: expected shape (any, 2), got (2, 3)"),
        (with_array(VALUES, np.full((2, 2), np.nan, np.float32)), f"{WHERE}, words: expected finite numbers, got 4"),
        (
            with_array("a%2E1.words.times.npy", np.ones((3, 2))),
            f"{WHERE}, words.times: expected shape (2, 2), got (3, 2)",
        ),
        (with_array("a%2E1.words.valid.npy", np.ones(3, bool)), f"{WHERE}, words.valid: expected shape (2), got (3,)"),
        (lambda m: [x for x in m if x[0] != VALUES], f"{WHERE}: expected members json, action_units.npy"),
        (lambda m: [(n.replace("%2E", "."), c) for n, c in m], "train/000000.tar, clip a: expected members json"),
        (lambda m: [(n, c.replace(b'"a.1"', b'"a.2"')) for n, c in m], f"{WHERE}, id: expected the key's own id"),
        (lambda m: [*m, *m[:13]], f"{WHERE}, id: expected the key's own id, each once"),
        (lambda m: m[:13], "train/000000.tar: expected 2 clips, got 1"),
    ],
)
def test_the_validator_names_clip_field_expected_and_got(folder, tmp_path, change, message):
    assert not list(validate_folder(folder))
    assert [line for line in rewritten(folder, tmp_path, change) if line.startswith(message)]
