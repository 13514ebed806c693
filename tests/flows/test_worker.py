"""The worker with scripted extractors: groups of clips, features made from features, what the store knows."""

from __future__ import annotations

import errno
import threading
import time
from dataclasses import dataclass, field, replace
from unittest import mock

import numpy as np
import pytest

from configs.errors import RunError
from configs.plugins import Section
from extractors.core.extractor import Extractor, resolve_dependencies
from extractors.core.media.clip_media import Media as worker_media  # noqa: N813
from flows import worker
from flows.flight import last_seen
from flows.job import FeaturePlan, RunContext
from flows.plan import make_plan
from flows.shard_work import GROUP_BYTES
from flows.shards import Bounds, make_jobs
from flows.worker import Worker, WorkerProcess
from storage.clip import Clip
from storage.errors import ClipError
from storage.manifest import write_manifest
from storage.records import Features, FeatureSpec
from storage.store.store import FeatureStore
from storage.store.survey import Survey
from tests.media import write_clip


class Scripted(Extractor[Section]):
    """Gives the sum of what it needs, plus one; keeps the batches it was given."""

    modality = "audio"
    name = "scripted"

    def __init__(self, feature, needs=(), at_once=1, failing=(), releases_gil=False):
        super().__init__(feature, Section())
        self._needs, self._at_once, self._failing = needs, at_once, failing
        self._releases_gil = releases_gil
        self.batches, self.loads, self.closed = [], 0, False

    needs = property(lambda self: self._needs)
    clips_at_once = property(lambda self: self._at_once)
    releases_gil = property(lambda self: self._releases_gil)

    def describe(self):
        return FeatureSpec(self.feature, "scripted", "audio", "utterance", ("value",))

    def load(self, device):
        self.loads += 1

    def close(self):
        self.closed = True

    def extract(self, batch):
        self.batches.append([media.clip.id for media in batch])
        with self.timed("model"):
            return super().extract(batch)

    def extract_clip(self, media):
        if media.clip.id in self._failing:
            raise ClipError("no_audio", "none")
        value = 1.0 + sum(float(media.feature(name).values[0, 0]) for name in self.needs)
        return self.checked([[value]], [[0.0, 1.0]], [True])


@dataclass
class Bench:
    folder: object
    clips: list = field(default_factory=list)

    def context(self, *extractors, run="run"):
        """The context of a run of scripted extractors, in the order in which they are extracted."""
        ordered = resolve_dependencies(extractors)
        plans = tuple(FeaturePlan(e.name, e.feature, e.options, e.spec, dict(e.inputs)) for e in ordered)
        return RunContext(run, {"test": str(self.folder)}, str(self.folder / "store"), plans)

    def worker(self, monkeypatch, *extractors, previous=None, **context):
        """A worker that uses these very extractors."""
        by_feature = {e.feature: e for e in extractors}
        monkeypatch.setattr(worker.EXTRACTORS, "load", lambda name: lambda feature, options: by_feature[feature])
        monkeypatch.setattr("extractors.core.networks.runtime.choose_device", lambda: "cpu")
        FeatureStore.create(self.folder / "store")
        self.extractors = resolve_dependencies(extractors)
        return Worker(self.context(*extractors, **context), previous)

    def job(self, context, clips=None):
        """What the store lacks of the clips, as one shard."""
        store = FeatureStore(self.folder / "store")
        write_manifest(store.path / "manifest.parquet", clips or self.clips, self.folder, "test")
        survey = Survey(store)
        plan = make_plan(survey, self.extractors, np.ones(len(survey.columns), bool))
        (job,) = make_jobs(plan, survey.manifest, store.index, context, Bounds(1e9))
        return replace(job, shard=replace(job.shard, id=f"s{len(list(store.path.rglob('*.h5')))}"))

    def run(self, monkeypatch, *extractors, clips=None):
        made = self.worker(monkeypatch, *extractors)
        report = made.extract(self.job(made.context, clips))
        return report, FeatureStore(self.folder / "store")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker")
    write_clip(folder / "a.wav", seconds=0.2, video=False)
    return folder


@pytest.fixture
def bench(folder, tmp_path):
    (tmp_path / "a.wav").symlink_to(folder / "a.wav")
    return Bench(tmp_path, [Clip(f"c{i}", audio="a.wav", text=str(i)) for i in range(5)])


def value(store, clip, feature):
    return store.get(clip, feature).values[0, 0]


def test_clips_go_through_in_the_groups_that_the_extractors_can_use(bench, monkeypatch):
    wide, narrow = Scripted("wide", at_once=2), Scripted("narrow")
    _, store = bench.run(monkeypatch, wide, narrow)
    assert wide.batches == narrow.batches == [["c0", "c1"], ["c2", "c3"], ["c4"]]
    assert all(store.has(c.id, name) for c in bench.clips for name in ("wide", "narrow"))


def test_the_first_clip_is_decoded_while_networks_load_and_is_not_in_hand_when_they_take_long(bench, monkeypatch):
    """A load that hangs or dies is no clip's fault: nothing is noted as in hand while the clip waits for it."""
    decoded, noted = threading.Event(), []
    decode = worker_media.decode

    def note(media):
        decode(media)
        decoded.set()

    class Slow(Scripted):
        def load(self, device):
            assert decoded.wait(30), "the clip was to be decoded meanwhile"
            deadline = time.monotonic() + 30
            (path,) = (bench.folder / "store" / "runs" / "run" / "flight").iterdir()
            while last_seen(path).clips and time.monotonic() < deadline:
                time.sleep(0.01)
            noted.append(last_seen(path).clips)

    monkeypatch.setattr(worker_media, "decode", note)
    _, store = bench.run(monkeypatch, Slow("slow"))
    assert noted == [frozenset()]
    assert len(store.clip_ids("slow")) == 5


def test_what_networks_wait_for_decoding_is_reported(bench, monkeypatch):
    decode = worker_media.decode

    def slow(media):
        time.sleep(0.2)
        decode(media)

    class Working(Scripted):
        def extract_clip(self, media):
            time.sleep(self.pause)
            return super().extract_clip(media)

    monkeypatch.setattr(worker_media, "decode", slow)
    quick, long = Working("quick"), Working("long")
    quick.pause, long.pause = 0.0, 0.3
    alternating, _ = bench.run(monkeypatch, quick)
    overlapping, _ = bench.run(monkeypatch, long)
    assert 0.9 <= alternating.waited <= alternating.wall  # five clips, one after another
    assert overlapping.waited < 0.6 * alternating.waited  # but for the first, each is decoded beside the one before


def test_a_network_that_cannot_be_loaded_ends_the_shard(bench, monkeypatch):
    class Broken(Scripted):
        def load(self, device):
            raise RunError("weights: damaged")

    with pytest.raises(RunError, match="weights: damaged"):
        bench.run(monkeypatch, Broken("broken"))


def test_a_group_is_bounded_by_the_memory_its_frames_take(bench, monkeypatch):
    monkeypatch.setattr("extractors.core.media.clip_media.Media.kept_bytes", GROUP_BYTES // 2)
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


def test_what_is_stored_is_not_extracted_again_and_read_only_where_needed(bench, monkeypatch):
    bench.run(monkeypatch, Scripted("faces"), clips=bench.clips[:3])
    faces, reader = Scripted("faces"), Scripted("reader", ("faces",))
    _, store = bench.run(monkeypatch, faces, reader)
    assert faces.batches == [["c3"], ["c4"]]
    assert [value(store, clip.id, "reader") for clip in bench.clips] == [2.0] * 5
    made = bench.worker(monkeypatch, Scripted("faces"), Scripted("other"))
    assert bench.job(made.context).stored == {}


def test_a_shard_that_runs_twice_costs_nothing(bench, monkeypatch):
    first, second = Scripted("first"), Scripted("second")
    made = bench.worker(monkeypatch, first, second)
    job = bench.job(made.context)
    assert made.extract(job).outcomes == {"already": 0, "stored": 10}
    batches = [list(first.batches), list(second.batches)]
    files = sorted((bench.folder / "store").rglob("*.h5"))
    assert made.extract(job).outcomes == {"already": 10}
    assert [first.batches, second.batches] == batches
    assert sorted((bench.folder / "store").rglob("*.h5")) == files
    next(file for file in files if file.parts[-3] == "second").unlink()
    assert made.extract(job).outcomes == {"already": 5, "stored": 5}
    assert first.batches == batches[0]


def test_networks_stay_loaded_over_shards_and_runs_and_are_closed_when_nobody_uses_them(bench, monkeypatch):
    kept, left = Scripted("kept"), Scripted("left")
    one = bench.worker(monkeypatch, kept, left)
    for clip in bench.clips[:2]:
        one.extract(bench.job(one.context, [clip]))
    assert (kept.loads, left.loads) == (1, 1)
    two = bench.worker(monkeypatch, Scripted("kept"), previous=one, run="next")
    two.extract(bench.job(two.context, bench.clips[2:3]))
    assert (kept.loads, len(kept.batches)) == (1, 3)
    assert (kept.closed, left.closed) == (False, True)
    two.close()
    assert kept.closed


def test_the_process_keeps_one_worker_and_makes_it_anew_for_another_run(bench, monkeypatch):
    process, extractor = WorkerProcess(), Scripted("first")
    bench.worker(monkeypatch, extractor)
    for run, clip in (("run", 0), ("run", 1), ("next", 2)):
        process.extract(bench.job(bench.context(extractor, run=run), [bench.clips[clip]]))
    assert (extractor.loads, len(extractor.batches)) == (1, 3)
    process.close()
    assert extractor.closed


def test_after_an_error_that_ends_the_run_the_process_takes_no_other_shard_of_it(bench, monkeypatch):
    """An engine may have handed it the next one before the run hears of the first."""
    process, extractor = WorkerProcess(), Scripted("first")
    bench.worker(monkeypatch, extractor)
    jobs = [bench.job(bench.context(extractor), [clip]) for clip in bench.clips[:2]]
    with monkeypatch.context() as patch:
        patch.setattr(
            "storage.store.publication.write_shard_file", mock.Mock(side_effect=OSError(errno.ENOSPC, "full"))
        )
        with pytest.raises(RunError, match="no space left on the device") as first:
            process.extract(jobs[0])
    with pytest.raises(RunError) as second:
        process.extract(jobs[1])
    assert (str(second.value), extractor.batches) == (str(first.value), [["c0"]])
    process.extract(bench.job(bench.context(extractor, run="next"), bench.clips[2:3]))
    assert extractor.batches == [["c0"], ["c2"]]
    process.close()


def test_a_worker_that_would_give_other_numbers_is_refused(bench, monkeypatch):
    planned = bench.context(Scripted("first"))
    changed = Scripted("first")
    changed.spec = replace(changed.spec, precision="bf16")
    bench.worker(monkeypatch, changed)
    with pytest.raises(RunError, match=r'feature first: this worker .* precision: "float32" against "bf16"'):
        Worker(planned)


def test_a_worker_of_other_versions_is_refused_also_in_mid_run(bench, monkeypatch):
    context = replace(bench.context(Scripted("first")), versions={"numpy": "1.0"})
    with pytest.raises(RunError, match=r"worker \S+, process \d+, has numpy \S+, this run was planned with 1\.0"):
        Worker(context)


def test_failures_say_how_often_a_clip_was_tried(bench, monkeypatch):
    _, store = bench.run(monkeypatch, Scripted("first", failing=("c1",)))
    assert [failure.attempt for failure in store.failures] == [1]
    bench.clips[1] = replace(bench.clips[1], files={"audio": "other 1 2 3"})
    _, store = bench.run(monkeypatch, Scripted("first", failing=("c1",)))
    assert [failure.attempt for failure in store.failures] == [2]


def test_seconds_are_counted_by_part(bench, monkeypatch):
    report, _ = bench.run(monkeypatch, Scripted("first"))
    assert 0 < report.seconds["first.model"] <= report.seconds["first"]
    assert {"decode", "write", "first", "first.model"} == set(report.seconds)


def test_helpers_beside_the_networks_can_feed_them(bench, monkeypatch):
    beside = Scripted("beside", releases_gil=True)
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
