"""Stores whose files were damaged, or made to harm: reported, left out, and no other file is opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from configs.errors import ConfigError
from configs.schema import load_config
from storage import open_store
from storage.errors import StoreError
from storage.store.verify import problems
from tests.exports import make_store


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("whole") / "s").path


@pytest.fixture
def store(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "s")
    shutil.rmtree(tmp_path / "s" / "index", ignore_errors=True)
    return tmp_path / "s"


def shard_of(store: Path) -> Path:
    return min(store.rglob("*.h5"))


@pytest.mark.parametrize("seed", range(24))
def test_flipped_bytes_are_reported_and_never_raise(store, whole, seed):
    rng = np.random.default_rng(seed)
    path = shard_of(store)
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, min(len(data), 4000) if seed % 2 else len(data), rng.choice([1, 4, 30])):
        data[at] ^= int(rng.integers(1, 256))
    path.write_bytes(data)
    found = list(problems(store))
    opened, before = open_store(store), open_store(whole)
    for feature in before.specs:
        for clip_id in before.clip_ids(feature):
            try:
                values = opened.get(clip_id, feature).values
            except (StoreError, KeyError):
                assert found
                continue
            assert found or np.array_equal(values, before.get(clip_id, feature).values, equal_nan=True)


def external_link(file, name, other):
    del file[name]
    file[name] = h5py.ExternalLink(str(other), "/data")


def external_storage(file, name, other):
    data = file[name][()]
    del file[name]
    file.create_dataset(name, data.shape, data.dtype, external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def virtual(file, name, other):
    data = file[name][()]
    del file[name]
    layout = h5py.VirtualLayout(data.shape, data.dtype)
    layout[:] = h5py.VirtualSource(str(other), "/data", data.shape)
    file.create_virtual_dataset(name, layout)


def soft_link(file, name, _other):
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink("/elsewhere")


@pytest.mark.parametrize("name", ["values", "offsets", "valid"])
@pytest.mark.parametrize("lead", [external_link, external_storage, virtual, soft_link])
def test_what_leads_out_of_a_shard_file_is_not_followed(store, tmp_path, monkeypatch, lead, name):
    other = tmp_path / "secret.h5"
    with h5py.File(other, "w") as file:
        file["data"] = np.arange(10_000)
    path = shard_of(store)
    with h5py.File(path, "r+") as file:
        lead(file, name, other)
    before = other.stat().st_atime_ns
    opened = open_store(store)
    assert list(opened.index.unreadable) == [path]
    assert any(path.name in problem for problem in problems(store))
    assert other.stat().st_atime_ns == before


def test_a_huge_attribute_costs_its_own_file(store):
    path = shard_of(store)
    with h5py.File(path, "r+", libver="latest") as file:
        file.attrs.create("libraries", "[" * 5_000_000)
    assert open_store(store).index.unreadable.keys() == {path}


def test_a_pickle_in_place_of_an_array_is_never_loaded(store, tmp_path):
    path = shard_of(store)
    marker = tmp_path / "run"
    with h5py.File(path, "r+") as file:
        del file["spec"]
        file.create_dataset("spec", data=[f"cos\nsystem\n(S'touch {marker}'\ntR."], dtype=h5py.string_dtype())
    assert open_store(store).index.unreadable.keys() == {path}
    assert not marker.exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch {marker}']", "!!python/name:os.system"])
def test_tags_in_a_configuration_run_nothing(tmp_path, tag):
    marker, path = tmp_path / "run", tmp_path / "c.yaml"
    path.write_text(f"extractors: {tag.format(marker=marker)}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not a YAML file"):
        load_config(path)
    assert not marker.exists()
