"""One worker of several cannot do its work: others do it, it is named, and no clip is blamed."""

from __future__ import annotations

import html
import json

import pytest

from configs.errors import RunError
from flows.blame import Blame
from flows.engines.engine import WorkerFaultError, run_patiently
from flows.job import ShardReport
from flows.unforeseen import SameErrorsError, Unforeseen, kind_of
from storage.clip import Clip
from tests.flows.conftest import processes
from tests.flows.stores import assert_equal, times_computed
from tests.media import write_clip

pytestmark = pytest.mark.without_prefect  # but for real commands, which ask for the server

# The first process that decodes is the broken one; what it does is `{deed}`.
BROKEN = """
import os
from pathlib import Path
MARK = Path({mark!r})
def is_broken():
    try:
        with open(MARK, "x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        pass
    return MARK.read_text() == str(os.getpid())
{deed}
"""
RAISES = """
from extractors.core.media import clip_media
decode = clip_media.Media.decode
def broken(self):
    if is_broken():
        raise KeyError("not here")
    decode(self)
clip_media.Media.decode = broken
"""
CANNOT_LOAD = """
from flows import worker
load = worker.load_extractors
def broken(*arguments):
    if is_broken():
        raise ImportError("libdevice is missing")
    return load(*arguments)
worker.load_extractors = broken
"""
EVERYWHERE = RAISES.replace("if is_broken()", "if True")


@pytest.fixture
def corpus(merflow, tmp_path, request):
    """Short audio files, twelve or as many as are asked for: a configuration to write, and the command that runs it."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i in range(getattr(request, "param", 12)):
        write_clip(folder / f"clip_{i:02d}.wav", seconds=1.0 - i / 100, video=False)
    merflow("ingest", folder, "--out", tmp_path / "m.parquet")
    config = tmp_path / "corpus.yaml"
    return config, ["run", "-c", config, "-m", tmp_path / "m.parquet", "-s", tmp_path / "s"]


def run_broken(command, corpus, tmp_path, deed, seconds, expect=0):
    """Run with that deed planted in one worker, in shards of that length; give what was said, and the record."""
    corpus[0].write_text(f"extractors:\n  - {{name: gemaps}}\ncluster: {{shard_seconds: {seconds}}}\n")
    (tmp_path / "site").mkdir()
    code = BROKEN.format(mark=str(tmp_path / "mark"), deed=deed)
    (tmp_path / "site" / "sitecustomize.py").write_text(code, encoding="utf-8")
    line = [*corpus[1], "--engine", "dask", "--workers", "2"]
    ran = command(*line, expect=expect, PYTHONPATH=str(tmp_path / "site"))
    (record,) = (tmp_path / "s" / "runs").glob("*.json")
    return ran, json.loads(record.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("corpus", "deed", "seconds", "told"),
    [
        (12, RAISES, 0.5, "that another worker could do: KeyError: 'not here' (sitecustomize.py:"),
        pytest.param(40, RAISES, 5, "feature gemaps: KeyError: 'not here'", marks=pytest.mark.slow),
        pytest.param(12, CANNOT_LOAD, 1, "libdevice is missing", marks=pytest.mark.slow),
    ],
    ids=["one clip a shard", "many clips a shard", "cannot load"],
    indirect=["corpus"],
)
def test_other_workers_do_what_a_broken_one_cannot(command, merflow, status, corpus, tmp_path, deed, seconds, told):
    ran, record = run_broken(command, corpus, tmp_path, deed, seconds)
    found = status(tmp_path / "s")
    clips = len(list((tmp_path / "corpus").iterdir()))
    assert (found["clips"]["stored"], found["clips"]["failed"], found["missing"]) == (clips, 0, 0)
    (blamed,) = record["blamed"]
    assert blamed.startswith("worker tcp://127.0.0.1:")
    assert told in blamed
    assert "it gets no more shards" in blamed
    about_workers = [line for line in ran.stderr.splitlines() if " worker tcp://" in line]
    assert len(about_workers) <= 2  # the first clip, and that it gets no more
    assert told in about_workers[-1]
    assert "it gets no more shards" in about_workers[-1]
    assert f"look at {blamed}" in ran.stdout
    assert f"{clips}/{clips} clips, 0 failed" in ran.stderr
    merflow("report", tmp_path / "s", "--out", tmp_path / "report")
    page = html.unescape((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    assert blamed in page
    assert set(times_computed(tmp_path / "s").values()) == {1}
    merflow(*corpus[1][:-1], tmp_path / "whole")
    assert assert_equal(tmp_path / "s", tmp_path / "whole") == clips
    assert processes(str(tmp_path / "s")) == []


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 5])
def test_what_no_worker_can_do_ends_the_run_and_blames_no_clip(command, status, corpus, tmp_path, seconds):
    ran, _ = run_broken(command, corpus, tmp_path, EVERYWHERE, seconds, expect=2)
    (line,) = [line for line in ran.stderr.splitlines() if line.startswith("merflow:")]
    assert "KeyError: 'not here'" in line
    found = status(tmp_path / "s", expect=1)
    assert (found["clips"]["stored"], found["clips"]["failed"], found["missing"]) == (0, 0, 12)


class Workers:
    """An engine with two workers, by name."""

    name, workers = "two", 2

    def __init__(self) -> None:
        self.avoided = set()

    def has_other(self, worker):
        return bool({"one", "two"} - self.avoided - {worker})

    def avoid(self, worker):
        """The last one stays."""
        if not self.has_other(worker):
            return False
        self.avoided.add(worker)
        return True


def error_of(clip, where="x.py:1"):
    return Unforeseen(Clip(clip), "gemaps", "gemaps", "KeyError", "'k'", where)


def finished(blame, worker, shard, *, errors=(), succeeded=(), is_second=False):
    report = ShardReport(shard, 1, succeeded=set(succeeded), unforeseen=list(errors), address=worker)
    own, doubtful = blame.finished(report, is_second=is_second)
    if doubtful:
        blame.tried_elsewhere(f"{shard}-elsewhere1", worker, doubtful)
    return own, doubtful


def test_a_worker_is_avoided_after_three_clips_that_another_one_could_do():
    engine, said = Workers(), []
    blame = Blame(engine, said.append)
    for number in range(3):
        assert engine.avoided == set()
        _, doubtful = finished(blame, "one", f"s{number}", errors=[error_of(f"c{number}")])
        assert [error.clip.id for error in doubtful] == [f"c{number}"]
        assert finished(blame, "two", f"s{number}-elsewhere1", succeeded=["gemaps"], is_second=True) == ([], [])
    assert engine.avoided == {"one"}
    assert [line.partition(": KeyError")[0] for line in said] == [
        "worker one: 1 clip failed there that another worker could do",
        "worker one: 3 clips failed there that another worker could do",
    ]
    assert ["it gets no more shards" in line for line in said] == [False, True]
    assert list(blame.workers.values()) == said[-1:]


def test_what_an_avoided_worker_still_had_in_hand_is_tried_elsewhere_too():
    engine = Workers()
    blame = Blame(engine, lambda text: None)
    assert engine.avoid("one")
    own, doubtful = finished(blame, "one", "s9", errors=[error_of("c9")])
    assert (own, [error.clip.id for error in doubtful]) == ([], ["c9"])
    assert finished(blame, "two", "s8", errors=[error_of("c8")]) == ([], [])  # the last one: nobody else can try


def test_a_worker_that_succeeds_in_between_is_not_avoided():
    engine = Workers()
    blame = Blame(engine, lambda text: None)
    for number in range(5):
        finished(blame, "one", f"s{number}", errors=[error_of(f"c{number}")])
        finished(blame, "two", f"s{number}-elsewhere1", succeeded=["gemaps"], is_second=True)
        finished(blame, "one", f"t{number}", succeeded=["gemaps"])
    assert engine.avoided == set()


def test_an_error_on_two_workers_is_the_clips():
    engine = Workers()
    blame = Blame(engine, lambda text: None)
    finished(blame, "one", "s0", errors=[error_of("c0")])
    assert finished(blame, "two", "s0-elsewhere1", errors=[error_of("c0")], is_second=True) == ([], [])
    assert [error.clip.id for error in blame.pending()] == ["c0"]
    own, _ = finished(blame, "two", "s1", succeeded=["gemaps"])
    assert [error.clip.id for error in own] == ["c0"]
    assert (engine.avoided, blame.workers) == (set(), {})


def test_three_clips_with_the_same_error_on_two_workers_end_the_run():
    blame = Blame(Workers(), lambda text: None)
    for number in range(2):
        finished(blame, "one", f"s{number}", errors=[error_of(f"c{number}")])
        finished(blame, "two", f"s{number}-elsewhere1", errors=[error_of(f"c{number}")], is_second=True)
    finished(blame, "one", "s2", errors=[error_of("c2")])
    with pytest.raises(RunError, match="the same for c0, c1, c2 with no success in between"):
        finished(blame, "two", "s2-elsewhere1", errors=[error_of("c2")], is_second=True)


def test_two_workers_with_the_same_fault_end_the_run_unless_something_succeeded_in_between():
    def fault(worker):
        return WorkerFaultError(worker, ImportError("no such library"), "ImportError x.py:1")

    blame = Blame(Workers(), lambda text: None)
    blame.failed(fault("one"))
    blame.failed(fault("one"))  # it had two shards in hand
    finished(blame, "two", "s0", succeeded=["gemaps"])
    blame.failed(fault("two"))
    with pytest.raises(RunError, match=r"no such library .the same on two and on one, with no success in between"):
        blame.failed(fault("one"))
    assert len(blame.workers) == 2


def test_a_fault_of_one_feature_is_disproved_by_a_success_of_that_feature_alone():
    def fault(worker):
        return WorkerFaultError(worker, SameErrorsError("feature hubert: KeyError", "hubert", "hubert k"), "hubert k")

    blame = Blame(Workers(), lambda text: None)
    blame.failed(fault("one"))
    finished(blame, "two", "s0", succeeded=["gemaps"])
    with pytest.raises(RunError, match="hubert: KeyError"):
        blame.failed(fault("two"))


def test_the_last_worker_tries_again_after_a_pause_and_then_its_error_is_told():
    class One(Workers):
        tries = 0

        def run(self, job, on_clip):
            self.tries += 1
            raise WorkerFaultError("one", ValueError("hiccup"), "ValueError")

        def avoid(self, worker):
            return False

    engine, pauses = One(), []
    with pytest.raises(ValueError, match="hiccup"):
        run_patiently(engine, None, None, pauses.append)
    assert (engine.tries, pauses) == (3, [2.0, 10.0])


def test_errors_are_the_same_by_type_and_place():
    def caught(action):
        try:
            action()
        except Exception as error:  # noqa: BLE001
            return kind_of(error)

    def one():
        raise ValueError("a")

    assert caught(one) == caught(one) != caught(lambda: int("x"))
    assert kind_of(SameErrorsError("m", "f", "f KeyError x.py:1")) == "f KeyError x.py:1"
