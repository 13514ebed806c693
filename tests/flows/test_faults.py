"""Faults planted in real runs: clips that kill, hang, eat memory or raise; disks that are full; media that go away."""

from __future__ import annotations

import json
import re
import shutil
from unittest import mock

import pytest

from extractors.core.media.clip_media import Media
from tests.flows.conftest import processes
from tests.flows.stores import assert_equal, times_computed
from tests.media import write_clip

pytestmark = pytest.mark.without_prefect  # but for real commands, which ask for the server
ENGINES = ["local", pytest.param("dask", marks=pytest.mark.slow)]

# What each clip does when it is decoded; in every process of the command.
POISON = """
import ctypes, os, time
from extractors.core.media import clip_media
decode = clip_media.Media.decode
def hang(_):
    while True:
        time.sleep(60)
def eat(_):
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20) * 16))
def fail(_):
    raise KeyError("not there")
POISONS = {
    "clip_1": lambda media: ctypes.string_at(0),
    "clip_3": lambda media: os.abort(),
    "clip_4": lambda media: os._exit(0),
    "clip_6": hang,
    "clip_7": eat,
    "clip_9": fail,
}
def deadly(self):
    (POISONS.get(self.clip.id, decode) if self.clip.id in {chosen} else decode)(self)
clip_media.Media.decode = deadly
"""
SAME = r"the same for clip_\d, clip_\d, clip_\d with no success in between"
REASONS = {
    "clip_1": "crash", "clip_3": "crash", "clip_4": "crash",
    "clip_6": "timeout", "clip_7": "out_of_memory", "clip_9": "error",
}  # fmt: skip


@pytest.fixture
def planted(tmp_path):
    """Plant code into every process of a command; gives the environment for it."""

    def plant(code):
        folder = tmp_path / "planted"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
        return {"PYTHONPATH": str(folder)}

    return plant


@pytest.fixture
def ten(merflow, tmp_path):
    """Ten short audio files, their manifest, and a configuration with small limits."""
    folder = tmp_path / "ten"
    folder.mkdir()
    for i in range(10):
        write_clip(folder / f"clip_{i}.wav", seconds=1.0 - i / 100, video=False)
    merflow("ingest", folder, "--out", tmp_path / "m.parquet")
    config = tmp_path / "ten.yaml"
    limits = "{clip_seconds: 6, seconds_per_second: 0, worker_gib: 0.8, shard_seconds: 5}"
    config.write_text(f"extractors:\n  - {{name: gemaps}}\ncluster: {limits}\n", encoding="utf-8")
    return folder, ["run", "-c", config, "-m", tmp_path / "m.parquet", "-s", tmp_path / "s"]


@pytest.mark.parametrize(
    ("engine", "chosen"),
    [
        ("local", ["clip_1", "clip_9"]),
        pytest.param("local", [*REASONS], marks=pytest.mark.slow),
        pytest.param("dask", [*REASONS], marks=pytest.mark.slow),
    ],
)
def test_a_clip_that_does_something_terrible_fails_alone(
    merflow, command, status, ten, planted, tmp_path, engine, chosen
):
    line = [*ten[1], "--engine", engine, "--workers", "2"]
    poisoned = planted(POISON.replace("{chosen}", repr(chosen)))
    said = command(*line, expect=1, **poisoned)
    found, bad = status(tmp_path / "s", expect=1), len(chosen)
    reasons = {f["clip_id"]: f["reason"] for f in found["failures"]}
    assert reasons == {clip: REASONS[clip] for clip in chosen}, found["failures"]
    assert (found["clips"]["stored"], found["clips"]["failed"], found["missing"]) == (10 - bad, bad, 0)
    assert f"10/10 clips, {bad} failed" in said.stderr
    messages = {f["clip_id"]: f["message"] for f in found["failures"]}
    assert messages["clip_9"].startswith("KeyError: 'not there' (sitecustomize.py:")
    (record,) = (tmp_path / "s" / "runs").glob("*.json")
    kept = record.with_suffix("") / "errors" / "clip_9.gemaps.txt"
    assert "Traceback" in kept.read_text(encoding="utf-8")
    assert [path.name for path in record.with_suffix("").iterdir()] == ["errors"]
    assert "clip_7" not in messages or "MiB held, at most 819 MiB" in messages["clip_7"]
    again = merflow(*ten[1], expect=1)
    assert f"{bad} clips failed: merflow retry" in again.stdout
    assert set(times_computed(tmp_path / "s").values()) == {1}
    merflow("retry", tmp_path / "s")
    healed = status(tmp_path / "s")
    assert (healed["clips"]["stored"], healed["clips"]["failed"]) == (10, 0)
    assert processes(str(tmp_path / "s")) == []


def test_the_same_unforeseen_error_everywhere_stops_the_run_and_blames_no_clip(merflow, status, ten, tmp_path):
    def broken(_):
        raise KeyError("not there")

    with mock.patch.object(Media, "decode", broken):
        line = merflow(*ten[1], expect=2).stderr.splitlines()[-1]
    assert "merflow: feature gemaps: KeyError: 'not there' (test_faults.py:" in line
    assert re.search(SAME, line)
    found = status(tmp_path / "s", expect=1)
    assert (found["clips"]["stored"], found["clips"]["failed"], found["missing"]) == (0, 0, 10)
    merflow(*ten[1])
    assert set(times_computed(tmp_path / "s").values()) == {1}


def test_unforeseen_errors_of_shards_with_one_clip_each_are_counted_together(merflow, status, ten, tmp_path):
    """Two errors with a success after them are their clips' own, wherever these ran."""
    config = ten[1][2]
    config.write_text(config.read_text(encoding="utf-8").replace("shard_seconds: 5", "shard_seconds: 0.5"))
    decode = Media.decode

    def broken(media):
        if media.clip.id in fail:
            raise KeyError("not there")
        decode(media)

    with mock.patch.object(Media, "decode", broken):
        fail = {"clip_2", "clip_3", "clip_9"}
        merflow(*ten[1], expect=1)
        failed = {f["clip_id"]: f["reason"] for f in status(tmp_path / "s", expect=1)["failures"]}
        assert failed == dict.fromkeys(fail, "error")
        fail = {"clip_0", "clip_1", "clip_2", "clip_3"}
        assert re.search(SAME, merflow(*ten[1][:-1], tmp_path / "t", expect=2).stderr)
    assert status(tmp_path / "t", expect=1)["clips"]["failed"] == 0


# The third shard file cannot be written, nor anything after it.
FULL = """
import errno, os
from pathlib import Path
from storage import atomic
replace, LIMIT = os.replace, {limit}
def full(source, target):
    if str(target).endswith(".h5") and len(list(Path({store!r}).rglob("*.h5"))) >= LIMIT:
        raise OSError(errno.{error}, os.strerror(errno.{error}), str(target))
    replace(source, target)
atomic.os.replace = full
from extractors.core.media import clip_media
decode = clip_media.Media.decode
def noted(self):
    with open({log!r}, "a") as file:
        file.write(self.clip.id + "\\n")
    decode(self)
clip_media.Media.decode = noted
"""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param("ENOSPC", "no space left on the device", marks=pytest.mark.slow),
        pytest.param("EDQUOT", "the disk quota is used up", marks=pytest.mark.slow),
        pytest.param("EROFS", "the file system is read-only", marks=pytest.mark.slow),
    ],
)
def test_a_store_that_cannot_be_written_ends_the_run(merflow, command, ten, planted, tmp_path, error, words, engine):
    config = ten[1][2]
    config.write_text(config.read_text(encoding="utf-8").replace("shard_seconds: 5", "shard_seconds: 1"))
    log = tmp_path / "decoded.txt"
    code = FULL.format(limit=2, store=str(tmp_path / "s"), error=error, log=str(log))
    line = [*ten[1], "--engine", engine, "--workers", "2"]
    said = command(*line, expect=2, **planted(code)).stderr
    (told,) = [text for text in said.splitlines() if text.startswith("merflow:")]
    assert words in told
    assert str(tmp_path / "s") in told
    assert "What was stored before is safe" in told
    decoded = log.read_text(encoding="utf-8").splitlines()
    stored, workers = times_computed(tmp_path / "s"), 2 if engine == "dask" else 1
    assert 2 <= len(stored) <= 1 + workers
    assert len(decoded) == len(set(decoded)) <= len(stored) + workers  # each once: those stored, and those in hand
    (record,) = (tmp_path / "s" / "runs").glob("*.json")
    assert json.loads(record.read_text(encoding="utf-8"))["state"] == "failed"
    merflow(*ten[1])
    assert set(times_computed(tmp_path / "s").values()) == {1}
    merflow(*ten[1][:-1], tmp_path / "whole")
    assert assert_equal(tmp_path / "s", tmp_path / "whole") == 10


@pytest.mark.parametrize("gone", ["ten", "s"])
def test_a_folder_that_goes_away_ends_the_run(merflow, status, ten, tmp_path, gone):
    folder, away, store, decode = tmp_path / gone, tmp_path / "away", tmp_path / "s", Media.decode

    def going(media):
        decode(media)
        if media.clip.id == "clip_2":
            shutil.move(folder, away)

    with mock.patch.object(Media, "decode", going):
        (told,) = [li for li in merflow(*ten[1], expect=2).stderr.splitlines() if li.startswith("merflow:")]
    assert f"{folder}: the {'media folder' if gone == 'ten' else 'store'} is not there" in told
    shutil.rmtree(folder, ignore_errors=True)
    shutil.move(away, folder)
    if gone == "ten":
        assert status(store, expect=1)["clips"]["failed"] == 0
    merflow(*ten[1])
    assert len(times_computed(store)) == 10
    assert set(times_computed(store).values()) == {1}
