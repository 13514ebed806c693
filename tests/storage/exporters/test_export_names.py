"""Names of clips in exports: the corpus's own where it tells the clip from all others, else the store's id."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from storage.exporters import EXPORTERS, export
from storage.exporters._shared.naming import named_by_corpus
from tests import exports
from tests.storage import toy


def store_of(folder, names):
    clips = [replace(clip, id=i, source_id=name) for clip, (i, name) in zip(toy.clips(), names.items(), strict=False)]
    values = {(i, "gemaps"): toy.features("gemaps", old) for i, old in zip(names, toy.SECONDS, strict=False)}
    return exports.make_store(folder / "s", clips, [toy.AUDIO], replaced=values, corpus="toy")


def test_the_corpus_s_own_name_where_it_is_unique_and_fit_for_files(tmp_path):
    names = {"s1.a": "a", "s1.b": "b", "s2.b": "b", "_-12345678": "你", "s3.c": "s2.b", "d": "d", "e": None}
    store = store_of(tmp_path, names)
    lines = export("hdf5", store, tmp_path / "x.h5", {})
    assert lines[0] == ("clips are named as the corpus names them (source_id), but for 4 clips by id (s1.b, ...)")
    with h5py.File(tmp_path / "x.h5") as file:
        assert list(file["clips"]) == ["a", "s1.b", "s2.b", "_-12345678", "s3.c", "d", "e"]
        assert np.isfinite(file["clips/a/gemaps"][...]).any()
    named, _ = named_by_corpus(store)
    assert named.get("a", "gemaps").values.tobytes() == store.get("s1.a", "gemaps").values.tobytes()
    assert (named.has("a", "gemaps"), named.length("a", "gemaps")) == (True, store.length("s1.a", "gemaps"))
    assert named.outcome_of("a", "gemaps").state == "stored"


def test_nothing_is_said_where_ids_and_names_are_the_same(tmp_path):
    store = store_of(tmp_path, {"a": "a", "b": None})
    assert named_by_corpus(store) == (store, [])


@pytest.mark.parametrize("name", ["parquet", "webdataset", "csd", "emobox"])
def test_every_format_uses_the_names(tmp_path, name):
    store = store_of(tmp_path, {"s1.a": "aaa", "s1.b": "bbb", "s1.c": "ccc"})
    options = {"emobox": {"splits": "train:train,val:test", "unlabelled": "omit"}}.get(name, {})
    lines = export(name, store, tmp_path / name, options)
    assert "clips are named as the corpus names them (source_id)" in lines
    assert name in EXPORTERS.names()
    text = b"".join(exports.contents(tmp_path / name).values()) + " ".join(exports.contents(tmp_path / name)).encode()
    assert b"aaa" in text
