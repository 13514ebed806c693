"""Records of runs: what a second of media usually takes."""

from __future__ import annotations

import pytest

from storage.store.runs import usual_rate, write_run


def record(**changes):
    done = {"state": "finished", "features": {"a": "1", "b": "2"}, "media_seconds": 100.0}
    return done | {"seconds": {"decode": 20.0, "a": 30.0, "b": 100.0, "a.model": 29.0}} | changes


def test_what_is_usual_is_told_by_the_last_finished_run_with_these_features(tmp_path):
    assert usual_rate(tmp_path, ["a"]) is None
    write_run(tmp_path, "1", record())
    write_run(tmp_path, "2", record(seconds={"decode": 40.0, "a": 60.0}))
    write_run(tmp_path, "3", record(state="crashed", seconds={"a": 9.0}))
    write_run(tmp_path, "4", record(media_seconds=3.0, seconds={"a": 9.0}))
    write_run(tmp_path, "5", record(features={"b": "2"}))
    assert usual_rate(tmp_path, ["a"]) == pytest.approx(1.0)
    assert usual_rate(tmp_path, ["b"]) == pytest.approx(1.2)
    assert usual_rate(tmp_path, ["c"]) is None
