"""Planning and progress, without running anything."""

from __future__ import annotations

import io
import json
import sys
import urllib.request

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console

from configs.errors import RunError
from configs.schema import Cluster, RunConfig
from flows.engine import check_engine, choose_engine
from flows.job import RunContext, ShardReport
from flows.plan import Plan, build_extractors, shard_seconds, with_engine
from flows.progress import Bar, Lines, Progress, current_progress, reporting
from flows.run import run_extraction
from storage.clip import Clip
from storage.manifest import Manifest, write_manifest
from storage.store.store import FeatureStore, Outcome
from tests.media import write_clip

TINY = {"random": {"size": "tiny"}}


def clips(*seconds):
    return [Clip(f"c{i}", duration=s) for i, s in enumerate(seconds)]


class Stored:
    """Stands for a store that holds some features of some clips."""

    def __init__(self, *pairs):
        self.pairs = set(pairs)

    def outcome_of(self, clip_id, feature):
        return Outcome("stored", "") if (clip_id, feature) in self.pairs else None


def jobs(clips, most_seconds, store=None, features=("one", "two")):
    plan = Plan(features)
    context = RunContext("run", "", "", ())
    assert list(plan.follow(store or Stored(), clips)) == clips
    return plan, list(plan.jobs(iter(clips), context, most_seconds))


def test_shards_keep_the_order_and_are_bounded_by_seconds_of_media():
    plan, made = jobs(clips(3, 4, 5, None, 1, 9), 6)
    assert [[c.id for c in job.shard.clips] for job in made] == [["c0", "c1"], ["c2", "c3"], ["c4", "c5"]]
    assert [job.shard.id for job in made] == ["run-00000", "run-00001", "run-00002"]
    assert (plan.clips, plan.todo, plan.seconds) == (6, 6, 22.0)


def test_only_clips_that_miss_something_are_batched_with_just_what_they_miss():
    store = Stored(("c1", "one"), ("c1", "two"), ("c2", "one"))
    plan, [job] = jobs(clips(1, 1, 1), 100, store)
    assert job.todo == {"c0": {"one": 1, "two": 1}, "c2": {"two": 1}}
    assert [c.id for c in job.shard.clips] == ["c0", "c2"]
    assert (plan.clips, plan.todo, plan.seconds) == (3, 2, 2.0)
    assert jobs(clips(1), 100, Stored(("c0", "one"), ("c0", "two")))[1] == []


def test_a_plan_keeps_no_clip_in_memory():
    plan, _ = jobs(clips(*[1.0] * 5_000), 100)
    kept = sum(sys.getsizeof(part) for part in (plan._rows, plan._masks, plan._attempts))
    assert kept < 5_000 * 20


def test_the_manifest_is_read_once_for_the_plan_and_once_for_the_shards_and_the_store_is_opened_once(
    tmp_path, monkeypatch, server
):
    write_clip(tmp_path / "a.wav", seconds=0.2, video=False)
    write_manifest(tmp_path / "m.jsonl", [Clip("a", audio="a.wav"), Clip("b", audio="a.wav")], tmp_path, "test")
    passes, openings = [], []
    iterate, opened = Manifest.__iter__, FeatureStore.__init__
    monkeypatch.setattr(Manifest, "__iter__", lambda self: (passes.append(self.path.name), iterate(self))[1])
    monkeypatch.setattr(FeatureStore, "__init__", lambda self, path: (openings.append(1), opened(self, path))[1])
    config = RunConfig.model_validate({"extractors": [{"name": "gemaps"}], "cluster": {"engine": "local"}})
    result = run_extraction(config, Manifest.open(tmp_path / "m.jsonl"), tmp_path / "store")
    assert result.outcomes["stored"] == 2
    assert passes == ["m.jsonl", "manifest.parquet"]
    assert len(openings) == 2  # the run's and its worker's


def test_a_flow_run_is_at_the_given_server_even_if_prefect_was_imported_without_one(tmp_path, server, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", server)
    write_clip(tmp_path / "a.wav", seconds=0.2, video=False)
    write_manifest(tmp_path / "m.jsonl", [Clip("a", audio="a.wav")], tmp_path, "test")
    config = RunConfig.model_validate({"extractors": [{"name": "gemaps"}], "cluster": {"engine": "local"}})
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        result = run_extraction(config, Manifest.open(tmp_path / "m.jsonl"), tmp_path / "store")
    wanted = json.dumps({"flow_runs": {"name": {"any_": [result.run]}}}).encode()
    request = urllib.request.Request(f"{server}/flow_runs/filter", wanted, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        assert [run["state_type"] for run in json.load(answer)] == ["COMPLETED"]


def test_every_worker_gets_several_shards():
    assert shard_seconds(Plan((), clips=10, todo=10, seconds=80.0), workers=2, most=120) == 10
    assert shard_seconds(Plan((), clips=10, todo=10, seconds=1e6), workers=2, most=120) == 120
    assert shard_seconds(Plan((), clips=10, todo=10, seconds=0.0), workers=2, most=120) == 1


def test_faces_are_added_where_something_needs_them():
    def features(*entries):
        return [e.feature for e in build_extractors(RunConfig.model_validate({"extractors": entries}))]

    assert features({"name": "videomae", "weights": TINY}) == ["faces", "videomae"]
    assert features({"name": "videomae", "weights": TINY, "input": "frame"}) == ["videomae"]
    own = {"name": "faces", "feature": "mine", "detect_every": 1}
    assert features(own, {"name": "videomae", "weights": TINY}) == ["faces", "mine", "videomae"]
    assert features({"name": "videomae", "weights": TINY}, {"name": "faces"}) == ["faces", "videomae"]


def test_the_section_of_an_extractor_holds_its_options_wherever_it_comes_from():
    config = RunConfig.model_validate(
        {
            "extractors": [{"name": "quality"}, {"name": "faces", "feature": "every", "detect_every": 1}],
            "faces": {"detector": "center", "detect_every": 7},
        }
    )
    options = {e.feature: e.options for e in build_extractors(config) if e.name == "faces"}
    assert (options["faces"].detector, options["faces"].detect_every) == ("center", 7)
    assert (options["every"].detector, options["every"].detect_every) == ("center", 1)
    assert [e.feature for e in build_extractors(config, ["quality"])] == ["faces", "quality"]
    assert [e.feature for e in build_extractors(config, ["faces"])] == ["faces"]
    with pytest.raises(RunError, match="faces: unknown detector 'haar'"):
        build_extractors(RunConfig.model_validate({"extractors": [{"name": "gemaps"}], "faces": {"detector": "haar"}}))


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
def test_progresss_count_each_clip_once(by_clip, capsys):
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    for progress in (Lines(), Bar(screen)):
        with reporting(progress):
            current_progress().begin(Plan((), clips=3, todo=3, seconds=9), "in this process")
            for i in range(3):
                if by_clip:
                    progress.clip_done(Clip(f"c{i}"), failed=i == 1)
                progress.shard_done(ShardReport(f"s{i}", 1, failed_clips=int(i == 1)))
        assert (progress.done, progress.failed, progress.left) == (3, 1, "0:00:00")
    assert "3/3 clips, 1 failed" in capsys.readouterr().err
    assert "3/3" in screen.file.getvalue()
    assert type(current_progress()) is Progress
