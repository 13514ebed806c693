"""PyTorch's side: what a DataLoader gives, in one process, in forked and in spawned workers."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from storage.errors import StoreError
from storage.records import Features
from storage.store.store import FeatureStore
from storage.timeline import align, regular_grid
from storage.torch_dataset import ClipDataset, ClipStream, collate
from tests.exports import ACTION_UNITS, CLIPS, GEMAPS, VIDEOMAE, make_store

FIRST, SECOND, THIRD, FOURTH = (clip.id for clip in CLIPS)
NAMES = ["gemaps", "action_units"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    shards = [[0, 1], [2], [3]]
    return make_store(tmp_path_factory.mktemp("torch") / "store", specs=(GEMAPS, ACTION_UNITS, VIDEOMAE), shards=shards)


def zeroed(features: Features) -> np.ndarray:
    return np.nan_to_num(features.values, nan=0)


def test_an_item_is_what_the_store_holds(store):
    data = ClipDataset(store.path, NAMES)
    assert len(data) == 4
    item = data[1]
    assert (item["id"], item["label"]) == (SECOND, "neutral")
    for name in NAMES:
        source = store.get(SECOND, name)
        assert item["values"][name].numpy().tobytes() == source.values.tobytes()
        assert item["mask"][name].tolist() == source.valid.tolist()


def test_items_of_one_split_with_other_labels(store):
    assert ClipDataset(store, NAMES, "train").ids == [FIRST, SECOND]
    assert ClipDataset(store, NAMES, "train", label="dimensions.valence").labels == [-1.5, 0.25]
    assert ClipDataset(store, NAMES, "train", label="labels.audio").labels == ["netral", "netral"]
    assert ClipDataset(store, NAMES, "val", label=lambda clip: clip.text).labels == ['Wah, "ok"']
    assert ClipDataset(store, NAMES, "val", label=None).labels == [None]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"features": ["nope"]}, "no feature 'nope'; features: action_units, gemaps, videomae"),
        ({"align": "nope"}, "no feature 'nope'"),
        ({"split": "dev"}, "no clip of split 'dev'; splits: test, train, val"),
        ({"label": "mood"}, "label 'mood': expected a field of a clip"),
        ({"label": "labels"}, "label 'labels': expected a field"),
        ({"label": "text.x"}, "label 'text.x': expected a field"),
    ],
)
def test_what_is_not_there_is_named(store, wrong, message):
    with pytest.raises(StoreError, match=message):
        ClipDataset(store, **({"features": NAMES} | wrong))


def test_clips_that_lack_a_feature_are_refused_or_listed(tmp_path):
    made = make_store(tmp_path / "store", specs=(GEMAPS, ACTION_UNITS), without=[(THIRD, "gemaps")])
    with pytest.raises(StoreError, match=f"1 clip without one of action_units, gemaps, first {THIRD}; missing='omit'"):
        ClipDataset(made, NAMES)
    data = ClipDataset(made, NAMES, missing="omit")
    assert (data.ids, data.omitted) == ([FIRST, SECOND, FOURTH], [THIRD])
    assert ClipDataset(made, ["action_units"]).omitted == []
    assert ClipDataset(made, ["action_units"], align="gemaps", missing="omit").omitted == [THIRD]


def test_features_on_one_clock_have_one_length(store):
    item = ClipDataset(store, NAMES, align=10, method="mean")[2]
    found = {name: store.get(THIRD, name) for name in NAMES}
    grid = regular_grid(max(f.times.max() for f in found.values()), 10)
    for name in NAMES:
        expected = align(found[name], grid, "mean")
        assert item["values"][name].numpy().tobytes() == expected.values.tobytes()
        assert item["mask"][name].tolist() == expected.valid.tolist()
    like = ClipDataset(store, ["gemaps", "videomae"], align="action_units")[2]
    assert len(like["mask"]["gemaps"]) == len(like["mask"]["videomae"]) == len(found["action_units"].valid)


def test_a_batch_is_padded_and_masked(store):
    data = ClipDataset(store, NAMES, label="dimensions.valence")
    batch = collate([data[i] for i in range(4)])
    assert batch["id"] == [FIRST, SECOND, THIRD, FOURTH]
    assert batch["label"].tolist() == [-1.5, 0.25, 2.0, 1.0]
    for name in NAMES:
        values, mask, lengths = batch["values"][name], batch["mask"][name], batch["lengths"][name]
        sources = [store.get(clip.id, name) for clip in CLIPS]
        assert lengths.tolist() == [len(s.valid) for s in sources]
        assert values.shape == (4, max(lengths), sources[0].values.shape[1])
        assert (values.dtype, mask.dtype) == (torch.float32, torch.bool)
        assert not values[~mask].any()
        for i, source in enumerate(sources):
            assert values[i, : len(source.valid)].numpy().tobytes() == zeroed(source).tobytes()
            assert mask[i, : len(source.valid)].tolist() == source.valid.tolist()
            assert not mask[i, len(source.valid) :].any()


def test_a_batch_of_one_length_cut_and_padded_where_asked_for(store):
    data = ClipDataset(store, ["gemaps"])
    batch = collate([data[i] for i in range(4)], length=120, side="start", keep="last", fill=-1)
    long, short = store.get(THIRD, "gemaps").values[-120:], store.get(FIRST, "gemaps").values
    assert batch["values"]["gemaps"].shape == (4, 120, 18)
    assert batch["values"]["gemaps"][2].numpy().tobytes() == long.tobytes()
    assert batch["values"]["gemaps"][0, -len(short) :].numpy().tobytes() == short.tobytes()
    assert (batch["values"]["gemaps"][0, : -len(short)] == -1).all()
    assert batch["lengths"]["gemaps"].tolist() == [39, 99, 120, 120]
    assert batch["label"] == ["sad", "neutral", "happy", "surprise"]


def scaled(item: dict) -> dict:
    item["values"]["gemaps"] = item["values"]["gemaps"] * 2
    return item | {"weight": 0.5}


def test_a_transform_may_change_values_and_add_numbers(store):
    data = ClipDataset(store, ["gemaps"], transform=scaled)
    batch = collate([data[0], data[1]])
    assert batch["weight"].tolist() == [0.5, 0.5]
    expected = 2 * store.get(FIRST, "gemaps").values
    assert batch["values"]["gemaps"][0, : len(expected)].numpy().tobytes() == expected.tobytes()


def open_files(data: ClipDataset) -> list[str]:
    return [str(path) for _, path in data.store._files._readers]


def test_a_pickled_data_set_carries_no_open_file_and_reads_the_same(store):
    data = ClipDataset(FeatureStore(store.path), NAMES, transform=scaled, align=25)
    first = data[0]
    assert open_files(data)
    again = pickle.loads(pickle.dumps(data))
    assert open_files(again) == []
    assert again.ids == data.ids
    assert again[0]["values"]["gemaps"].numpy().tobytes() == first["values"]["gemaps"].numpy().tobytes()


@pytest.fixture(scope="module")
def in_fresh_process():
    """Call a function in a new process: a fork of this one would inherit what other tests left running in it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda work, *arguments: pool.submit(work, *arguments).result()


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_give_what_one_process_gives(store, in_fresh_process, context):
    in_fresh_process(check_workers, store.path, context)


def check_workers(path, context):
    """The parent has the files open before it forks: a worker must not share its place in them."""
    data = ClipDataset(FeatureStore(path), NAMES, label="dimensions.valence", align=25)
    one = [data[i] for i in range(4)]
    loader = DataLoader(data, batch_size=3, num_workers=2, multiprocessing_context=context, collate_fn=collate)
    batches = list(loader)
    assert [batch["id"] for batch in batches] == [data.ids[:3], data.ids[3:]]
    for batch, items in zip(batches, (one[:3], one[3:]), strict=True):
        expected = collate(items)
        for name in NAMES:
            assert torch.equal(batch["values"][name], expected["values"][name])
            assert torch.equal(batch["mask"][name], expected["mask"][name])
        assert torch.equal(batch["label"], expected["label"])


@pytest.mark.slow
def test_a_stream_gives_every_clip_once_over_ranks_and_workers(store, in_fresh_process):
    in_fresh_process(check_streams, store.path)


def check_streams(path):
    store, together = FeatureStore(path), []
    for rank in range(2):
        stream = ClipStream(store, ["gemaps"], rank=rank, world_size=2)
        one_process = [item["id"] for item in stream]
        loader = DataLoader(stream, batch_size=1, num_workers=2, collate_fn=partial(collate, length=9))
        in_workers = [clip_id for batch in loader for clip_id in batch["id"]]
        assert sorted(in_workers) == sorted(one_process)
        together += one_process
    assert sorted(together) == sorted(clip.id for clip in CLIPS)
    assert [item["id"] for item in ClipStream(store, ["gemaps"])] == [clip.id for clip in CLIPS]
    assert [item["id"] for item in ClipStream(store, ["gemaps"], split="val")] == [THIRD]


@pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2), (0, 0)])
def test_a_stream_refuses_a_rank_that_is_not_there(store, rank, world_size):
    with pytest.raises(ValueError, match="expected a rank from 0 to world_size - 1"):
        ClipStream(store, ["gemaps"], rank=rank, world_size=world_size)
