"""What holds for every export format, found by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import pytest

from configs.errors import RunError
from storage.errors import StoreError
from storage.exporters import EXPORTERS, Exporter, export
from storage.store.runs import write_run
from storage.store.store import FeatureStore
from tests.exports import CLIPS, SPECS, contents, make_store, synthetic
from tests.storage import toy

# What each format must be told about the store of `tests.exports`; a format that is not here is told nothing.
OPTIONS: dict[str, dict[str, str]] = {
    "csd": {"dimension": "valence"},
    "mmsa": {"dimension": "valence"},
}
FORMATS = EXPORTERS.names()
IN_ORDER = [[0, 1], [2, 3]]
SHUFFLED = [[3], [2, 1], [0]]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    return make_store(tmp_path_factory.mktemp("one") / "store", shards=IN_ORDER)


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory) -> FeatureStore:
    made = make_store(tmp_path_factory.mktemp("other") / "store", specs=SPECS[::-1], shards=SHUFFLED)
    write_run(made.path, "s", {"run": "s", "started": "later", "versions": {"av": "16"}, "config": {}})
    return made


@pytest.fixture(scope="module")
def exported(store, tmp_path_factory) -> Callable[[str], Path]:
    """Gives a format's export of the store, made once."""
    folder = tmp_path_factory.mktemp("exports")

    @cache
    def made(name: str) -> Path:
        export(name, store, folder / name, OPTIONS.get(name, {}))
        return folder / name

    return made


def test_the_formats_of_the_design_are_there():
    names = "csd emobox hdf5 indomer lance merr mertools mmsa openface_csv parquet webdataset"
    assert set(names.split()) <= set(FORMATS)
    assert OPTIONS.keys() <= set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_says_what_it_is_and_what_it_can_be_told(name):
    assert issubclass(EXPORTERS.load(name), Exporter)
    assert EXPORTERS.summary(name)
    assert all(option.type and option.meaning for option in EXPORTERS.options(name))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hdf6", {}, f"unknown format 'hdf6'; formats: {', '.join(FORMATS)}"),
        ("merr", {"rat": "1"}, r"format merr: unknown option 'rat'; valid options here: allow_synthetic, annotation, "),
        ("merr", {"allow_synthetic": "yes"}, "format merr: option allow_synthetic: expected false or true, got 'yes'"),
    ],
)
def test_an_unknown_format_or_option_is_refused_with_the_valid_ones(store, tmp_path, name, options, message):
    with pytest.raises(RunError, match=message) as error:
        export(name, store, tmp_path / "out", options)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_never_overwrites(store, tmp_path, name):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        export(name, store, tmp_path / "out", OPTIONS.get(name, {}))
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("name", FORMATS)
def test_the_order_in_which_shards_finish_changes_no_byte(name, exported, shuffled, tmp_path):
    export(name, shuffled, tmp_path / name, OPTIONS.get(name, {}))
    ours, theirs = contents(exported(name)), contents(tmp_path / name)
    assert list(ours) == list(theirs)
    assert [file for file in ours if ours[file] != theirs[file]] == []


@pytest.mark.parametrize("name", FORMATS)
def test_every_export_says_what_it_was_made_of(name, exported):
    record = _provenance(exported(name))
    assert (record["format"], record["store"], record["corpus"]) == (name, "store", "test")
    assert record["synthetic"] == []
    assert record["extracted_with"] == [{"av": "16"}]
    assert record["versions"].keys() >= {"merflow", "numpy"}
    digests = {spec.name: spec.digest for spec in SPECS}
    assert record["features"]
    assert all(digests[feature] == found["digest"] for feature, found in record["features"].items())
    if "hubert" in record["features"]:
        assert record["features"]["hubert"]["weights"]["sha256"] == "a" * 64


def _provenance(path: Path) -> dict:
    if path.is_file():
        import h5py

        with h5py.File(path) as file:
            return json.loads(file.attrs["provenance"])
    return json.loads((path / "provenance.json").read_text())


@pytest.mark.parametrize("name", FORMATS)
def test_random_weights_need_a_flag_and_are_marked(name, tmp_path):
    made = make_store(tmp_path / "store", specs=[synthetic(spec) for spec in SPECS])
    with pytest.raises(RunError, match=r"made with random weights.*--opt allow_synthetic=true"):
        export(name, made, tmp_path / "out", OPTIONS.get(name, {}))
    assert not (tmp_path / "out").exists()
    export(name, made, tmp_path / "out", {**OPTIONS.get(name, {}), "allow_synthetic": "true"})
    assert _provenance(tmp_path / "out")["synthetic"]


@pytest.mark.parametrize("name", FORMATS)
def test_an_error_half_way_leaves_nothing(name, store, tmp_path, monkeypatch):
    get, calls = FeatureStore.get, []

    def breaks(self, clip_id, feature):
        calls.append(clip_id)
        if clip_id == CLIPS[-1].id:
            raise OSError("the disk is gone")
        return get(self, clip_id, feature)

    monkeypatch.setattr(FeatureStore, "get", breaks)
    with pytest.raises(OSError, match="the disk is gone"):
        export(name, store, tmp_path / "out", OPTIONS.get(name, {}))
    assert len(set(calls)) > 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_what_its_own_validator_refuses_is_not_published(name, store, tmp_path, monkeypatch):
    problems = staticmethod(lambda _: iter(["clip a, b: expected c, got d", "more"]))
    monkeypatch.setattr(EXPORTERS.load(name), "validate", problems)
    with pytest.raises(StoreError, match=r"clip a, b: expected c, got d \(and 1 more problem\)"):
        export(name, store, tmp_path / "out", OPTIONS.get(name, {}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_its_own_validator_finds_nothing_in_an_export(name, exported):
    assert list(EXPORTERS.load(name).validate(exported(name))) == []


@pytest.mark.parametrize("name", ["hdf5", "csd"])
def test_hdf5_files_are_made_and_read_without_locks(name, tmp_path, monkeypatch):
    """Some network file systems have none, and the HDF5 library then refuses to open."""
    store = toy.make_store(tmp_path / "store")
    real, locked = h5py.File, []

    def open_file(*args, **kwargs):
        locked.append(kwargs.get("locking", True))
        return real(*args, **kwargs)

    monkeypatch.setattr(h5py, "File", open_file)
    export(name, store, tmp_path / "out", {})
    assert locked
    assert not any(locked)
