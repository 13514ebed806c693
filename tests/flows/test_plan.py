"""Planning and progress, without running anything."""

from __future__ import annotations

import io
import json
import urllib.request
from collections import Counter

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console

from configs.errors import RunError
from configs.schema import Cluster, RunConfig
from flows.engines.choice import check_engine, choose_engine
from flows.plan import Plan, build_extractors, make_context, new_run_id, with_engine
from flows.progress import Bar, Lines, Progress, current_progress, reporting
from flows.run import run_extraction
from storage.clip import Clip
from storage.manifest import Manifest, write_manifest
from storage.store import index_files
from storage.store.store import FeatureStore
from tests.media import write_clip

TINY = {"random": {"size": "tiny"}}


@pytest.fixture
def counted(monkeypatch):
    """Counts who opens a store, who lists its files, and who walks a manifest clip by clip."""
    found = Counter()

    def count(owner, name, key):
        real = getattr(owner, name)

        def counting(*arguments, **options):
            found[key] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, counting)

    count(FeatureStore, "__init__", "stores opened")
    count(index_files, "shard_names", "stores listed")
    count(Manifest, "__iter__", "manifests walked")
    return found


def test_no_worker_opens_or_lists_a_store_and_no_clip_of_it_is_looked_at_where_nothing_is_to_do(
    tmp_path, counted, server
):
    write_clip(tmp_path / "a.wav", seconds=0.2, video=False)
    write_manifest(tmp_path / "m.parquet", [Clip("a", audio="a.wav"), Clip("b", audio="a.wav")], tmp_path, "test")
    config = RunConfig.model_validate({"extractors": [{"name": "gemaps"}], "cluster": {"engine": "local"}})
    result = run_extraction(config, Manifest.open(tmp_path / "m.parquet"), tmp_path / "store")
    assert result.outcomes["stored"] == 2
    assert counted == {"stores opened": 1, "stores listed": 3, "manifests walked": 1}  # to write the store's own
    before = (tmp_path / "store" / "manifest.parquet").stat()
    counted.clear()
    assert run_extraction(config, Manifest.open(tmp_path / "m.parquet"), tmp_path / "store").todo == 0
    assert counted == {"stores opened": 1, "stores listed": 1}
    assert (tmp_path / "store" / "manifest.parquet").stat() == before


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


def test_ids_of_runs_sort_by_time_within_a_second_and_after_those_of_before():
    ids = [new_run_id() for _ in range(50)]
    assert sorted(ids) == ids
    second = ids[0][:15]
    assert f"{second}-ffffff" < ids[0]  # as merflow 0.1 spelt them


def test_a_clip_may_take_thirty_times_what_is_usual(tmp_path):
    def limit(usual=None, **cluster):
        config = RunConfig.model_validate({"extractors": [{"name": "gemaps"}], "cluster": cluster})
        context = make_context("r", config, tmp_path, {"c": tmp_path}, build_extractors(config), usual=usual)
        return context.limit(Clip("c", duration=10.0))

    assert limit() == 60 + 600 * 10
    assert limit(usual=2.0) == 60 + 30 * 2 * 10
    assert limit(usual=0.001) == 60 + 10 * 10
    assert limit(usual=2.0, clip_seconds=5, seconds_per_second=0) == 5


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
    with pytest.raises(RunError, match=r"unknown engine 'slurm'; engines: auto, local, dask, inline, a scheduler"):
        check_engine(Cluster(engine="slurm"))


def test_the_command_line_wins_over_the_configuration():
    config = RunConfig.model_validate({"extractors": [{"name": "gemaps"}], "cluster": {"engine": "dask", "workers": 3}})
    assert with_engine(config, None, None).cluster == config.cluster
    assert with_engine(config, "local", 5).cluster == Cluster(engine="local", workers=5)


def test_progress_counts_clips(capsys):
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    for progress in (Lines(), Bar(screen)):
        with reporting(progress):
            current_progress().begin(Plan((), clips=3, rows=np.arange(3), seconds=9), "in this process")
            for i in range(3):
                progress.clips_done(1, int(i == 1))
        assert (progress.done, progress.failed, progress.left) == (3, 1, "0:00:00")
    assert "3/3 clips, 1 failed" in capsys.readouterr().err
    assert "3/3" in screen.file.getvalue()
    assert type(current_progress()) is Progress
