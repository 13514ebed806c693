"""What a year of nights leaves is bounded, and nothing that still says something goes."""

from __future__ import annotations

import json

import pytest

from storage.store import tidy
from storage.store.runs import owner, read_runs, wanted_digests


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Eight finished runs, the first of which alone knows of a feature, and one that is going on."""
    monkeypatch.setattr(tidy, "MOST_RECORDS", 4)
    monkeypatch.setattr(tidy, "MOST_TRACEBACKS", 2)
    (tmp_path / "runs").mkdir()
    for number in range(8):
        features = {"faces": "old"} if number == 0 else {"gemaps": f"d{number}"}
        write(tmp_path, f"r{number}", {"features": features, "state": "finished"})
    for number in (2, 6, 7):
        (tmp_path / "runs" / f"r{number}" / "errors").mkdir(parents=True)
    return tmp_path


def write(store, run, record):
    (store / "runs" / f"{run}.json").write_text(json.dumps({"run": run, "owner": owner(), **record}), encoding="utf-8")


def test_the_newest_stay_and_the_last_word_on_each_feature(store):
    wanted = wanted_digests(read_runs(store))
    assert tidy.tidy_runs(store) == 3
    assert [run["run"] for run in read_runs(store)] == ["r0", "r4", "r5", "r6", "r7"]
    assert sorted(p.name for p in (store / "runs").iterdir() if p.is_dir()) == ["r6", "r7"]
    assert wanted_digests(read_runs(store)) == wanted
    assert tidy.tidy_runs(store) == 0


def test_a_run_that_is_going_on_keeps_its_notes(store):
    write(store, "r1", {"features": {}, "state": "running"})
    (store / "runs" / "r1" / "flight").mkdir(parents=True)
    tidy.tidy_runs(store)
    assert (store / "runs" / "r1" / "flight").exists()
    assert (store / "runs" / "r1.json").exists()
