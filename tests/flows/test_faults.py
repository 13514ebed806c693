"""Faults planted in real runs: clips that kill, hang, eat memory or raise; disks that are full; media that go away."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.flows.conftest import processes
from tests.flows.stores import assert_equal, times_computed
from tests.media import write_clip

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
    again = command(*line, expect=1, **poisoned)
    assert f"{bad} clips failed: merflow retry" in again.stdout
    assert set(times_computed(tmp_path / "s").values()) == {1}
    merflow("retry", tmp_path / "s")
    healed = status(tmp_path / "s")
    assert (healed["clips"]["stored"], healed["clips"]["failed"]) == (10, 0)
    assert processes(str(tmp_path / "s")) == []


def test_the_same_unforeseen_error_everywhere_stops_the_run_and_blames_no_clip(command, status, ten, planted, tmp_path):
    broken = planted(POISON.replace("{chosen}", "[]").replace("else decode)(self)", "else fail)(self)"))
    said = command(*ten[1], "--engine", "local", expect=2, **broken).stderr
    (line,) = [text for text in said.splitlines() if text.startswith("merflow:")]
    assert "feature gemaps: KeyError: 'not there' (sitecustomize.py:" in line
    assert "the same for clip_" in line
    found = status(tmp_path / "s", expect=1)
    assert (found["clips"]["stored"], found["clips"]["failed"], found["missing"]) == (0, 0, 10)
    command(*ten[1], "--engine", "local")
    assert set(times_computed(tmp_path / "s").values()) == {1}


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
        ("ENOSPC", "no space left on the device"),
        pytest.param("EDQUOT", "the disk quota is used up", marks=pytest.mark.slow),
        pytest.param("EROFS", "the file system is read-only", marks=pytest.mark.slow),
    ],
)
def test_a_store_that_cannot_be_written_ends_the_run(command, ten, planted, tmp_path, error, words, engine):
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
    command(*ten[1], "--engine", "local")
    assert set(times_computed(tmp_path / "s").values()) == {1}
    command(*ten[1][:-1], tmp_path / "whole", "--engine", "local")
    assert assert_equal(tmp_path / "s", tmp_path / "whole") == 10


GOING = """
import shutil
from pathlib import Path
from extractors.core.media import clip_media
decode = clip_media.Media.decode
def going(self):
    decode(self)
    if self.clip.id == "clip_2" and Path({gone!r}).exists():
        shutil.move({gone!r}, {gone!r} + "-away")
clip_media.Media.decode = going
"""


@pytest.mark.parametrize("gone", ["ten", "s"])
def test_a_folder_that_goes_away_ends_the_run(command, status, ten, planted, tmp_path, gone):
    folder, store = tmp_path / gone, tmp_path / "s"
    code = planted(GOING.format(gone=str(folder)))
    said = command(*ten[1], "--engine", "local", expect=2, **code).stderr
    (told,) = [text for text in said.splitlines() if text.startswith("merflow:")]
    assert f"{folder}: the {'media folder' if gone == 'ten' else 'store'} is not there" in told
    shutil.rmtree(folder, ignore_errors=True)
    shutil.move(f"{folder}-away", folder)
    if gone == "ten":
        assert status(store, expect=1)["clips"]["failed"] == 0
    command(*ten[1], "--engine", "local")
    assert len(times_computed(store)) == 10
    assert set(times_computed(store).values()) == {1}
