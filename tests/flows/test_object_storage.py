"""Stores, manifests and media in S3: a real server, runs on it, and the faults of networks."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import fsspec
import numpy as np
import pytest

from configs.errors import ConfigError
from configs.paths import as_path, is_remote, local_path
from configs.schema import load_config
from flows.dispatch import Dispatch
from flows.run import Request, run_extraction
from storage import remote
from storage.manifest import Manifest
from storage.store.files import list_files, open_binary, shard_names
from storage.store.store import FeatureStore
from tests.flows.stores import assert_equal, times_computed
from tests.flows.test_survival import start
from tests.media import tone, write_clip
from tests.object_storage import BUCKET, SECRETS, Server, failing

pytestmark = pytest.mark.without_prefect
CLIPS, FEATURES = 6, 3
CONFIG = "extractors:\n  - {name: gemaps}\n  - {name: audio_quality}\ncluster: {publish_seconds: 1}\n"


@pytest.fixture(scope="module")
def server():
    s3 = Server()
    s3.start()
    yield s3
    s3.stop()


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    """The server, as this process and those that it starts find it; an empty place for each test."""
    point_at(monkeypatch, server.url)
    monkeypatch.setenv("MERFLOW_HOME", str(tmp_path / "home"))
    return f"s3://{BUCKET}/{tmp_path.name}"


def point_at(monkeypatch, url):
    for name, value in (SECRETS | {"AWS_ENDPOINT_URL": url, "AWS_MAX_ATTEMPTS": "3"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "_SILENT", {})
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "clips").mkdir()
    for i in range(CLIPS):
        write_clip(folder / "clips" / f"clip_{i}.wav", video=False, audio=tone(0.5 + 0.1 * i), rate=16_000)
    (folder / "c.yaml").write_text(CONFIG, encoding="utf-8")
    return folder


@pytest.fixture
def local(corpus, merflow, tmp_path):
    """The same clips in a store of this machine."""
    merflow("ingest", corpus / "clips", "--out", tmp_path / "m.parquet")
    merflow("run", "-c", corpus / "c.yaml", "-m", tmp_path / "m.parquet", "-s", tmp_path / "local")
    return tmp_path / "local"


def test_addresses_are_paths_of_their_own_kind(s3):
    path = as_path(f"{s3}/store")
    assert is_remote(path)
    assert str(path / "runs") == f"{s3}/store/runs"
    assert as_path(path) is path
    assert as_path("file:///tmp/a") == as_path("/tmp/a")
    assert str(as_path(os.fspath(f"s3:/{BUCKET}/x"))) == f"s3://{BUCKET}/x"  # as a command line's path has it
    with pytest.raises(ConfigError, match=r"http://a/b: merflow reads and writes files, folders and object storage"):
        as_path("http://a/b")
    with pytest.raises(ConfigError, match="expected a place on this machine's disk"):
        local_path(f"{s3}/out")


def test_everything_works_on_a_store_in_s3(s3, local, corpus, merflow, tmp_path):
    """Manifest, media and store lie in S3; the numbers are those of this machine's disk."""
    fs = fsspec.filesystem("s3")
    fs.put(str(corpus / "clips"), f"{s3}/", recursive=True)
    found = merflow("ingest", f"{s3}/clips", "--out", f"{s3}/m.parquet")
    assert f"Found {CLIPS} clips" in found.stdout
    store = f"{s3}/store"
    run = ("run", "-c", corpus / "c.yaml", "-m", f"{s3}/m.parquet", "-s", store)
    assert "complete" in merflow(*run).stdout
    assert assert_equal(as_path(store), local) == FEATURES * CLIPS
    before = shard_names(as_path(store) / "features")
    assert "complete" in merflow(*run).stdout
    assert shard_names(as_path(store) / "features") == before
    assert merflow("verify", store).stdout.startswith("0 problems")
    assert json.loads(merflow("status", store, "--json").stdout)["features"]["gemaps"]["stored"] == CLIPS
    assert "clip_3" in merflow("inspect", store, "clip_3").stdout
    merflow("export", "csd", store, tmp_path / "out")
    merflow("export", "csd", local, tmp_path / "expected")
    assert (tmp_path / "out/gemaps.csd").stat().st_size == (tmp_path / "expected/gemaps.csd").stat().st_size
    merflow("report", store)
    names = {name.partition("store_report/")[2] for name in fs.find(f"{s3}/store_report")}
    assert {"index.html", "facts.json"} & names
    said = merflow("doctor", "--store", store, "-c", corpus / "c.yaml").stdout
    assert "what is written is listed at once: runs can share the work" in said
    assert "object storage, whose space nobody knows" in said
    merflow("compact", store)
    assert len(shard_names(as_path(store) / "features")) == FEATURES
    assert assert_equal(as_path(store), local) == FEATURES * CLIPS
    merflow("forget", store, "clip_5")
    with FeatureStore(store) as opened:
        assert opened.clip_ids("gemaps") == [f"clip_{i}" for i in range(5)]
    merflow(*run)
    assert assert_equal(as_path(store), local) == FEATURES * CLIPS
    merflow("drop", store, "audio_quality")
    merflow("relocate", store, f"clips={corpus / 'clips'}")
    merflow(*run[:-4], "-m", f"{s3}/m.parquet", "-s", store)
    assert assert_equal(as_path(store), local) == FEATURES * CLIPS


def test_a_changed_object_is_noticed_and_a_missing_one_is_one_clip(s3, corpus, merflow):
    fs = fsspec.filesystem("s3")
    fs.put(str(corpus / "clips"), f"{s3}/", recursive=True)
    merflow("ingest", f"{s3}/clips", "--out", f"{s3}/m.parquet")
    fs.rm_file(f"{s3}/clips/clip_1.wav")
    fs.put_file(str(corpus / "clips/clip_3.wav"), f"{s3}/clips/clip_2.wav")
    run = ("run", "-c", corpus / "c.yaml", "-m", f"{s3}/m.parquet", "-s", f"{s3}/store")
    merflow(*run, expect=1)
    with FeatureStore(f"{s3}/store") as store:
        reasons = {(f.clip_id, f.reason) for f in store.failures if f.feature == "gemaps"}
    assert reasons == {("clip_1", "missing_file"), ("clip_2", "media_changed")}
    fs.put_file(str(corpus / "clips/clip_1.wav"), f"{s3}/clips/clip_1.wav")
    fs.put_file(str(corpus / "clips/clip_2.wav"), f"{s3}/clips/clip_2.wav")
    assert "complete" in merflow(*run).stdout


FAULTS = {  # every how many requests, of which methods, how often
    "drop": (5, ("GET", "PUT", "HEAD"), 12),
    "busy": (9, ("GET", "PUT", "HEAD"), 3),
    "cut": (4, ("GET",), 4),
    "slow": (7, ("GET", "PUT", "HEAD"), 6),
}


def faults(kind):
    every, methods, most = FAULTS[kind]
    made = []

    def fault(number, method, path):
        if number % every != every - 1 or method not in methods or len(made) >= most:
            return ""
        made.append(number)
        return kind

    return fault


@pytest.mark.parametrize("kind", ["cut", *(pytest.param(k, marks=pytest.mark.slow) for k in ("drop", "busy", "slow"))])
def test_faults_of_the_network_change_nothing(s3, server, local, corpus, merflow, monkeypatch, kind):
    fsspec.filesystem("s3").put(str(corpus / "clips"), f"{s3}/", recursive=True)
    with failing(server, faults(kind)) as (url, made):
        point_at(monkeypatch, url)
        merflow("ingest", f"{s3}/clips", "--out", f"{s3}/m.parquet")
        run = ("run", "-c", corpus / "c.yaml", "-m", f"{s3}/m.parquet", "-s", f"{s3}/store")
        assert "complete" in merflow(*run).stdout
        assert assert_equal(as_path(f"{s3}/store"), local) == FEATURES * CLIPS
        assert made
    assert set(times_computed(as_path(f"{s3}/store")).values()) == {1}


def test_storage_that_falls_silent_ends_the_run_with_one_line(
    s3, server, local, corpus, merflow, monkeypatch, tmp_path
):
    """Uploads of shard files stop to arrive after the first: what is there stays, the same command resumes."""
    silent = threading.Event()

    def fault(number, method, path):
        is_shard = method == "PUT" and "/features/" in path
        if is_shard and path.split("?")[0].endswith("-p001.h5"):
            silent.set()
        return "drop" if silent.is_set() else ""

    run = ("run", "-c", corpus / "c.yaml", "-m", tmp_path / "m.parquet", "-s", f"{s3}/store")
    monkeypatch.setattr("flows.publisher.PART_BYTES", 1)  # each clip is published by itself
    with failing(server, fault) as (url, _):
        point_at(monkeypatch, url)
        begin = time.monotonic()
        said = merflow(*run, expect=2).stderr.strip().splitlines()
        assert time.monotonic() - begin < 30
    assert said[-1].startswith("merflow: s3://")
    assert "cannot be reached" in said[-1]
    assert "Traceback" not in "\n".join(said)
    point_at(monkeypatch, server.url)
    before = times_computed(as_path(f"{s3}/store"))
    assert 0 < len(before) < FEATURES * CLIPS
    assert "complete" in merflow(*run).stdout
    after = times_computed(as_path(f"{s3}/store"))
    assert set(after.values()) == {1}
    assert assert_equal(as_path(f"{s3}/store"), local) == FEATURES * CLIPS


def test_two_runs_share_the_clips(s3, local, corpus, monkeypatch, tmp_path):
    both, begin = threading.Barrier(2, timeout=60), Dispatch.start

    def start_together(dispatch):
        both.wait()
        begin(dispatch)

    monkeypatch.setattr(Dispatch, "start", start_together)
    monkeypatch.setattr("flows.prefect_flow.run_flow", lambda dispatch, *_: dispatch.go())
    config, store = load_config(str(corpus / "c.yaml")), as_path(f"{s3}/store")
    FeatureStore.create(store)

    def run(_):
        return run_extraction(config, Manifest.open(tmp_path / "m.parquet"), store, Request())

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, "ab"))
    assert sum(result.outcomes["stored"] for result in results) == FEATURES * CLIPS
    assert set(times_computed(store).values()) == {1}
    assert list_files(store, "leases/*") == []
    assert assert_equal(store, local) == FEATURES * CLIPS


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "dask"])
def test_a_killed_run_leaves_whole_files_and_the_same_command_completes(
    s3, local, corpus, environment, merflow, tmp_path, engine
):
    store = as_path(f"{s3}/store")
    ours = environment | {k: os.environ[k] for k in (*SECRETS, "AWS_ENDPOINT_URL", "MERFLOW_HOME")}
    line = ["run", "-c", corpus / "c.yaml", "-m", tmp_path / "m.parquet", "-s", str(store), "--engine", engine]
    run = start([*line, "--workers", "1"], ours)
    deadline = time.monotonic() + 120
    while run.poll() is None and not times_computed(store) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    assert "complete" in merflow(*line[:-2], "--engine", "local").stdout
    assert set(times_computed(store).values()) == {1}
    assert assert_equal(store, local) == FEATURES * CLIPS


def test_copies_are_kept_within_a_bound(s3, monkeypatch, tmp_path):
    monkeypatch.setenv("MERFLOW_CACHE_GB", "0.00003")  # three files of ten kilobytes
    monkeypatch.setattr(remote, "_LATELY", 0.0)
    fs = fsspec.filesystem("s3")
    for i in range(6):
        fs.pipe_file(f"{s3}/f{i}.bin", bytes([i]) * 10_000)
    copies = tmp_path / "home" / "copies"
    for i in (0, 1, 2, 0, 3, 4, 0, 5):
        assert remote.local_copy(as_path(f"{s3}/f{i}.bin")).read_bytes() == bytes([i]) * 10_000
        assert sum(f.stat().st_size for f in copies.rglob("*") if f.is_file()) <= 30_000
        time.sleep(0.01)
    assert {f.name for f in copies.rglob("*.bin")} == {"f0.bin", "f4.bin", "f5.bin"}
    fs.pipe_file(f"{s3}/f0.bin", b"new")
    assert remote.local_copy(as_path(f"{s3}/f0.bin")).read_bytes() == b"new"


def test_one_clip_is_read_without_the_rest_of_its_file(s3, server, monkeypatch):
    content = np.arange(4 << 20, dtype=np.uint8).tobytes()
    fsspec.filesystem("s3").pipe_file(f"{s3}/large.bin", content)
    ranges = []

    def watch(number, method, path):
        ranges.extend([path] if method == "GET" and "large" in path else [])
        return ""

    with failing(server, watch) as (url, _):
        point_at(monkeypatch, url)
        with open_binary(as_path(f"{s3}/large.bin")) as file:
            file.seek(3 << 20)
            got = bytearray(1000)
            assert file.readinto(got) == 1000
    assert bytes(got) == content[3 << 20 :][:1000]
    assert len(ranges) == 1
