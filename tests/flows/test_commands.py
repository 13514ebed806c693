"""The command line on real files: what a user types, what comes back, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import opensmile
import pytest

from configs.home import host_name
from extractors.core.media.clip_media import Media
from flows import job
from storage import open_store
from tests.flows.stores import visible_files
from tests.media import write_clip
from tests.odd_media import encode, noise, remux

pytestmark = (
    pytest.mark.without_prefect
)  # the same path with its server: test_stories, test_survival, test_plugins_outside


def ingested(merflow, corpus, tmp_path):
    manifest = tmp_path / "manifest.parquet"
    merflow("ingest", corpus, "--out", manifest)
    return manifest


def test_help_answers_fast():
    durations = []
    for _ in range(3):
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "flows.cli", "--help"], capture_output=True, text=True, check=True)
        durations.append(time.perf_counter() - begin)
    assert "ingest" in done.stdout
    bare = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import typer, rich.panel"], check=True)
    bare = time.perf_counter() - bare
    assert min(durations) < max(1.0, 3 * bare)


def test_importing_merflow_brings_no_heavy_library():
    code = "import sys, merflow; print([m for m in ('torch', 'prefect', 'dask', 'distributed') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_whole_path_and_a_second_run_that_finds_nothing_to_do(merflow, status, corpus, config, tmp_path):
    manifest = ingested(merflow, corpus, tmp_path)
    store = tmp_path / "store"
    first = merflow("run", "-c", config, "-m", manifest, "-s", store)
    assert "3 of 3 clips to do" in first.stderr
    assert "complete" in first.stdout
    files = visible_files(store)
    again = merflow("run", "-c", config, "-m", manifest, "-s", store)
    assert "nothing to do" in again.stdout
    assert visible_files(store) == files
    (record,) = (json.loads(path.read_text(encoding="utf-8")) for path in (store / "runs").glob("*.json"))
    assert sum(shard["clips"] for shard in record["shards"]) == 3
    assert {shard["worker"] for shard in record["shards"]} == {f"{host_name()}:{os.getpid()}"}
    assert 0 < max(shard["seconds"] for shard in record["shards"]) < 60
    found = status(store)
    assert {k: found[k] for k in ("planned", "stored", "failed", "skipped", "stale", "missing")} == {
        "planned": 6, "stored": 6, "failed": 0, "skipped": 0, "stale": 0, "missing": 0,
    }  # fmt: skip
    assert found["features"]["gemaps"]["stored"] == 3
    assert found["clips"]["stored"] == 3
    assert found["synthetic"] == []
    assert "0 problems in 6" in merflow("verify", store).stdout


def test_the_stored_gemaps_equal_opensmile_bit_for_bit(merflow, corpus, config, tmp_path):
    store = tmp_path / "store"
    merflow("run", "-c", config, "--corpus", "folder", corpus, "-s", store, "--features", "gemaps")
    opened = open_store(store)
    assert list(opened.specs) == ["gemaps"]
    smile = opensmile.Smile(opensmile.FeatureSet.GeMAPSv01b, opensmile.FeatureLevel.LowLevelDescriptors)
    for clip in opened.clips():
        media = Media(clip, opened.manifest.root_of(clip), video=False)
        media.decode()
        expected = smile.process_signal(media.audio().samples, 16_000).to_numpy(dtype=np.float32)
        assert opened.get(clip.id, "gemaps").values.tobytes() == expected.tobytes()


def test_a_feature_added_later_is_all_that_is_computed(merflow, status, corpus, config, tmp_path):
    manifest, store = ingested(merflow, corpus, tmp_path), tmp_path / "store"
    merflow("run", "-c", config, "-m", manifest, "-s", store, "--features", "gemaps")
    before = {f: (store / f).read_bytes() for f in visible_files(store) if f.endswith(".h5")}
    merflow("run", "-c", config, "-m", manifest, "-s", store)
    assert {f: (store / f).read_bytes() for f in before} == before
    new = [f for f in visible_files(store) if f.endswith(".h5") and f not in before]
    assert all("/functionals/" in f for f in new)
    assert status(store)["stored"] == 6


def test_bad_files_among_good_ones(merflow, status, corpus, config, tmp_path):
    good = (corpus / "clip_0.mp4").read_bytes()
    (corpus / "bad_cut.mp4").write_bytes(good[: len(good) // 2])
    (corpus / "bad_zero.mp4").write_bytes(b"")
    (corpus / "bad_text.mp4").write_text("only words\n" * 50, encoding="utf-8")
    write_clip(corpus / "bad_mute.mp4", audio=None)
    manifest, store = ingested(merflow, corpus, tmp_path), tmp_path / "store"
    merflow("run", "-c", config, "-m", manifest, "-s", store, expect=1)
    found = status(store, expect=1)
    assert (found["clips"]["stored"], found["clips"]["failed"], found["missing"]) == (3, 4, 0)
    expected = {"bad_cut": "undecodable", "bad_zero": "empty_file", "bad_text": "undecodable", "bad_mute": "no_audio"}
    assert {f["clip_id"]: f["reason"] for f in found["failures"]} == expected
    pairs = [(f["clip_id"], f["feature"]) for f in found["failures"]]
    assert len(pairs) == len(set(pairs)) == 8
    shown = merflow("status", store, expect=1).stdout
    for clip_id, reason in expected.items():
        assert shown.count(f"failed {clip_id}: {reason}:") == 1
    again = merflow("run", "-c", config, "-m", manifest, "-s", store, expect=1)
    assert "nothing to do" not in again.stdout
    assert f"4 clips failed: merflow retry {store}" in again.stdout


def test_missing_audio_is_skipped_where_the_configuration_says_so(merflow, status, corpus, config, tmp_path):
    write_clip(corpus / "mute.mp4", audio=None)
    config.write_text(config.read_text(encoding="utf-8") + "no_audio: skip\n", encoding="utf-8")
    store = tmp_path / "store"
    merflow("run", "-c", config, "--corpus", "folder", corpus, "-s", store)
    found = status(store)
    assert (found["stored"], found["skipped"], found["failed"], found["failures"]) == (6, 2, 0, [])


def test_a_repaired_file_is_tried_again(merflow, status, corpus, config, tmp_path):
    good = (corpus / "clip_0.mp4").read_bytes()
    (corpus / "clip_0.mp4").write_bytes(b"")
    store = tmp_path / "store"
    merflow("run", "-c", config, "-m", ingested(merflow, corpus, tmp_path), "-s", store, expect=1)
    (corpus / "clip_0.mp4").write_bytes(good)
    merflow("run", "-c", config, "-m", ingested(merflow, corpus, tmp_path), "-s", store)
    assert status(store)["stored"] == 6


def test_a_file_that_was_away_during_a_run_is_tried_again(merflow, status, corpus, config, tmp_path):
    manifest, store = ingested(merflow, corpus, tmp_path), tmp_path / "store"
    (corpus / "clip_0.mp4").rename(tmp_path / "away.mp4")
    merflow("run", "-c", config, "-m", manifest, "-s", store, expect=1)
    assert {f["reason"] for f in status(store, expect=1)["failures"]} == {"missing_file"}
    (tmp_path / "away.mp4").rename(corpus / "clip_0.mp4")
    merflow("run", "-c", config, "-m", manifest, "-s", store)
    assert status(store)["stored"] == 6


def test_media_that_changed_after_ingest_are_not_stored_under_their_old_fingerprint(
    merflow, status, corpus, config, tmp_path
):
    manifest, store = ingested(merflow, corpus, tmp_path), tmp_path / "store"
    good = (corpus / "clip_0.mp4").read_bytes()
    write_clip(corpus / "clip_0.mp4", seconds=0.7)
    (corpus / "clip_1.mp4").touch()  # another time, the same bytes
    merflow("run", "-c", config, "-m", manifest, "-s", store, expect=1)
    failures = status(store, expect=1)["failures"]
    assert {(f["clip_id"], f["reason"]) for f in failures} == {("clip_0", "media_changed")}
    (corpus / "clip_0.mp4").write_bytes(good)
    write_clip(corpus / "clip_0.mp4", seconds=0.8)
    merflow("run", "-c", config, "-m", ingested(merflow, corpus, tmp_path), "-s", store)
    assert status(store)["stored"] == 6


def test_another_version_of_a_library_is_refused_unless_mixing_is_asked_for(
    merflow, status, corpus, config, tmp_path, monkeypatch
):
    (corpus / "clip_2.mp4").rename(tmp_path / "clip_2.mp4")
    store = tmp_path / "store"
    merflow("run", "-c", config, "-m", ingested(merflow, corpus, tmp_path), "-s", store)
    (tmp_path / "clip_2.mp4").rename(corpus / "clip_2.mp4")
    known = job._version
    monkeypatch.setattr(job, "_version", lambda name: "9.9" if name == "numpy" else known(name))
    command = ["run", "-c", config, "-m", ingested(merflow, corpus, tmp_path), "-s", store]
    done = merflow(*command, expect=2)
    assert "feature gemaps was made with numpy" in done.stderr
    assert "this machine has 9.9; install that version, use a new store, or give --allow-mixed-versions" in done.stderr
    shown = merflow(*command, "--allow-mixed-versions").stdout
    assert "mixed versions gemaps: numpy" in " ".join(shown.split())
    assert set(status(store)["mixed_versions"]) == {"functionals", "gemaps"}
    assert "made with several versions: numpy" in merflow("verify", store).stdout


def test_unusual_media_are_told_and_kept_with_the_values(merflow, status, config, tmp_path):
    (tmp_path / "corpus").mkdir()
    source = encode(tmp_path / "a.mkv", audio=noise(3.0, 48_000), codec="aac", rate=48_000)
    remux(source, tmp_path / "corpus" / "hole.mkv", keep=lambda _, n: not 60 <= n < 64)
    store = tmp_path / "store"
    shown = merflow("run", "-c", config, "-m", ingested(merflow, tmp_path / "corpus", tmp_path), "-s", store).stdout
    assert "unusual media: hole_seconds in 1 clip, holes in 1 clip" in " ".join(shown.split())
    assert status(store)["flags"] == {"hole_seconds": 1, "holes": 1}
    assert open_store(store).flags("hole", "gemaps")["holes"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "extractors: [{name: gemaps}]\nextrators: 1\n",
            "unknown key 'extrators'; valid keys here: cluster, deinterlace, extractors",
        ),
        (
            "extractors: [{name: hubret}]\n",
            "unknown extractor 'hubret'; extractors: action_units, alignment, au_peak, audio_quality, emotion2vec, ",
        ),
        ("extractors: [{name: gemaps, set: x}]\n", "unknown key 'set'; valid keys here: feature_set, level"),
        (
            "extractors: [{name: gemaps}]\ncluster: {engine: slurm}\n",
            "unknown engine 'slurm'; engines: auto, local, dask",
        ),
        ("extractors: [{name: videomae}]\nfaces: {detector: haar}\n", "haar"),
        ("extractors: [{name: hubert, weights: {hub: nobody/nothing}}]\n", "merflow weights pull"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_writes_nothing(merflow, corpus, tmp_path, text, message):
    manifest = ingested(merflow, corpus, tmp_path)
    (tmp_path / "wrong.yaml").write_text(text, encoding="utf-8")
    before = visible_files(tmp_path)
    done = merflow("run", "-c", tmp_path / "wrong.yaml", "-m", manifest, "-s", tmp_path / "store", expect=2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert visible_files(tmp_path) == before
    assert not (tmp_path / "store").exists()


def test_missing_things_are_one_line_and_write_nothing(merflow, corpus, config, tmp_path):
    manifest, store = ingested(merflow, corpus, tmp_path), tmp_path / "store"
    before = visible_files(tmp_path)
    cases = [
        (["ingest", tmp_path / "nowhere", "--out", tmp_path / "x.parquet"], "nowhere"),
        (["run", "-c", config, "-m", tmp_path / "no.parquet", "-s", store], "no.parquet"),
        (["run", "-c", "merrr", "-m", manifest, "-s", store], "shipped: demo, indomer, mer2023"),
        (
            ["run", "-c", config, "-s", store],
            "give either --manifest M or --corpus NAME PATH (corpora: caer, ch_sims, ",
        ),
        (["run", "-c", config, "--corpus", "nonsense", corpus, "-s", store], "folder, iemocap, indomer"),
        (["run", "-c", config, "-m", manifest, "-s", store, "--features", "gemap"], "unknown feature 'gemap'"),
        (
            ["run", "-c", config, "-m", manifest, "-s", store, "--root", tmp_path / "gone"],
            "media folder does not exist",
        ),
        (["run", "-c", config, "-m", manifest, "-s", corpus], "not empty and not a feature store"),
        (["status", tmp_path / "nowhere"], "not a feature store"),
        (["export", "hdf5", tmp_path / "nowhere", tmp_path / "x.h5"], "not a feature store"),
    ]
    for arguments, message in cases:
        done = merflow(*arguments, expect=2)
        assert message in done.stderr, arguments
        assert done.stderr.count("\n") == 1, done.stderr
    assert visible_files(tmp_path) == before


def test_a_prefect_server_that_does_not_answer(merflow, corpus, config, tmp_path, monkeypatch):
    manifest = ingested(merflow, corpus, tmp_path)
    url = "http://127.0.0.1:9/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    done = merflow("run", "-c", config, "-m", manifest, "-s", tmp_path / "s", expect=2)
    assert f"PREFECT_API_URL is {url}, but no Prefect server answers there" in done.stderr


def test_inspect_shows_shapes_times_and_numbers(merflow, corpus, config, tmp_path):
    store = tmp_path / "store"
    merflow("run", "-c", config, "--corpus", "folder", corpus, "-s", store)
    shown = json.loads(merflow("inspect", store, "clip_0", "--json").stdout)
    gemaps = next(f for f in shown["features"] if f["feature"] == "gemaps")
    assert gemaps["shape"] == [96, 18]
    assert (gemaps["begin"], gemaps["valid"]) == (0.0, 1.0)
    assert gemaps["end"] == pytest.approx(1.0)
    assert "96 x 18" in merflow("inspect", store, "clip_0").stdout
    assert "no clip 'clip_9'" in merflow("inspect", store, "clip_9", expect=2).stderr


def test_plug_ins_are_listed(merflow):
    assert "gemaps" in merflow("extractors").stdout
    assert "folder" in merflow("corpora").stdout
    assert "hdf5" in merflow("formats").stdout


def test_export_of_a_synthetic_store_must_be_asked_for(merflow, status, corpus, synthetic, tmp_path):
    store = tmp_path / "store"
    merflow("run", "-c", synthetic, "--corpus", "folder", corpus, "-s", store)
    assert status(store)["synthetic"] == ["hubert"]
    refused = merflow("export", "hdf5", store, tmp_path / "x.h5", expect=2)
    assert "allow_synthetic=true" in refused.stderr
    assert not (tmp_path / "x.h5").exists()
    merflow("export", "hdf5", store, tmp_path / "x.h5", "--opt", "allow_synthetic=true")
    assert (tmp_path / "x.h5").is_file()
