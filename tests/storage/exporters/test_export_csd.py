"""Computational sequences, loaded, aligned and deployed as CMU's SDK does it."""

from __future__ import annotations

import builtins
import json
import os
import sys
import time
import types
import uuid
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from configs.errors import RunError
from storage.clip import Clip
from storage.errors import StoreError
from storage.exporters import export
from storage.exporters.csd.validate import validate_folder
from storage.manifest import write_manifest
from storage.records import Features
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from tests.exports import contents
from tests.storage import toy

MOOD = {"dimension": "mood"}
CLIPS = [Clip(i, dimensions={"mood": n - 1.0}, duration=1.0) for n, i in enumerate(("a", "b", "b1"))]
# The second word of clip a is too short to be one; its last one lies where no face is; clip b has no valid face.
WORDS = {"a": [(0, 0.2), (0.2, 0.200005), (0.3, 0.5), (0.9, 1)], "b": [(0.1, 0.3)], "b1": [(0, 0.5), (0.5, 0.62)]}
EPSILON = 10e-6
TEMPLATE = (
    "root name",
    "computational sequence description",
    "dimension namescomputational sequence version",
    "alignment compatible",
    "dataset name",
    "dataset version",
    "creator",
    "contact",
    "featureset bib citation",
    "dataset bib citation",
)


def words(clip_id):
    times = np.array(WORDS[clip_id], float)
    return Features(np.arange(2 * len(times), dtype=np.float32).reshape(-1, 2) + 1, times, np.ones(len(times), bool))


def faces(clip_id):
    start = np.arange(20) * 0.04
    valid = np.array([clip_id != "b" and not 8 <= i <= 12 for i in range(20)])
    values = np.random.default_rng(list(clip_id.encode())).normal(size=(20, 3)).astype(np.float32)
    values[~valid] = np.nan
    return Features(values, np.stack([start, start + 0.04], axis=1), valid)


def make_store(folder):
    store = FeatureStore.create(folder)
    write_manifest(folder / "manifest.parquet", CLIPS, root=folder, corpus="toy")
    store.put("w", toy.WORDS, [Entry(c.id, words(c.id)) for c in CLIPS], {})
    store.put("f", toy.FACE, [Entry(c.id, faces(c.id)) for c in CLIPS], {})
    return store


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The export that every test reads, and none changes."""
    base = tmp_path_factory.mktemp("csd")
    export("csd", make_store(base / "store"), base / "out", MOOD)
    return base / "out"


class Reenacted:
    """What the SDK does with a folder of sequences, quirks and all."""

    def __init__(self, folder):
        self.data, self.metadata = {}, {}
        for path in Path(folder).glob("*.csd"):
            self.add(path)

    def add(self, path):
        with h5py.File(path) as file:
            root = file[min(file)]
            metadata = {key: json.loads(root["metadata"][key][0]) for key in root["metadata"]}
            name = metadata["root name"]
            self.metadata[name] = metadata
            self.data[name] = {i: (e["intervals"][...], e["features"][...]) for i, e in root["data"].items()}
        for intervals, features in self.data[name].values():
            assert intervals.ndim == 2
            assert features.ndim >= 2
            assert len(intervals) == len(features)

    def unify(self):
        ids = [{key.split("[")[0] for key in data} for data in self.data.values()]
        for name in set.union(*ids) - set.intersection(*ids):
            for data in self.data.values():  # whatever begins with the id goes with it
                for key in [key for key in data if key.startswith(name)]:
                    del data[key]

    def align(self, reference, functions=None):
        self.unify()
        aligned = {name: {} for name in self.data}
        for entry, (intervals, features) in self.data[reference].items():
            for i, (start, end) in enumerate(intervals):
                if abs(start - end) < EPSILON:
                    continue
                for name in self.data:
                    rows, values = (
                        self.rows(name, entry) if name != reference else (intervals[i : i + 1], features[i : i + 1])
                    )
                    clipped = np.clip(rows, start, end)
                    kept = clipped[:, 1] - clipped[:, 0] > EPSILON
                    if kept.any():
                        aligned[name][f"{entry}[{i}]"] = self.collapse(clipped[kept], values[kept], functions)
        self.data = aligned

    def rows(self, name, entry):
        parts = [part for key, part in self.data[name].items() if key.split("[")[0] == entry]
        intervals, features = (np.concatenate(p) for p in zip(*parts, strict=True))
        order = np.argsort(intervals[:, 0], kind="stable")
        return intervals[order], features[order]

    @staticmethod
    def collapse(intervals, features, functions):
        if functions is None:
            return intervals, features
        made = np.concatenate([function(intervals, features) for function in functions])
        return np.array([[intervals.min(), intervals.max()]]), made if made.ndim > 1 else made[None]

    def impute(self, reference):
        for data in self.data.values():
            width = next(iter(data.values()))[1].shape[1:]
            for key, (intervals, _) in self.data[reference].items():
                data.setdefault(key, (intervals, np.zeros((len(intervals), *width))))

    def hard_unify(self):
        shared = set.intersection(*(set(data) for data in self.data.values()))
        self.data = {name: {k: v for k, v in data.items() if k in shared} for name, data in self.data.items()}

    def tensors(self, length):
        self.hard_unify()
        keys = list(next(iter(self.data.values())))
        return {n: np.array([self.pad(data[k][1], length) for k in keys]) for n, data in self.data.items()}

    @staticmethod
    def pad(rows, length):
        return np.concatenate([np.zeros((length, *rows.shape[1:])), rows])[-length:]

    def deploy(self, folder):
        folder.mkdir()
        for name, data in self.data.items():
            assert not [key for key in TEMPLATE if key not in self.metadata[name]]  # the SDK would ask at a prompt
            with h5py.File(folder / f"{name}.csd", "w") as file:
                for key, parts in data.items():
                    for part, array in zip(("intervals", "features"), parts, strict=True):
                        file.create_dataset(f"{name}/data/{key}/{part}", data=array)
                for key, value in self.metadata[name].items():
                    file.create_dataset(f"{name}/metadata/{key}", data=[json.dumps(value)])


class Real:
    """The SDK's own classes behind the same names."""

    def __init__(self, sdk, folder):
        self.sdk, self.dataset = sdk, sdk.mmdataset(str(folder))

    @property
    def data(self):
        def read(entries):
            return {key: (entry["intervals"][...], entry["features"][...]) for key, entry in entries.items()}

        return {name: read(sequence.data) for name, sequence in self.dataset.computational_sequences.items()}

    @property
    def metadata(self):
        return {name: sequence.metadata for name, sequence in self.dataset.computational_sequences.items()}

    def add(self, path):
        self.dataset.add_computational_sequences({path.stem: str(path)}, None)

    def align(self, reference, functions=None):
        self.dataset.align(reference, collapse_functions=functions)

    def impute(self, reference):
        self.dataset.impute(reference)

    def hard_unify(self):
        self.dataset.hard_unify()

    def tensors(self, length):
        return self.dataset.get_tensors(seq_len=length)[0]

    def deploy(self, folder):
        self.dataset.deploy(str(folder), {name: name for name in self.dataset.keys()})  # noqa: SIM118


@pytest.fixture(params=["re-enacted", "MERFLOW_CMU_SDK"])
def sdk(request, monkeypatch):
    """Opens a folder: our few lines, and the SDK's own code where its checkout is given."""
    if request.param == "re-enacted":
        return Reenacted
    if request.param not in os.environ:
        pytest.skip("MERFLOW_CMU_SDK is not set to a checkout of CMU-MultimodalSDK: its real code is not run")
    # Only addresses are asked of one, colours of the other.
    monkeypatch.setitem(sys.modules, "validators", types.SimpleNamespace(url=lambda text: "://" in text))
    monkeypatch.setitem(sys.modules, "colorama", types.SimpleNamespace(Fore=None))
    monkeypatch.syspath_prepend(os.environ[request.param])
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("the SDK asks for metadata at a prompt"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its code is older than some warnings
        from mmsdk import mmdatasdk
    return lambda folder: Real(mmdatasdk, folder)


def mean(intervals, features):
    return np.mean(features, axis=0)


def test_a_folder_loads_with_names_rows_and_metadata(folder, sdk, capsys):
    dataset = sdk(folder)
    assert sorted(dataset.data) == ["action_units", "words"]
    assert list(dataset.data["action_units"]) == ["a", "b", "b1"]
    for clip in CLIPS:
        intervals, features = dataset.data["action_units"][clip.id]
        source = faces(clip.id)
        assert features.tobytes() == source.values[source.valid].tobytes()
        assert intervals.tobytes() == source.times[source.valid].tobytes()
        assert (features.shape[1], features.dtype, intervals.dtype) == (3, np.float32, np.float64)
    metadata = dataset.metadata["action_units"]
    assert not [key for key in TEMPLATE if key not in metadata]
    assert metadata["dimension names"] == ["AU01_r", "AU01_c", "x_0"]
    assert metadata["computational sequence version"] == "1"
    assert metadata["dataset name"] == "toy"
    assert metadata["provenance"]["features"]["action_units"]["digest"] == toy.FACE.digest
    assert uuid.UUID(metadata["uuid"]).hex == metadata["md5"]
    assert "not have all the required metadata" not in capsys.readouterr().out


def overlapping(clip_id, start, end):
    """Values of the valid faces in an interval, by looking at every row."""
    source = faces(clip_id)
    pairs = zip(source.times, source.values, source.valid, strict=True)
    rows = [(max(s, start), min(e, end), v) for (s, e), v, ok in pairs if ok and min(e, end) - max(s, start) > EPSILON]
    return np.array([row[:2] for row in rows]), np.array([row[2] for row in rows])


def test_alignment_equals_brute_force_and_gaps_have_no_key(folder, sdk):
    for functions in (None, [mean]):
        dataset = sdk(folder)
        dataset.align("words", functions)
        assert sorted(dataset.data["words"]) == ["a[0]", "a[2]", "a[3]", "b1[0]", "b1[1]", "b[0]"]
        assert sorted(dataset.data["action_units"]) == ["a[0]", "a[2]", "b1[0]", "b1[1]"]
        for key, (intervals, features) in dataset.data["action_units"].items():
            clip_id, number = key[:-1].split("[")
            rows, values = overlapping(clip_id, *WORDS[clip_id][int(number)])
            if functions:
                rows, values = np.array([[rows.min(), rows.max()]]), values.mean(axis=0, keepdims=True)
            np.testing.assert_allclose(intervals, rows, atol=1e-12)
            np.testing.assert_allclose(features, values, rtol=1e-6)


def test_gaps_are_imputed_with_zeros_or_removed(folder, sdk):
    dataset = sdk(folder)
    dataset.align("words", [mean])
    dataset.impute("words")
    intervals, features = dataset.data["action_units"]["b[0]"]
    assert (intervals.tolist(), features.tolist()) == ([[0.1, 0.3]], [[0, 0, 0]])
    dataset = sdk(folder)
    dataset.align("words", [mean])
    dataset.hard_unify()
    assert sorted(dataset.data["words"]) == ["a[0]", "a[2]", "b1[0]", "b1[1]"]


def test_words_then_labels_then_tensors_then_disk(folder, sdk, tmp_path):
    dataset = sdk(folder)
    dataset.align("words", [mean])
    dataset.impute("words")
    dataset.add(folder / "labels/labels.csd")
    dataset.align("labels")
    assert {key: features.tolist() for key, (_, features) in dataset.data["labels"].items()} == {
        "a[0]": [[-1]],
        "b[0]": [[0]],
        "b1[0]": [[1]],
    }
    tensors = dataset.tensors(5)
    assert {name: value.shape for name, value in tensors.items()} == {
        "words": (3, 5, 2),
        "action_units": (3, 5, 3),
        "labels": (3, 5, 1),
    }
    assert tensors["words"][0].tolist() == [[0, 0], [0, 0], [1, 2], [5, 6], [7, 8]]
    dataset.deploy(tmp_path / "again")
    again = sdk(tmp_path / "again")
    for name, entries in dataset.data.items():
        assert sorted(entries) == sorted(again.data[name])
        for key, parts in entries.items():
            assert [part.tolist() for part in parts] == [part.tolist() for part in again.data[name][key]]


def test_what_a_person_is_told(tmp_path):
    lines = export("csd", make_store(tmp_path / "s"), tmp_path / "out", {})
    assert lines == [
        "action_units.csd: 3 clips, 30 rows x 3 columns; 1 clip without a valid row: b",
        "words.csd: 3 clips, 7 rows x 2 columns",
        "no labels: --opt dimension=NAME or --opt labels=word:number,... writes labels/labels.csd",
        "note: ids that begin others: b of b1; removing one in the SDK removes both",
    ]
    names = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*")}
    assert names == {"action_units.csd", "words.csd", "missing.json", "provenance.json"}


def test_creator_contact_units_and_numbers_are_in_the_metadata(tmp_path):
    store = toy.make_store(tmp_path / "s", ("voice",))
    options = {"labels": "hap:1,exc:1,sad:-1,xxx:0", "creator": "A. Uthor", "contact": "a@b.c"}
    export("csd", store, tmp_path / "out", options)
    dataset = Reenacted(tmp_path / "out")
    dataset.add(tmp_path / "out/labels/labels.csd")
    assert {dataset.metadata["voice"][k] for k in ("creator", "contact")} == {"A. Uthor", "a@b.c"}
    assert dataset.metadata["labels"]["numbers"] == {"hap": 1, "exc": 1, "sad": -1, "xxx": 0}
    assert [float(v.item()) for _, v in dataset.data["labels"].values()] == [1, -1, 1, -1, 0, -1, -1]
    assert dataset.data["labels"]["c1"][0].tolist() == [[0, 1.2]]


def test_clips_that_lack_something(tmp_path):
    store = toy.make_store(tmp_path / "s", ("gemaps", "voice"), without={("b1", "voice")})
    with pytest.raises(RunError, match=r"1 clip has no voice: b1; --opt missing=omit leaves them out of that sequence"):
        export("csd", store, tmp_path / "out", {})
    lines = export("csd", store, tmp_path / "out", {"missing": "omit"})
    assert lines[-1] == "voice: 1 clip has none, left out: b1"
    assert json.loads((tmp_path / "out/missing.json").read_text()) == {"gemaps": [], "voice": ["b1"]}
    assert list(Reenacted(tmp_path / "out").data["voice"]) == [i for i in toy.SECONDS if i != "b1"]


def test_neither_the_order_of_shards_nor_the_time_changes_a_byte(tmp_path):
    for i, shards in enumerate([[range(7)], [[6, 2], [0, 1, 5], [4, 3]]]):
        time.sleep(1.1 * i)  # HDF5 counts time in seconds
        store = toy.make_store(tmp_path / f"{i}/s", shards=shards)
        export("csd", store, tmp_path / f"{i}/out", {"dimension": "arousal"})
    assert contents(tmp_path / "0/out") == contents(tmp_path / "1/out")


def replaced(file, name, value):
    del file[name]
    file[name] = value


FACES = "action_units/data/a"
BREAKS = {
    "action_units.csd: expected one root group, got 2: aaa, action_units": lambda f: f.create_group("aaa"),
    "action_units.csd, metadata root name: expected, got none": lambda f: f.pop("action_units/metadata/root name"),
    "metadata creator: expected JSON text, shape (1,), got 'me'": lambda f: replaced(
        f, "action_units/metadata/creator", np.array(["me"], dtype=object)
    ),
    "clip a, features: expected a dataset, got intervals": lambda f: f.pop(f"{FACES}/features"),
    "clip a, intervals: expected a dataset, got features": lambda f: f.pop(f"{FACES}/intervals"),
    "clip a, features: expected (n, D), got (15,)": lambda f: replaced(f, f"{FACES}/features", np.ones(15, "f4")),
    "clip a, features: expected float32, got float64": lambda f: replaced(f, f"{FACES}/features", np.ones((15, 3))),
    "clip a, intervals: expected shape (15, 2), got (30,)": lambda f: replaced(f, f"{FACES}/intervals", np.ones(30)),
    "clip a, intervals: expected shape (15, 2), got (14, 2)": lambda f: replaced(
        f, f"{FACES}/intervals", np.ones((14, 2))
    ),
    "clip a, features: expected finite numbers, got 1": lambda f: f[f"{FACES}/features"].__setitem__((3, 1), np.nan),
    "clip a, intervals: expected seconds from 0, got -0.5": lambda f: f[f"{FACES}/intervals"].__setitem__(
        0, (-0.5, 0.1)
    ),
    "clip a, intervals: expected each end after its start, got 2 to 1 in row 14": lambda f: f[
        f"{FACES}/intervals"
    ].__setitem__(14, (2, 1)),
    "clip a, intervals: expected rows in order of start, got 0.04 after 0.1": lambda f: f[
        f"{FACES}/intervals"
    ].__setitem__(0, (0.1, 0.2)),
    "clip c, features: expected a dataset, got x; is there a '/' in the id?": lambda f: f.copy(
        FACES, "action_units/data/c/x"
    ),
    "clip a[0], id: expected no '[', which marks segments of aligned sequences": lambda f: f.move(FACES, f"{FACES}[0]"),
}


@pytest.mark.parametrize("message", BREAKS)
def test_the_validator_names_clip_field_expected_and_got(folder, tmp_path, message):
    assert not list(validate_folder(folder))
    (tmp_path / "action_units.csd").write_bytes((folder / "action_units.csd").read_bytes())
    with h5py.File(tmp_path / "action_units.csd", "r+") as file:
        BREAKS[message](file)
    lines = list(validate_folder(tmp_path))
    assert [line for line in lines if message in line], lines
    assert all(line.startswith("action_units.csd") for line in lines)


def test_the_validator_names_a_file_that_is_no_hdf5(tmp_path):
    (tmp_path / "x.csd").write_text("text")
    assert next(validate_folder(tmp_path)).startswith("x.csd: expected an HDF5 file, got what cannot be read")


def test_refusals(tmp_path):
    store = toy.make_store(tmp_path / "s")
    for options, message in [
        ({"features": "x"}, "no feature 'x'"),
        (
            {"dimension": "joy"},
            r"7 clips, label: expected joy; got a.1 \('hap'\), a.2.*--opt unlabelled=omit leaves them out",
        ),
        ({"missing": "yes"}, "option missing: expected error or omit, got 'yes'"),
    ]:
        with pytest.raises(RunError, match=message):
            export("csd", store, tmp_path / "out", options)
    silent = FeatureStore.create(tmp_path / "t")
    write_manifest(silent.path / "manifest.parquet", [Clip("a", dimensions={"mood": 1})], root=tmp_path, corpus="t")
    nothing = Features(np.empty((0, 2), np.float32), np.empty((0, 2)), np.empty(0, bool))
    silent.put("w", toy.WORDS, [Entry("a", nothing)], {})
    with pytest.raises(StoreError, match="clip a, intervals: expected each end after its start, got 0 to 0"):
        export("csd", silent, tmp_path / "out", MOOD)
    assert not (tmp_path / "out").exists()
