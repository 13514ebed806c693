"""Planning and progress, without running anything."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from configs.schema import Cluster, RunConfig
from flows.engine import check_engine, choose_engine
from flows.progress import Bar, Lines, Listener, current_listener, listening
from flows.plan import Plan, build_extractors, make_shards, shard_seconds, with_engine
from flows.worker import ShardReport
from configs.errors import RunError
from storage.clip import Clip

TINY = {"random": {"size": "tiny"}}


def clips(*seconds):
    return [Clip(f"c{i}", duration=s) for i, s in enumerate(seconds)]


def test_shards_keep_the_order_and_are_bounded_by_seconds_of_media():
    shards = list(make_shards(clips(3, 4, 5, None, 1, 9), "run", lambda _: True, 6))
    assert [[c.id for c in s.clips] for s in shards] == [["c0", "c1"], ["c2", "c3"], ["c4", "c5"]]
    assert [s.id for s in shards] == ["run-00000", "run-00001", "run-00002"]


def test_only_clips_that_miss_something_are_batched():
    shards = list(make_shards(clips(1, 1, 1), "run", lambda c: c.id != "c1", 100))
    assert [[c.id for c in s.clips] for s in shards] == [["c0", "c2"]]
    assert list(make_shards(clips(1), "run", lambda _: False, 100)) == []


def test_every_worker_gets_several_shards():
    assert shard_seconds(Plan(clips=10, todo=10, seconds=80.0), workers=2, most=120) == 10
    assert shard_seconds(Plan(clips=10, todo=10, seconds=1e6), workers=2, most=120) == 120
    assert shard_seconds(Plan(clips=10, todo=10, seconds=0.0), workers=2, most=120) == 1


def test_the_face_stage_is_added_where_something_looks_at_faces():
    def features(*entries):
        return [e.feature for e in build_extractors(RunConfig.model_validate({"extractors": entries}))]

    assert features({"name": "videomae", "weights": TINY}) == ["faces", "videomae"]
    assert features({"name": "videomae", "weights": TINY, "input": "frame"}) == ["videomae"]
    assert features({"name": "faces", "feature": "mine"}, {"name": "videomae", "weights": TINY}) == ["mine", "videomae"]


def test_a_few_clips_stay_in_this_process():
    assert choose_engine(Cluster(workers=2), 8) == "local"
    assert choose_engine(Cluster(workers=2), 9) == "dask"
    assert choose_engine(Cluster(workers=1), 9) == "local"
    assert choose_engine(Cluster(engine="tcp://somewhere:8786"), 1) == "tcp://somewhere:8786"
    with pytest.raises(RunError, match=r"unknown engine 'slurm'; engines: auto, local, dask, a scheduler address"):
        check_engine(Cluster(engine="slurm"))


def test_the_command_line_wins_over_the_configuration():
    config = RunConfig.model_validate({"extractors": [{"name": "gemaps"}], "cluster": {"engine": "dask", "workers": 3}})
    assert with_engine(config, None, None).cluster == config.cluster
    assert with_engine(config, "local", 5).cluster == Cluster(engine="local", workers=5)


@pytest.mark.parametrize("by_clip", [True, False])
def test_listeners_count_each_clip_once(by_clip, capsys):
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    for listener in (Lines(), Bar(screen)):
        with listening(listener):
            current_listener().begin(Plan(clips=3, todo=3, seconds=9), "in this process")
            for i in range(3):
                if by_clip:
                    listener.clip_done(Clip(f"c{i}"), failed=i == 1)
                listener.shard_done(ShardReport(f"s{i}", 1, failed_clips=int(i == 1)))
        assert (listener.done, listener.failed, listener.left) == (3, 1, "0:00:00")
    assert "3/3 clips, 1 failed" in capsys.readouterr().err
    assert "3/3" in screen.file.getvalue()
    assert type(current_listener()) is Listener
