"""Exports with words as their clock: MMSA's steps, the SDK's reference, intervals of an aligned HDF5 file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest

from configs.errors import RunError
from storage.clip import Word
from storage.exporters import export
from storage.exporters._shared.legacy_pickle import load
from storage.exporters.csd.validate import validate_folder
from storage.exporters.mmsa.validate import validate_pickle
from storage.identity import input_digests
from storage.manifest import write_manifest
from storage.records import Features, FeatureSpec
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from tests.storage import toy
from tests.storage.exporters.test_export_csd import EPSILON, sdk  # noqa: F401  a fixture

SPOKEN = (Word("kata", 0.05, 0.22), Word("«dua»", 0.22, 0.35))
WORDS = FeatureSpec("words", "words", "text", "frame", ("word",))
ALIGNED = FeatureSpec("alignment", "alignment", "audio", "frame", ("word", "score"), reads=("audio", "text"))
IDS = FeatureSpec("ids", "text", "text", "frame", ("input_ids", "attention_mask", "token_type_ids", "word"))
NUMBERS = {"dimension": "sentiment"}
CLIPS = [replace(clip, words=SPOKEN) for clip in toy.clips()]


def tokens():
    """[CLS], two pieces of the first word, one of the second, [SEP]."""
    places = [-1, 0, 0, 1, -1]
    times = [(0.05, 0.05 + 1e-6), SPOKEN[0][1:], SPOKEN[0][1:], SPOKEN[1][1:], (0.35, 0.35 + 1e-6)]
    ids = [101, 7, 8, 9, 102]
    values = np.array([(i, 1, 0, word) for i, word in zip(ids, places, strict=True)], np.float32)
    return Features(values, np.array(times), np.ones(5, bool))


def words():
    return Features(np.array([[0], [1]], np.float32), np.array([w[1:] for w in SPOKEN]), np.ones(2, bool))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "s"
    made = FeatureStore.create(folder)
    write_manifest(folder / "manifest.parquet", CLIPS, root=folder, corpus="toy")
    for name in ("gemaps", "action_units"):
        made.put(name, toy.SPECS[name], [Entry(c.id, toy.features(name, c.id)) for c in CLIPS], {})
    made.put("ids", IDS, [Entry(c.id, tokens()) for c in CLIPS], {})
    made.put("words", WORDS, [Entry(c.id, words()) for c in CLIPS], {})
    return made


def mean_of_numbers(intervals, features):
    """What users of the SDK write, for words have no mean."""
    return features if features.dtype.kind == "S" else np.mean(features, axis=0)


def weighted(name, clip_id, start, end):
    """Mean of the valid rows that overlap a word, weighted by the seconds that they share, by looking at each."""
    source, total, seconds = toy.features(name, clip_id), 0.0, 0.0
    for (a, b), values, valid in zip(source.times, source.values, source.valid, strict=True):
        shared = min(b, end) - max(a, start)
        if valid and shared > 1e-9:
            total, seconds = total + shared * values.astype(np.float64), seconds + shared
    return total / seconds if seconds else np.zeros(source.values.shape[1])


def test_steps_are_tokens_with_the_means_of_their_words_and_zeros_for_special_ones(store, tmp_path):
    export("mmsa", store, tmp_path / "out", {**NUMBERS, "align": "words", "text_feature": "ids"})
    assert list(validate_pickle(tmp_path / "out/aligned.pkl")) == []
    data = load(tmp_path / "out/aligned.pkl")["train"]
    assert data["text_bert"].shape == (3, 3, 5)
    assert data["text_bert"][0].tolist() == [[101, 7, 8, 9, 102], [1] * 5, [0] * 5]
    assert data["audio"].shape[1] == data["vision"].shape[1] == 5
    spans = [None, SPOKEN[0], SPOKEN[0], SPOKEN[1], None]
    for key, name in (("audio", "gemaps"), ("vision", "action_units")):
        for row, clip_id in enumerate(("a.1", "b1", "c1")):
            for step, span in enumerate(spans):
                expected = 0 if span is None else weighted(name, clip_id, span.start, span.end)
                np.testing.assert_allclose(data[key][row, step], expected, rtol=1e-5)


def test_without_tokens_the_steps_are_words(store, tmp_path):
    export("mmsa", store, tmp_path / "out", {**NUMBERS, "align": "words", "text_feature": "none"})
    data = load(tmp_path / "out/aligned.pkl")["test"]
    assert data["audio"].shape[1] == 2
    np.testing.assert_allclose(data["audio"][0, 0], weighted("gemaps", "b2", 0.05, 0.22), rtol=1e-5)


def test_tokens_without_times_of_words_are_refused(tmp_path):
    store = toy.make_store(tmp_path / "s", ("gemaps", "action_units", "tokens"))
    with pytest.raises(RunError, match="tokens of tokens have no times of words; extract them with `words: true`"):
        export("mmsa", store, tmp_path / "out", {**NUMBERS, "align": "words"})


def test_the_sdk_aligns_to_words_csd_as_brute_force_does(store, tmp_path, sdk):  # noqa: F811
    export("csd", store, tmp_path / "out", {"intervals": "words", "features": "gemaps,action_units"})
    assert list(validate_folder(tmp_path / "out")) == []
    dataset = sdk(tmp_path / "out")
    intervals, texts = dataset.data["words"]["a.1"]
    assert [text.decode() for (text,) in texts] == ["kata", "«dua»"]
    assert intervals.tolist() == [[0.05, 0.22], [0.22, 0.35]]
    dataset.align("words", [mean_of_numbers])
    source = toy.features("gemaps", "a.1")
    for number, word in enumerate(SPOKEN):
        shared = np.minimum(source.times[:, 1], word.end) - np.maximum(source.times[:, 0], word.start)
        found = dataset.data["gemaps"][f"a.1[{number}]"][1]
        np.testing.assert_allclose(found[0], source.values[shared > EPSILON].mean(axis=0), rtol=1e-5)


def test_hdf5_has_the_words_as_intervals(store, tmp_path):
    export("hdf5", store, tmp_path / "out.h5", {"intervals": "words", "features": "gemaps"})
    with h5py.File(tmp_path / "out.h5") as file:
        clip = file["clips/c2"]
        assert clip["interval_labels"].asstr()[...].tolist() == ["kata", "«dua»"]
        assert clip["times"][...].tolist() == [[0.05, 0.22], [0.22, 0.35]]
        np.testing.assert_allclose(clip["gemaps"][1], weighted("gemaps", "c2", 0.22, 0.35), rtol=1e-5)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """A store whose manifest has no words, and the feature that found them; one could not be spelled."""
    folder = tmp_path_factory.mktemp("aligned") / "s"
    made = FeatureStore.create(folder)
    clips = [replace(clip, text="kata 7 «dua»") for clip in toy.clips()]
    write_manifest(folder / "manifest.parquet", clips, root=folder, corpus="toy")
    made.put("gemaps", toy.SPECS["gemaps"], [Entry(c.id, toy.features("gemaps", c.id)) for c in clips], {})
    values = np.array([[0, 0.9], [np.nan, np.nan], [2, 0.8]], np.float32)
    times = np.array([SPOKEN[0][1:], (0.22, 0.22 + 1e-6), SPOKEN[1][1:]])
    found = Features(values, times, np.array([True, False, True]))
    made.put("alignment", ALIGNED, [Entry(c.id, found, input_digests(c)) for c in clips if c.id != "c1"], {})
    return made


def test_words_found_in_the_audio_are_words_csd(aligned, tmp_path):
    lines = export("csd", aligned, tmp_path / "out", {"intervals": "alignment", "missing": "omit"})
    assert list(validate_folder(tmp_path / "out")) == []
    assert not (tmp_path / "out/alignment.csd").exists()
    with h5py.File(tmp_path / "out/words.csd") as file:
        data = file["words/data"]
        assert "c1" not in data
        assert [text.decode() for (text,) in data["a.1/features"][...]] == ["kata", "«dua»"]
        assert data["a.1/intervals"][...].tolist() == [list(SPOKEN[0][1:]), list(SPOKEN[1][1:])]
    assert any(line.startswith("words") for line in lines), lines


def test_words_found_in_the_audio_are_intervals_of_hdf5(aligned, tmp_path):
    export("hdf5", aligned, tmp_path / "out.h5", {"intervals": "alignment", "features": "gemaps"})
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["clips/c2/interval_labels"].asstr()[...].tolist() == ["kata", "«dua»"]
        assert len(file["clips/c1/times"]) == 0
        np.testing.assert_allclose(file["clips/c2/gemaps"][1], weighted("gemaps", "c2", 0.22, 0.35), rtol=1e-5)
        assert set(json.loads(file.attrs["provenance"])["features"]) == {"gemaps", "alignment"}


@pytest.mark.parametrize(("name", "option"), [("csd", "intervals"), ("hdf5", "intervals"), ("hdf5", "like")])
def test_a_clock_that_is_stale_is_refused_as_a_feature_is(aligned, tmp_path, name, option):
    folder = tmp_path / "s"
    shutil.copytree(aligned.path, folder)
    clips = [replace(clip, text="kata dua lagi") if clip.id == "a.1" else clip for clip in aligned.clips()]
    write_manifest(folder / "manifest.parquet", clips, root=folder, corpus="toy")
    with pytest.raises(RunError, match="alignment"):
        export(name, FeatureStore(folder), tmp_path / "out", {option: "alignment", "features": "gemaps"})


def test_without_an_alignment_its_words_cannot_be_the_clock(store, tmp_path):
    with pytest.raises(RunError, match="no feature alignment; the extractor of that name makes it"):
        export("csd", store, tmp_path / "out", {"intervals": "alignment", "features": "gemaps"})


@pytest.mark.parametrize("name", ["csd", "hdf5"])
def test_a_store_without_words_says_how_to_get_them(tmp_path, name):
    store = toy.make_store(tmp_path / "s", ("gemaps",))
    with pytest.raises(RunError, match="no clip has words; `merflow ingest --words DIR` reads them"):
        export(name, store, tmp_path / "out", {"intervals": "words"})


def test_the_settings_of_the_data_set_fit_the_pickle(store, tmp_path):
    export("mmsa", store, tmp_path / "out", {**NUMBERS, "align": "words", "text_feature": "ids"})
    ((borrowed, kinds),) = json.loads((tmp_path / "out/dataset.json").read_text())["datasetCommonParams"].items()
    assert borrowed == "mosi"
    assert kinds["aligned"]["feature_dims"] == [768, 18, 3]
    assert kinds["aligned"]["seq_lens"] == [5, 5, 5]
    assert kinds["aligned"]["train_samples"] == 3
    assert kinds["aligned"]["featurePath"] == "aligned.pkl"
