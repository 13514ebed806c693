"""Shards: bounded by clips, seconds and bytes, long clips first, segments of one file together."""

from __future__ import annotations

import numpy as np
import pytest

from flows.job import FeaturePlan, RunContext, remaining
from flows.plan import Plan
from flows.shards import MOST_CLIPS, Bounds, bounds, make_jobs, singles, without
from storage.clip import Clip
from storage.manifest import Manifest, write_manifest
from storage.records import Failure, FeatureSpec
from storage.store.index import Index, Location
from storage.store.shard_reader import FailedRow, Row, ShardContents

AUDIO = FeatureSpec("gemaps", "gemaps", "audio", "frame", ("a", "b"), hop=0.01)
TEXT = FeatureSpec("text", "text", "text", "utterance", ("a", "b"))
WIDE = FeatureSpec("wide", "wide", "video", "frame", tuple(f"w{i}" for i in range(2500)))


def plan_of(clips, specs, missing=None):
    mask = np.ones((len(clips), len(specs)), bool) if missing is None else np.array(missing)
    rows = np.flatnonzero(mask.any(axis=1))
    seconds = sum(clips[i].duration or 0.0 for i in rows)
    return Plan(
        tuple(s.name for s in specs), len(clips), rows, mask[rows], np.ones((len(rows), len(specs)), int), seconds
    )


def jobs(tmp_path, clips, full, specs=(AUDIO,), missing=None, index=None):
    write_manifest(tmp_path / "m.parquet", clips, tmp_path, "c")
    features = tuple(FeaturePlan("x", s.name, None, s) for s in specs)
    context = RunContext("run", {"c": str(tmp_path)}, str(tmp_path), features)
    plan = plan_of(clips, specs, missing)
    return list(make_jobs(plan, Manifest.open(tmp_path / "m.parquet"), index or Index(), context, full))


def ids(made):
    return [[clip.id for clip in job.shard.clips] for job in made]


def clips(*seconds, **more):
    return [Clip(f"c{i}", video=f"{i}.mp4", duration=s, **more) for i, s in enumerate(seconds)]


def test_long_clips_go_first_and_shards_are_bounded_by_seconds_of_media(tmp_path):
    made = jobs(tmp_path, clips(3, 4, 5, 9, 1), Bounds(9.0))
    assert ids(made) == [["c3"], ["c2", "c1"], ["c0", "c4"]]
    assert [job.shard.id for job in made] == ["run-00000", "run-00001", "run-00002"]


def test_only_what_a_clip_misses_is_in_its_shard(tmp_path):
    missing = [[True, True], [False, False], [False, True]]
    (job,) = jobs(tmp_path, clips(3, 2, 1), Bounds(100.0), (AUDIO, TEXT), missing)
    assert job.todo == {"c0": {"gemaps": 1, "text": 1}, "c2": {"text": 1}}


def test_the_look_ahead_is_bounded(tmp_path):
    made = jobs(tmp_path, clips(*[1.0] * 1000, 5.0), Bounds(1e9, 600))
    assert [len(batch) for batch in ids(made)] == [600, 401]
    assert ids(made)[1][-1] == "c1000"


def test_texts_and_clips_of_unknown_length_count(tmp_path):
    texts = [Clip(f"t{i}", text="word") for i in range(5000)]
    full = bounds(plan_of(texts, [TEXT]), workers=2, most_seconds=120)
    assert [len(batch) for batch in ids(jobs(tmp_path, texts, full, (TEXT,)))] == [MOST_CLIPS] * 9 + [392]
    assert ids(jobs(tmp_path, clips(None, None, None), Bounds(10.0))) == [["c0", "c1"], ["c2"]]


def test_bytes_of_results_bound_a_shard(tmp_path):
    made = jobs(tmp_path, clips(*[40.0] * 6), Bounds(1e9, bytes=32 << 20), (WIDE,))
    assert [len(batch) for batch in ids(made)] == [3, 3]  # 25 rows a second of 10 kB


def test_every_worker_gets_several_shards():
    def full(n_clips, seconds, workers):
        return bounds(Plan((), rows=np.arange(n_clips), seconds=seconds), workers, 120)

    assert full(1000, 80.0, 2).seconds == pytest.approx((80 + 5000) / 8, abs=600)
    assert full(1000, 1e6, 2).seconds == 120
    assert (full(16, 80.0, 2).clips, full(100_000, 80.0, 2).clips) == (2, MOST_CLIPS)


def test_neighbouring_segments_of_a_file_stay_together_in_order(tmp_path):
    films = [
        Clip(f"{film}{i}", video=f"{film}.mp4", start=float(i), end=i + 1.0, duration=1.0)
        for i in (3, 0, 2, 1)
        for film in "ab"
    ]
    made = jobs(tmp_path, [*films, *clips(2.5)], Bounds(4.0))
    assert ids(made) == [["a0", "a1", "a2", "a3"], ["b0", "b1", "b2", "b3"], ["c0"]]
    assert ids(jobs(tmp_path, films, Bounds(3.0))) == [["a0", "a1", "a2"], ["a3", "b0", "b1"], ["b2", "b3"]]


def test_what_is_left_of_a_shard_knows_what_it_published(tmp_path):
    (job,) = jobs(tmp_path, clips(3, 2, 1), Bounds(100.0), (AUDIO, TEXT))
    failed = Failure("c1", "gemaps", "no_audio", "")
    contents = ShardContents(tmp_path / "x.h5", AUDIO, {}, {"c0": Row(0, 5, (), 0)}, (FailedRow(failed, (), 0),), False)
    left = remaining(job, [contents])
    where = Location(tmp_path / "x.h5", 0, 5, {})
    assert left.todo == {"c0": {"text": 1}, "c1": {"text": 1}, "c2": {"gemaps": 1, "text": 1}}
    one, two = singles(left, {"c0", "c1"})
    assert (one.shard.id, two.shard.id) == ("run-00000-000", "run-00000-001")
    assert (one.todo, one.stored) == ({"c0": {"text": 1}}, {"c0": {"gemaps": where}})
    assert (two.todo, two.stored) == ({"c1": {"text": 1}}, {"c1": {"gemaps": failed}})
    rest = without(left, {"c0", "c1"})
    assert (rest.shard.id, [c.id for c in rest.shard.clips]) == ("run-00000-again1", ["c2"])
    assert rest.todo == {"c2": {"gemaps": 1, "text": 1}}
