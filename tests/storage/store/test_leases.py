"""Leases: no pair is held twice, however claims fall together; dead runs hold nothing."""

from __future__ import annotations

import json
import threading
import time

import pytest

from storage.store import leases as module
from storage.store.layout import beat_path, lease_path
from storage.store.leases import Leases

OLD, NEW = "20260101T000000000000-aaaaaa", "20260101T000000000001-bbbbbb"


@pytest.fixture
def pair(tmp_path):
    both = Leases(tmp_path, OLD), Leases(tmp_path, NEW)
    yield both
    for one in both:
        one.close()


def test_what_one_run_holds_another_one_does_not_get(pair):
    old, new = pair
    assert new.claim(f"{NEW}-0", {"a": ["x", "y"], "b": ["x"]}) == {"a": {"x", "y"}, "b": {"x"}}
    assert old.claim(f"{OLD}-0", {"a": ["y"], "b": ["z"], "c": ["x"]}) == {"b": {"z"}, "c": {"x"}}
    assert (old.others(), new.others()) == ({NEW}, {OLD})
    new.release(f"{NEW}-0")
    assert old.claim(f"{OLD}-1", {"a": ["y"]}) == {"a": {"y"}}
    assert new.claim(f"{NEW}-1", {"a": ["x", "y"]}) == {}  # a clip is taken whole: one feature may need another
    assert new.others() == {OLD}


def test_claims_at_the_same_time_never_hold_a_pair_twice(pair, tmp_path):
    """Eight hundred claims of two runs over the same few clips, each held for a moment."""
    holding: dict[str, str] = {}
    twice = []
    granted = [0, 0]

    def go(which):
        leases, run = pair[which], (OLD, NEW)[which]
        for i in range(400):
            shard = f"{run}-{i}"
            free = leases.claim(shard, {f"c{(i + k) % 5}": ["x"] for k in range(2)})
            twice.extend((clip, shard) for clip in free if holding.setdefault(clip, shard) != shard)
            granted[which] += len(free)
            for clip in free:
                holding.pop(clip)
            leases.release(shard)

    threads = [threading.Thread(target=go, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert twice == []
    assert min(granted) > 0


def test_the_newer_of_two_claims_gives_way_and_the_older_one_waits_for_that(pair, tmp_path):
    old, _ = pair
    claiming = {"run": NEW, "state": "claiming", "pairs": {"a": ["x"]}}
    lease_path(tmp_path, f"{NEW}-0").write_text(json.dumps(claiming), encoding="utf-8")
    got = []
    thread = threading.Thread(target=lambda: got.append(old.claim(f"{OLD}-0", {"a": ["x"]})))
    thread.start()
    time.sleep(0.3)
    assert got == []
    lease_path(tmp_path, f"{NEW}-0").write_text(json.dumps(claiming | {"state": "held"}), encoding="utf-8")
    thread.join(10)
    assert got == [{}]  # it had looked before this claim was written
    claiming = {"run": OLD, "state": "claiming", "pairs": {"b": ["x"]}}
    lease_path(tmp_path, f"{OLD}-1").write_text(json.dumps(claiming), encoding="utf-8")
    assert pair[1].claim(f"{NEW}-1", {"b": ["x"]}) == {}


def test_a_run_elsewhere_whose_counter_stands_still_is_dead_by_the_observer_s_clock(pair, tmp_path, monkeypatch):
    old, _ = pair
    other = "20250101T000000000000-cccccc"
    owner = {"host": "another", "pid": 1, "since": 0}
    beat = {"beat": 7, "owner": owner, "now": "2031-01-01"}
    beat_path(tmp_path, other).write_text(json.dumps(beat), encoding="utf-8")
    held = {"run": other, "state": "held", "pairs": {"a": ["x"]}}
    lease_path(tmp_path, f"{other}-0").write_text(json.dumps(held), encoding="utf-8")
    assert old.claim(f"{OLD}-0", {"a": ["x"]}) == {}
    clock = time.monotonic() + module.EXPIRY_SECONDS - 5
    monkeypatch.setattr(module.time, "monotonic", lambda: clock)
    assert old.claim(f"{OLD}-0", {"a": ["x"]}) == {}
    beat_path(tmp_path, other).write_text(json.dumps(beat | {"beat": 8}), encoding="utf-8")
    assert old.claim(f"{OLD}-0", {"a": ["x"]}) == {}
    clock += module.EXPIRY_SECONDS + 1
    assert old.claim(f"{OLD}-0", {"a": ["x"]}) == {"a": {"x"}}
    old.close()
    assert not lease_path(tmp_path, f"{other}-0").exists()
    assert not beat_path(tmp_path, other).exists()


def test_a_dead_process_of_this_machine_holds_nothing(pair, tmp_path):
    old, new = pair
    new.claim(f"{NEW}-0", {"a": ["x"]})
    beat = json.loads(beat_path(tmp_path, NEW).read_text(encoding="utf-8"))
    beat["owner"]["since"] -= 100
    beat_path(tmp_path, NEW).write_text(json.dumps(beat), encoding="utf-8")
    assert old.claim(f"{OLD}-0", {"a": ["x"]}) == {"a": {"x"}}
    assert old.others() == set()
