"""A store corrected: each dead end that a newcomer ran into, from the command line, on real files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from flows.repair import drop_feature
from storage import open_store
from storage.store.runs import owner, write_run
from storage.store.store import FeatureStore
from tests.flows.stores import times_computed
from tests.media import write_clip

pytestmark = pytest.mark.without_prefect


@pytest.fixture
def table(corpus):
    """The clips with a transcript each, but for the last one."""
    path = corpus / "t.csv"
    path.write_text(
        "id,video,text,label\nclip_0,clip_0.mp4,satu,sad\nclip_1,clip_1.mp4,dua,sad\nclip_2,clip_2.mp4,,sad\n"
    )
    return path


@pytest.fixture
def configured(tmp_path):
    """GeMAPS and a text encoder with random weights."""
    path = tmp_path / "c.yaml"
    path.write_text(
        "extractors:\n  - {name: gemaps}\n  - {name: text, weights: {random: {seed: 0, size: tiny}}}\nno_text: skip\n"
    )
    return path


@pytest.fixture
def run(merflow, tmp_path, config):
    """Ingest a corpus and run it into the store `s`."""

    def call(source, *more, expect=0, using=None, into=tmp_path / "s", name="m"):
        merflow("ingest", source, "--out", tmp_path / f"{name}.parquet")
        return merflow(
            "run", "-c", using or config, "-m", tmp_path / f"{name}.parquet", "-s", into, *more, expect=expect
        )

    return call


def counts(status, store, expect=0, key="features"):
    found = status(store, expect=expect)
    return {name: {k: v for k, v in f.items() if v and k != "planned"} for name, f in found[key].items()}


def test_one_word_of_a_transcript_corrected_makes_text_stale_and_nothing_else(
    run, merflow, status, table, configured, tmp_path
):
    store = tmp_path / "s"
    run(table, using=configured)
    assert counts(status, store) == {"gemaps": {"stored": 3}, "text": {"stored": 2, "skipped": 1}}
    table.write_text(table.read_text().replace("satu", "tiga").replace("sad\nclip_1", "happy\nclip_1"))
    shown = run(table, using=configured, expect=1).stdout
    assert "stale text: 1 stale value (clip_0); changed: text" in shown
    assert "--replace-stale" in shown
    assert counts(status, store, expect=1) == {"gemaps": {"stored": 3}, "text": {"stored": 1, "stale": 1, "skipped": 1}}
    refused = merflow("export", "hdf5", store, tmp_path / "x.h5", "--opt", "allow_synthetic=true", expect=2)
    assert (
        "text: 1 stale value (clip_0); changed: text; compute them anew with merflow run --replace-stale"
        in refused.stderr
    )
    left_out = merflow(
        "export", "hdf5", store, tmp_path / "x.h5", "--opt", "allow_synthetic=true", "--opt", "stale=omit"
    ).stdout
    assert "left out: text: 1 stale value (clip_0)" in left_out
    before = open_store(store).get("clip_0", "text").values.tobytes()
    run(table, "--replace-stale", using=configured)
    assert counts(status, store) == {"gemaps": {"stored": 3}, "text": {"stored": 2, "skipped": 1}}
    assert open_store(store).get("clip_0", "text").values.tobytes() != before
    assert times_computed(store)["gemaps", "clip_0"] == 1
    shutil.rmtree(store / "index")  # what counts is in the shard files, not in the index
    assert open_store(store).get("clip_0", "text").values.tobytes() != before
    assert "0 problems" in merflow("verify", store).stdout


def test_a_transcript_supplied_after_no_text_is_computed_by_a_plain_run(run, status, table, configured, tmp_path):
    run(table, using=configured)
    table.write_text(table.read_text().replace("clip_2.mp4,,", "clip_2.mp4,tiga,"))
    run(table, using=configured)
    assert counts(status, tmp_path / "s") == {"gemaps": {"stored": 3}, "text": {"stored": 3}}


def test_one_replaced_video_is_stale_and_the_rest_goes_on(run, merflow, status, corpus, tmp_path):
    store = tmp_path / "s"
    run(corpus)
    write_clip(corpus / "clip_0.mp4", seconds=0.7)
    write_clip(corpus / "new.mp4", seconds=0.8)
    shown = run(corpus, expect=1)
    assert "1 of 4 clips to do" in shown.stderr
    assert "gemaps: 1 stale value (clip_0); changed: audio file" in shown.stdout
    assert counts(status, store, expect=1)["gemaps"] == {"stored": 3, "stale": 1}
    listed = merflow("clips", store, "--where", "stale", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in listed] == ["clip_0"]
    assert json.loads(listed[0])["features"]["gemaps"] == {"state": "stale", "why": "audio file"}
    run(corpus, "--replace-stale")
    assert counts(status, store)["gemaps"] == {"stored": 4}
    assert open_store(store).length("clip_0", "gemaps") == pytest.approx(66, abs=2)


def test_a_moved_media_folder_is_one_command_with_two_manifests(run, merflow, status, tmp_path):
    store = tmp_path / "s"
    for name in ("train", "val"):
        (tmp_path / "disk" / name).mkdir(parents=True)
        write_clip(tmp_path / "disk" / name / f"{name}_1.wav", seconds=0.7, video=False)
        run(tmp_path / "disk" / name, name=name)
    assert counts(status, store)["gemaps"] == {"stored": 2}
    assert open_store(store).manifest.roots == {n: tmp_path / "disk" / n for n in ("train", "val")}
    (tmp_path / "disk").rename(tmp_path / "other")
    assert "nothing to try again" in merflow("retry", store, "--clips", "train_1").stdout
    shown = merflow("relocate", store, f"{tmp_path / 'disk'}={tmp_path / 'other'}").stdout
    assert f"train: {tmp_path / 'other' / 'train'}" in shown
    write_clip(tmp_path / "other" / "val" / "val_2.wav", seconds=0.8, video=False)
    run(tmp_path / "other" / "val", name="val")
    # The manifest of before still says where the folder was: the store knows better.
    merflow("run", "-c", tmp_path / "config.yaml", "-m", tmp_path / "train.parquet", "-s", store)
    assert counts(status, store)["gemaps"] == {"stored": 3}
    assert open_store(store).manifest.roots == {n: tmp_path / "other" / n for n in ("train", "val")}
    wrong = merflow("relocate", store, f"test={tmp_path}", expect=2)
    assert f"expected OLD=NEW, OLD one of the media folders: train={tmp_path / 'other/train'}" in wrong.stderr


def test_a_media_folder_that_is_gone_is_named_with_both_ways_out(run, merflow, corpus, config, tmp_path):
    run(corpus, "--features", "gemaps")
    corpus.rename(tmp_path / "moved")
    refused = merflow("run", "-c", config, "-m", tmp_path / "m.parquet", "-s", tmp_path / "s", expect=2)
    assert "media folder 'corpus' does not exist" in refused.stderr
    assert f"merflow relocate {tmp_path / 's'} corpus=PATH" in refused.stderr
    merflow(
        "run",
        "-c",
        config,
        "-m",
        tmp_path / "m.parquet",
        "-s",
        tmp_path / "s",
        "--root",
        f"corpus={tmp_path / 'moved'}",
    )


def test_two_manifests_with_folders_of_one_name_live_in_one_store(run, status, tmp_path):
    for i in (1, 2):
        (tmp_path / f"{i}" / "clips").mkdir(parents=True)
        write_clip(tmp_path / f"{i}" / "clips" / f"c{i}.wav", seconds=0.7, video=False)
        run(tmp_path / f"{i}" / "clips", name=f"m{i}")
    assert counts(status, tmp_path / "s")["gemaps"] == {"stored": 2}
    assert open_store(tmp_path / "s").manifest.roots == {
        "clips": tmp_path / "1" / "clips",
        "clips-2": tmp_path / "2" / "clips",
    }


def test_a_second_segment_of_a_file_changes_nothing_of_the_first(run, status, corpus, tmp_path):
    path = corpus / "t.csv"
    path.write_text("video,start,end\nclip_0.mp4,0,0.5\n")
    run(path)
    path.write_text("video,start,end\nclip_0.mp4,0.5,1\nclip_0.mp4,0,0.5\n")
    run(path)
    found = times_computed(tmp_path / "s")
    assert {clip for _, clip in found} == {"clip_0_0-0.5", "clip_0_0.5-1"}
    assert set(found.values()) == {1}


def test_a_withdrawn_clip_is_gone_for_good(run, merflow, status, corpus, tmp_path):
    store = tmp_path / "s"
    run(corpus)
    assert "no clip 'clip_9'" in merflow("forget", store, "clip_0", "clip_9", expect=2).stderr
    assert len(list(open_store(store).clips())) == 3
    merflow("forget", store, "clip_0")
    for _ in range(2):
        opened = open_store(store)
        assert [c.id for c in opened.clips()] == ["clip_1", "clip_2"]
        assert not opened.has("clip_0", "gemaps")
        assert "0 problems" in merflow("verify", store).stdout
        shutil.rmtree(store / "index", ignore_errors=True)
    assert counts(status, store)["gemaps"] == {"stored": 2}
    assert times_computed(store)["gemaps", "clip_0"] == 1  # still on the disk
    merflow("compact", store)
    assert times_computed(store)["gemaps", "clip_0"] == 0
    assert list((store / "removals").iterdir()) == []
    merflow("forget", store, "clip_1", "--now")
    assert set(times_computed(store)) == {("gemaps", "clip_2"), ("functionals", "clip_2")}
    assert "0 problems" in merflow("verify", store).stdout
    shown = run(corpus)  # the folder still has them
    assert "2 of 3 clips to do" in shown.stderr


def test_prune_takes_out_what_the_manifest_s_folder_no_longer_has(run, status, corpus, tmp_path):
    (tmp_path / "val").mkdir()
    write_clip(tmp_path / "val" / "v.wav", seconds=0.7, video=False)
    run(tmp_path / "val", name="val")
    run(corpus)
    (corpus / "clip_1.mp4").unlink()
    assert "taken out" not in run(corpus).stdout
    assert "taken out of the store: 1 clip, such as clip_1" in run(corpus, "--prune").stdout
    assert [c.id for c in open_store(tmp_path / "s").clips()] == ["v", "clip_0", "clip_2"]
    assert counts(status, tmp_path / "s")["gemaps"] == {"stored": 3}


def test_a_repaired_file_is_computed_by_retry_alone(run, merflow, status, corpus, tmp_path):
    """Also where its bytes were always the same: what is tried again does not depend on what the manifest says."""
    store = tmp_path / "s"
    write_clip(corpus / "mute.mp4", audio=None)
    shown = run(corpus, expect=1).stdout
    assert f"1 clip failed: merflow retry {store}" in shown
    again = run(corpus, expect=1)
    assert "to do" not in again.stderr  # a failure of the clip itself is not tried again by a plain run
    assert "nothing to do" not in again.stdout
    assert "no such reason; reasons: missing_file" in merflow("retry", store, "--reason", "bad", expect=2).stderr
    assert "nothing to try again" in merflow("retry", store, "--reason", "undecodable").stdout
    assert "to be tried again: 2 failures" in merflow("retry", store, "--reason", "no_audio", expect=1).stdout
    assert [f.attempt for f in open_store(store).failures] == [2, 2]
    merflow("retry", store, "--clips", "mu*", "--mark-only")
    assert counts(status, store, expect=1)["gemaps"] == {"stored": 3, "missing": 1}
    shutil.rmtree(store / "index")
    assert counts(status, store, expect=1)["gemaps"] == {"stored": 3, "missing": 1}
    merflow("compact", store)
    assert counts(status, store, expect=1)["gemaps"] == {"stored": 3, "missing": 1}
    run(corpus, expect=1)
    assert [f.attempt for f in open_store(store).failures] == [3, 3]


def test_a_changed_option_is_refused_by_name_and_drop_makes_room(run, merflow, status, corpus, tmp_path):
    store, layer = tmp_path / "s", "{name: hubert, weights: {random: {seed: 0, size: tiny}}, layers: %s}"
    for number, layers in enumerate(("[-1]", "[-2]")):
        (tmp_path / f"{number}.yaml").write_text(f"extractors:\n  - {{name: gemaps}}\n  - {layer % layers}\n")
    run(corpus, using=tmp_path / "0.yaml")
    refused = run(corpus, using=tmp_path / "1.yaml", expect=2).stderr
    assert "feature hubert is stored with other settings (option layers: " in refused
    assert f"merflow drop {store} hubert" in refused
    assert "no feature 'hubet'; features: gemaps, hubert" in merflow("drop", store, "hubet", expect=2).stderr
    merflow("drop", store, "hubert")
    assert list(open_store(store).specs) == ["gemaps"]
    assert not (store / "features" / "hubert").exists()
    shutil.rmtree(store / "index")
    assert list(open_store(store).specs) == ["gemaps"]
    run(corpus, using=tmp_path / "1.yaml")
    assert counts(status, store) == {"gemaps": {"stored": 3}, "hubert": {"stored": 3}}
    assert times_computed(store)["gemaps", "clip_0"] == 1


def test_drop_that_was_interrupted_leaves_nothing_behind(run, merflow, corpus, tmp_path, monkeypatch):
    run(corpus)
    store = FeatureStore(tmp_path / "s")

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.repair.remove_folder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        drop_feature(store, "gemaps")
    assert list(open_store(store.path).specs) == ["functionals"]
    merflow("compact", store.path)
    assert {feature for feature, _ in times_computed(store.path)} == {"functionals"}


def test_values_of_an_older_merflow_are_stale_in_one_line_and_kept(run, status, corpus, config, tmp_path, monkeypatch):
    store = tmp_path / "s"
    run(corpus, "--features", "gemaps")
    monkeypatch.setattr("extractors.core.engines.MEDIA_RULES", 99)
    write_clip(corpus / "new.mp4", seconds=0.8)
    shown = run(corpus, "--features", "gemaps", expect=1).stdout
    assert shown.count("3 stale values (clip_0, clip_1, clip_2); changed: made by an older merflow") == 1
    assert counts(status, store, expect=1)["gemaps"] == {"stored": 1, "stale": 3}
    opened = open_store(store)
    assert opened.specs["gemaps"].engines["media"] == "99"
    assert opened.has("clip_0", "gemaps")
    run(corpus, "--features", "gemaps", "--replace-stale")
    assert counts(status, store)["gemaps"] == {"stored": 4}
    assert set(times_computed(store).values()) == {1, 2}


def test_a_store_of_an_older_merflow_that_lacks_nothing_is_stale_all_the_same(
    run, merflow, status, corpus, tmp_path, monkeypatch
):
    store = tmp_path / "s"
    run(corpus, "--features", "gemaps")
    monkeypatch.setattr("extractors.core.engines.MEDIA_RULES", 99)
    shown = run(corpus, "--features", "gemaps", expect=1)
    assert "to do" not in shown.stderr
    assert "nothing to do" not in shown.stdout
    assert "3 stale values (clip_0, clip_1, clip_2); changed: made by an older merflow" in shown.stdout
    assert counts(status, store, expect=1)["gemaps"] == {"stale": 3}
    assert "changed: made by an older merflow" in merflow("export", "hdf5", store, tmp_path / "x.h5", expect=2).stderr
    merflow("export", "hdf5", store, tmp_path / "x.h5", "--opt", "stale=keep")
    run(corpus, "--features", "gemaps", "--replace-stale")
    assert counts(status, store)["gemaps"] == {"stored": 3}


def test_clips_and_limit_choose_and_the_exit_code_is_about_what_was_asked_for(
    run, merflow, status, corpus, config, tmp_path
):
    store, ids = tmp_path / "s", tmp_path / "ids.txt"
    write_clip(corpus / "mute.mp4", audio=None)
    shown = run(corpus, "--clips", "clip_*", "--limit", "1")
    assert "1 of 3 clips to do" in shown.stderr
    assert counts(status, store, expect=1)["gemaps"] == {"stored": 1, "missing": 3}
    ids.write_text("clip_1\n\nclip_2\n")
    assert "2 of 2 clips to do" in run(corpus, "--clips", ids).stderr
    assert "nothing to do" in run(corpus, "--clips", "clip_?").stdout
    ids.write_text("clip_1\nclip_7\n")
    assert "ids.txt: no such clips: clip_7" in run(corpus, "--clips", ids, expect=2).stderr
    assert "no clip's id matches it" in run(corpus, "--clips", "x*", expect=2).stderr
    run(corpus, "--clips", "mute", expect=1)
    assert (
        "--opt goes to the corpus reader"
        in merflow("run", "-c", config, "-m", tmp_path / "m.parquet", "-s", store, "--opt", "a=b", expect=2).stderr
    )


def test_repairs_refuse_while_a_run_is_going_on_and_know_dead_ones(run, merflow, status, corpus, tmp_path):
    store = tmp_path / "s"
    run(corpus)
    record = {"run": "zz", "state": "running", "owner": owner(), "features": {}, "config": {}}
    write_run(store, "zz", record)
    for command in (
        ["forget", store, "clip_0"],
        ["drop", store, "gemaps"],
        ["compact", store],
        ["retry", store, "--mark-only"],
    ):
        refused = merflow(*command, expect=2).stderr
        assert f"run zz is going on (host {record['owner']['host']}, process {os.getpid()})" in refused
    write_run(store, "zz", record | {"owner": record["owner"] | {"pid": 2**22 + 1}})
    assert status(store)["last_run"] == "crashed"
    merflow("forget", store, "clip_0")
    write_run(store, "zz", record | {"owner": record["owner"] | {"host": "elsewhere"}})
    assert "host elsewhere" in merflow("forget", store, "clip_1", expect=2).stderr


def test_a_folder_that_was_ingested_by_an_older_merflow_keeps_its_ids(run, status, corpus, tmp_path, monkeypatch):
    """`a__x` then, `a.x` now."""
    (corpus / "a").mkdir()
    write_clip(corpus / "a" / "clip_0.mp4", seconds=0.7)
    with monkeypatch.context() as older:
        older.setattr("storage.corpora._shared.clip_builder.safe_id", lambda name: name.replace(".", "__"))
        run(corpus)
    run(corpus)
    assert sorted(c.id for c in open_store(tmp_path / "s").clips()) == ["a__clip_0", "clip_0", "clip_1", "clip_2"]
    assert set(times_computed(tmp_path / "s").values()) == {1}
    assert "taken out" not in run(corpus, "--prune").stdout


def test_compact_joins_files_beside_a_reader(run, merflow, corpus, tmp_path):
    store = tmp_path / "s"
    for name in ("clip_0", "clip_1", "clip_2"):
        run(corpus, "--clips", name)
    reader = open_store(store)
    before = {i: reader.get(i, "gemaps").values.tobytes() for i in ("clip_0", "clip_1")}
    assert len(list(store.glob("features/gemaps/*/*.h5"))) == 3
    assert "6 shard files became 2" in merflow("compact", store).stdout
    fresh = open_store(store)
    assert {i: fresh.get(i, "gemaps").values.tobytes() for i in before} == before
    assert fresh.length("clip_2", "gemaps") == reader.length("clip_2", "gemaps")
    assert reader.get("clip_2", "gemaps").values.tobytes() == fresh.get("clip_2", "gemaps").values.tobytes()
    assert "0 problems" in merflow("verify", store).stdout
    assert "2 shard files became 2" in merflow("compact", store).stdout


def test_an_interrupt_between_a_joined_file_and_the_removal_of_its_parts_costs_nothing(
    run, merflow, corpus, tmp_path, monkeypatch
):
    store = tmp_path / "s"
    for name in ("clip_0", "clip_1"):
        run(corpus, "--clips", name)
    before = open_store(store).get("clip_0", "gemaps").values.tobytes()
    calls = []
    with monkeypatch.context() as broken:
        broken.setattr("storage.store.compact.remove", lambda path: calls.append(path) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            merflow("compact", store)
    assert len(calls) == 1
    assert open_store(store).get("clip_0", "gemaps").values.tobytes() == before
    assert "0 problems" in merflow("verify", store).stdout
    merflow("compact", store)
    assert set(times_computed(store).values()) == {1}


def test_places_that_cannot_be_written_are_one_line(merflow, corpus, config, tmp_path, monkeypatch):
    merflow("ingest", corpus, "--out", tmp_path / "m.parquet")
    (tmp_path / "file").write_text("x")
    done = merflow("run", "-c", config, "-m", tmp_path / "m.parquet", "-s", tmp_path / "file" / "s", expect=2)
    assert done.stderr == f"merflow: {tmp_path / 'file' / 's'}: not a folder\n" or "not a folder" in done.stderr
    assert done.stderr.count("\n") == 1

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "x.parquet"))

    monkeypatch.setattr("storage.atomic._sync", full)
    done = merflow("ingest", corpus, "--out", tmp_path / "x.parquet", expect=2)
    assert (
        done.stderr
        == f"merflow: {tmp_path / 'x.parquet'}: no space left on the device; free some, or choose another place\n"
    )


def test_a_run_joins_files_by_itself_where_a_feature_has_too_many(run, merflow, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("storage.store.compact.MOST_FILES", 2)
    store = tmp_path / "s"
    for number, name in enumerate(("clip_0", "clip_1", "clip_2")):
        run(corpus, "--clips", name)
        assert len(list(store.glob("features/gemaps/*/*.h5"))) == (number + 1 if number < 2 else 1)
    assert "0 problems" in merflow("verify", store).stdout
