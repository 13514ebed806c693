"""Clocks of aligned exports: features without times, rows beyond a clip's end, columns that are centred elsewhere."""

from __future__ import annotations

import pickle
from dataclasses import replace

import h5py
import numpy as np
import pytest
import yaml

from configs.errors import RunError
from storage.clip import Clip
from storage.errors import StoreError
from storage.exporters import export
from storage.manifest import write_manifest
from storage.records import Features, FeatureSpec
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from storage.timeline import align, regular_grid
from storage.torch_dataset import ClipDataset

TOKENS = FeatureSpec("tokens", "text", "text", "frame", ("attention_mask", "input_ids", "token_type_ids"))
WORDY = FeatureSpec("wordy", "text", "text", "frame", ("w0", "w1"))
GEMAPS = FeatureSpec("gemaps", "gemaps", "audio", "frame", ("loudness", "F0semitone"), hop=0.01)
LATE = replace(GEMAPS, centre_offsets=(0.0, 0.02))
PADDED = FeatureSpec("hubert", "hubert", "audio", "frame", ("h0", "h1"), hop=0.02, recipe={"recipe": "merbench"})
FACE = FeatureSpec("action_units", "action_units", "video", "frame", ("AU01_r", "AU01_c"), hop=0.04)
SECONDS = 1.01


def rows(count: int, hop: float, width: int, window: float | None = None) -> Features:
    start = np.arange(count) * hop
    values = np.arange(count * width, dtype=np.float32).reshape(count, width)
    return Features(values, np.stack([start, start + (window or hop)], axis=1), np.ones(count, np.bool_))


def whole(spec: FeatureSpec, count: int = 4) -> Features:
    """Rows that all have the time of the whole clip, as the extractor `text` gives tokens."""
    times = np.tile([[0.0, SECONDS]], (count, 1))
    return Features(np.ones((count, len(spec.columns)), np.float32), times, np.ones(count, np.bool_))


def store_of(path, features) -> FeatureStore:
    store = FeatureStore.create(path)
    splits = zip("abc", ("train", "val", "test"), strict=True)
    clips = [Clip(i, split=split, dimensions={"x": 0.5}, duration=SECONDS) for i, split in splits]
    write_manifest(path / "manifest.parquet", clips, root=path, corpus="t")
    for number, (spec, values) in enumerate(features):
        store.put(f"s{number}", spec, [Entry(clip.id, values) for clip in clips], {})
    return store


BASE = [(GEMAPS, rows(101, 0.01, 2)), (FACE, rows(25, 0.04, 2))]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hdf5", {"like": "tokens"}),
        ("mmsa", {"dimension": "x", "align": "tokens", "text_feature": "none"}),
    ],
)
def test_a_feature_without_times_is_no_clock(tmp_path, name, options):
    store = store_of(tmp_path / "s", [*BASE, (TOKENS, whole(TOKENS))])
    asked = {"broadcast": "tokens"} | options
    with pytest.raises(RunError, match=r"feature tokens has no clock: each of its rows has the time of the whole clip"):
        export(name, store, tmp_path / "out", asked)


@pytest.mark.parametrize(
    ("name", "options"),
    [("hdf5", {}), ("mmsa", {"dimension": "x", "align": "25"}), ("csd", {})],
)
def test_a_feature_without_times_is_spread_only_when_asked_for(tmp_path, name, options):
    store = store_of(tmp_path / "s", [*BASE, (WORDY, whole(WORDY))])
    with pytest.raises(RunError, match=r"feature wordy: its rows have no times of their own.*--opt broadcast=wordy"):
        export(name, store, tmp_path / "out", options)
    export(name, store, tmp_path / "out", options | {"broadcast": "wordy"})


def test_pytorch_refuses_to_align_a_feature_without_times(tmp_path):
    store = store_of(tmp_path / "s", [*BASE, (WORDY, whole(WORDY))])
    assert len(ClipDataset(store, ["gemaps", "wordy"])) == 3
    with pytest.raises(StoreError, match="feature wordy: its rows have no times of their own, so it cannot be aligned"):
        ClipDataset(store, ["gemaps", "wordy"], align=25)


def test_rows_beyond_a_clip_stay_in_the_store_and_end_no_clock(tmp_path):
    """`merbench` pads a clip of 1.01 s to 20 s: 999 rows, of which 51 begin within the clip."""
    padded = rows(999, 0.02, 2)
    store = store_of(tmp_path / "s", [*BASE, (PADDED, padded)])
    assert store.length("a", "hubert") == 999
    for options, expected in (({}, 26), ({"like": "hubert"}, 51)):
        out = tmp_path / f"{expected}.h5"
        export("hdf5", store, out, options)
        with h5py.File(out) as file:
            assert len(file["clips/a/times"]) == len(file["clips/a/hubert"]) == expected
    export("mmsa", store, tmp_path / "mmsa", {"dimension": "x", "align": "25", "audio_feature": "hubert"})
    with (tmp_path / "mmsa/aligned.pkl").open("rb") as file:
        assert pickle.load(file)["train"]["audio"].shape == (1, 26, 2)
    item = ClipDataset(store, ["hubert", "action_units"], align=25)[0]
    assert item["values"]["hubert"].shape == (26, 2)
    export("mertools", store, tmp_path / "tools", {"features": "hubert", "emo": "zero"})
    assert np.load(tmp_path / "tools/features/hubert-FRA/a.npy").shape == (999, 2)


def test_columns_are_aligned_by_their_own_centres(tmp_path):
    """Pitch is stamped 20 ms early: on a common clock it comes two rows later, and only there."""
    plain = rows(100, 0.01, 2)
    late = align(plain, regular_grid(0.99, 100), "nearest", LATE.centre_offsets)
    np.testing.assert_array_equal(late.values[2:, 0], plain.values[2:99, 0])
    np.testing.assert_array_equal(late.values[2:, 1], plain.values[:97, 1])
    assert late.valid.tolist() == [False] * 2 + [True] * 97
    store = store_of(tmp_path / "s", [(LATE, rows(101, 0.01, 2)), BASE[1]])
    export("hdf5", store, tmp_path / "a.h5", {"rate": "25"})
    with h5py.File(tmp_path / "a.h5") as file:
        expected = align(rows(101, 0.01, 2), file["clips/a/times"][:], "overlap", LATE.centre_offsets)
        np.testing.assert_array_equal(file["clips/a/gemaps"][:], expected.values)
    export("csd", store, tmp_path / "csd", {})
    with h5py.File(tmp_path / "csd/gemaps.csd") as file:  # not aligned: as stored
        np.testing.assert_array_equal(file["gemaps/data/a/features"][:], store.get("a", "gemaps").values)


def test_the_parquet_folder_has_a_card_with_a_configuration_for_each_table(tmp_path):
    export("parquet", store_of(tmp_path / "s", BASE), tmp_path / "out", {})
    header = (tmp_path / "out/README.md").read_text().split("---")[1]
    configs = {c["config_name"]: c["data_files"] for c in yaml.safe_load(header)["configs"]}
    assert configs == {name: f"{name}.parquet" for name in ("action_units", "gemaps", "clips")}
    assert all((tmp_path / "out" / file).is_file() for file in configs.values())


def test_the_length_of_emobox_is_the_audios(tmp_path):
    store = FeatureStore.create(tmp_path / "s")
    clips = [
        Clip(i, video="v.mp4", audio="v.mp4", split=s, label_raw="sad", duration=5.0)
        for i, s in zip("abc", ("train", "val", "test"), strict=True)
    ]
    write_manifest(store.path / "manifest.parquet", clips, root=tmp_path, corpus="t")
    store.put("s", GEMAPS, [Entry(clip.id, rows(101, 0.01, 2)) for clip in clips], {})
    export("emobox", store, tmp_path / "out", {})
    lines = (tmp_path / "out/data/t/t.jsonl").read_text()
    assert '"length": 1.01,' in lines
    assert '"length": 5.0' not in lines
