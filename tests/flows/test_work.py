"""The worker with scripted extractors: groups of clips, features made from features, what the store knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pytest

from configs.schema import Faces, RunConfig
from extractors.core.extractor import Extractor, resolve_dependencies
from configs.plugins import Section
from flows import worker
from flows.worker import Job, extract_shard
from storage.errors import ClipError
from configs.errors import RunError
from storage.clip import Clip
from storage.records import Features, FeatureSpec, Shard
from storage.store.store import FeatureStore
from tests.media import write_clip


class Scripted(Extractor[Section]):
    """Gives the sum of what it needs, plus one; keeps the batches it was given."""

    modality = "audio"

    def __init__(self, feature, needs=(), at_once=1, failing=(), beside=False, looks=False):
        super().__init__(feature, Section(), Faces())
        self._needs, self._at_once, self._failing, self._looks = needs, at_once, failing, looks
        self._beside = beside
        self.batches, self.remembered = [], []

    needs = property(lambda self: self._needs)
    clips_at_once = property(lambda self: self._at_once)
    runs_beside = property(lambda self: self._beside)

    @cached_property
    def spec(self):
        recipe = {"inputs": {name: spec.digest for name, spec in self.inputs.items()}}
        recipe |= {"faces": {}} if self._looks else {}
        return FeatureSpec(self.feature, "scripted", "audio", "utterance", ("value",), recipe=recipe)

    def load(self, device):
        pass

    def extract(self, batch):
        self.batches.append([media.clip.id for media in batch])
        with self.timed("model"):
            return super().extract(batch)

    def extract_clip(self, media):
        if media.clip.id in self._failing:
            raise ClipError("no_audio", "none")
        value = 1.0 + sum(float(media.given(name).values[0, 0]) for name in self.needs)
        return self.checked([[value]], [[0.0, 1.0]], [True])

    def remember(self, media, features):
        self.remembered.append(media.clip.id)


class FaceStage(Scripted):
    """Stands for the face stage: the planner knows it by its module."""


FaceStage.__module__ = "extractors.faces"


@dataclass
class Bench:
    folder: object
    clips: list = field(default_factory=list)

    def run(self, monkeypatch, *extractors, clips=None):
        built = {e.feature: e for e in resolve_dependencies(extractors)}
        monkeypatch.setattr(worker, "_extractors", lambda *_: built)
        monkeypatch.setattr("extractors.core.torch_runtime.choose_device", lambda: "cpu")
        store = self.folder / "store"
        FeatureStore.create(store)
        shard = Shard(f"s{len(list(store.rglob('*.h5')))}", tuple(clips or self.clips))
        config = RunConfig.model_validate({"extractors": [{"name": "gemaps"}]})
        worker._store.cache_clear()
        report = extract_shard(Job(shard, str(self.folder), str(store), config, tuple(built), "run"))
        return report, FeatureStore(store)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker")
    write_clip(folder / "a.wav", seconds=0.2, video=False)
    return folder


@pytest.fixture
def bench(folder, tmp_path):
    (tmp_path / "a.wav").symlink_to(folder / "a.wav")
    return Bench(tmp_path, [Clip(f"c{i}", audio="a.wav", fingerprint=str(i)) for i in range(5)])


def value(store, clip, feature):
    return store.get(clip, feature).values[0, 0]


def test_clips_go_through_in_the_groups_that_the_extractors_can_use(bench, monkeypatch):
    wide, narrow = Scripted("wide", at_once=2), Scripted("narrow")
    _, store = bench.run(monkeypatch, wide, narrow)
    assert wide.batches == narrow.batches == [["c0", "c1"], ["c2", "c3"], ["c4"]]
    assert all(store.has(c.id, name) for c in bench.clips for name in ("wide", "narrow"))


def test_a_group_is_bounded_by_the_memory_its_frames_take(bench, monkeypatch):
    monkeypatch.setattr("extractors.core.media.Media.kept_bytes", worker.GROUP_BYTES // 2)
    wide = Scripted("wide", at_once=16)
    bench.run(monkeypatch, wide)
    assert wide.batches == [["c0", "c1"], ["c2", "c3"], ["c4"]]


def test_what_is_needed_comes_first_whatever_the_order(bench, monkeypatch):
    last, middle, first = Scripted("last", ("middle", "first")), Scripted("middle", ("first",)), Scripted("first")
    _, store = bench.run(monkeypatch, last, middle, first)
    assert [value(store, "c0", name) for name in ("first", "middle", "last")] == [1.0, 2.0, 4.0]
    assert middle.inputs == {"first": first.spec}


def test_a_feature_is_made_from_what_the_store_already_has(bench, monkeypatch):
    bench.run(monkeypatch, Scripted("first", failing=("c3",)), clips=bench.clips[:4])
    first, later = Scripted("first"), Scripted("later", ("first",))
    report, store = bench.run(monkeypatch, first, later)
    assert first.batches == [["c4"]]
    assert value(store, "c0", "later") == 2.0
    assert [(f.clip_id, f.feature, f.reason) for f in store.failures] == [
        ("c3", "first", "no_audio"),
        ("c3", "later", "no_audio"),
    ]
    assert report.failed_clips == 1


def test_a_failed_input_fails_what_is_made_from_it_with_the_same_reason(bench, monkeypatch):
    _, store = bench.run(monkeypatch, Scripted("first", failing=("c1",)), Scripted("later", ("first",)))
    assert {f.feature: (f.clip_id, f.reason, f.message) for f in store.failures} == {
        "first": ("c1", "no_audio", "none"),
        "later": ("c1", "no_audio", "first: none"),
    }


def test_stored_faces_are_remembered_and_not_detected_again(bench, monkeypatch):
    bench.run(monkeypatch, FaceStage("faces"), clips=bench.clips[:3])
    stage, looker = FaceStage("faces"), Scripted("looker", looks=True)
    bench.run(monkeypatch, stage, looker)
    assert stage.remembered == ["c0", "c1", "c2"]
    assert stage.batches == [["c3"], ["c4"]]
    other = FaceStage("faces")
    bench.run(monkeypatch, other, Scripted("deaf"))
    assert other.remembered == []


def test_seconds_are_counted_by_part(bench, monkeypatch):
    report, _ = bench.run(monkeypatch, Scripted("first"))
    assert 0 < report.seconds["first.model"] <= report.seconds["first"]
    assert {"decode", "write", "first", "first.model"} == set(report.seconds)


def test_helpers_beside_the_networks_can_feed_them(bench, monkeypatch):
    beside = Scripted("beside", beside=True)
    _, store = bench.run(monkeypatch, beside, Scripted("network", ("beside",), at_once=4))
    assert beside.batches == [["c0"], ["c1"], ["c2"], ["c3"], ["c4"]]
    assert value(store, "c4", "network") == 2.0


def test_needs_that_cannot_be_met_are_named():
    with pytest.raises(RunError, match="feature later needs feature 'first', which is not extracted"):
        resolve_dependencies([Scripted("later", ("first",))])
    with pytest.raises(RunError, match="features need each other: a > b > a"):
        resolve_dependencies([Scripted("a", ("b",)), Scripted("b", ("a",))])


def test_features_survive_the_way_through_the_store(bench, monkeypatch):
    _, store = bench.run(monkeypatch, Scripted("first"))
    found = store.get("c2", "first")
    assert isinstance(found, Features)
    np.testing.assert_array_equal(found.times, [[0.0, 1.0]])
