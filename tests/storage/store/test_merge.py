"""Joining stores: everything once, or one line that says why not."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from flows.status import read_status
from storage.clip import Clip
from storage.errors import StoreError
from storage.manifest import write_manifest
from storage.manifest_edits import take_out
from storage.records import Failure, FeatureSpec
from storage.store.gaps import notes
from storage.store.merge import merge
from storage.store.removals import Removal
from storage.store.runs import write_run
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore, open_store
from tests.storage.small_store import SPEC, equal, features

FACES = FeatureSpec("faces", "faces", "video", "frame", ("x", "y"))


def clip(clip_id: str, **more) -> Clip:
    return replace(Clip(clip_id, video=f"{clip_id}.mp4", split="train", files={"video": f"{clip_id} 1 2 3"}), **more)


def make(
    path: Path, ids: str, *, failed: str = "", spec=SPEC, root: Path | None = None, seed=0,
    libraries=None, flags=None, device="cpu", **more
) -> FeatureStore:  # fmt: skip
    store = FeatureStore.create(path)
    clips = [clip(i, **more) for i in ids]
    write_manifest(path / "manifest.parquet", clips, root=root or path.parent / "media", corpus="test")
    failure = {i: Failure(i, spec.name, "no_audio", f"from {path.name}") for i in failed}
    outcomes = {i: failure.get(i) or features(3 + ord(i) % 5, seed + ord(i)) for i in ids}
    attributes = {"run": "run", "versions": {"av": "16"}, "libraries": libraries or {}, "device": device}
    store.put("run-0", spec, [Entry(i, outcomes[i], flags=(flags or {}).get(i, {})) for i in ids], attributes)
    write_run(store.path, "run", {"run": "run", "features": {spec.name: spec.digest}, "store": path.name})
    return store


def test_stores_of_two_machines_become_one(tmp_path):
    one, two = make(tmp_path / "one", "ab"), make(tmp_path / "two", "cd", failed="d")
    lines = merge([one.path, two.path], tmp_path / "all")
    assert lines == ["2 stores, 4 clips, 1 features; shard files: 2 taken whole"]
    joined = open_store(tmp_path / "all")
    assert [c.id for c in joined.clips()] == list("abcd")
    for store, ids in ((one, "ab"), (two, "c")):
        assert all(equal(joined.get(i, "gemaps"), store.get(i, "gemaps")) for i in ids)
    assert joined.failures == two.failures
    assert (list(joined.verify()), list(notes(joined))) == ([], ["gemaps: 3 of 4 clips stored, 1 failed"])
    assert [r["store"] for r in joined.runs()] == ["one", "two"]
    assert list(joined.manifest.roots.values()) == [tmp_path / "media"]
    assert {p.name for p in (tmp_path / "all").rglob("*.h5")} == {"run-0.h5", "run-0_store2.h5"}


def test_other_features_of_the_same_clips_are_joined(tmp_path):
    one, two = make(tmp_path / "one", "ab"), make(tmp_path / "two", "ab", spec=FACES)
    merge([one.path, two.path], tmp_path / "all")
    joined = open_store(tmp_path / "all")
    assert list(joined.specs) == ["faces", "gemaps"]
    assert equal(joined.get("a", "faces"), two.get("a", "faces"))
    assert joined.manifest.__len__() == 2


def test_what_two_stores_hold_is_kept_once_and_values_win_over_failures(tmp_path):
    one, two = make(tmp_path / "one", "abcx", failed="bx"), make(tmp_path / "two", "bcdx", failed="x")
    lines = merge([one.path, two.path], tmp_path / "all")
    assert lines == [
        "2 stores, 5 clips, 1 features; shard files: 2 written anew",
        "3 results were in several stores and are kept once",
    ]
    joined = open_store(tmp_path / "all")
    for clip_id, store in (("a", one), ("b", two), ("c", one), ("d", two)):
        assert equal(joined.get(clip_id, "gemaps"), store.get(clip_id, "gemaps"))
    assert [f.message for f in joined.failures] == ["from one"]
    assert list(joined.verify()) == []
    for path in (tmp_path / "all").rglob("*.h5"):
        with h5py.File(path) as file:
            assert (file.attrs["run"], file.attrs["versions"]) == ("run", '{"av": "16"}')


def test_different_values_of_one_clip_are_refused_unless_the_first_are_preferred(tmp_path):
    one, two = make(tmp_path / "one", "abc"), make(tmp_path / "two", "bcd", seed=50)
    message = r"clip b, feature gemaps: .*one and .*two hold different values \(by up to [\d.]+\), as for 2 in all"
    with pytest.raises(StoreError, match=message):
        merge([one.path, two.path], tmp_path / "all")
    assert not (tmp_path / "all").exists()
    lines = merge([one.path, two.path], tmp_path / "all", prefer_first=True)
    assert lines[-1] == "2 of them differed: those of the first store are kept"
    joined = open_store(tmp_path / "all")
    for clip_id, store in (("a", one), ("b", one), ("c", one), ("d", two)):
        assert equal(joined.get(clip_id, "gemaps"), store.get(clip_id, "gemaps"))


def test_different_versions_are_told(tmp_path):
    stores = [make(tmp_path / v, i, libraries={"torch": v}) for v, i in (("2.14.1", "a"), ("2.15.0", "b"))]
    lines = merge([store.path for store in stores], tmp_path / "all")
    assert lines[-1] == "gemaps: made with several versions: torch 2.14.1 and 2.15.0"
    assert "gemaps: made with several versions: torch 2.14.1 and 2.15.0" in list(notes(open_store(tmp_path / "all")))
    assert read_status(open_store(tmp_path / "all")).mixed == {"gemaps": "torch 2.14.1 and 2.15.0"}


def test_several_devices_are_shown(tmp_path):
    stores = [make(tmp_path / d, i, device=d) for d, i in (("cpu", "a"), ("gpu", "b"))]
    merge([store.path for store in stores], tmp_path / "all")
    assert read_status(open_store(tmp_path / "all")).mixed == {"gemaps": "device cpu and gpu"}


def test_flags_of_unusual_media_go_with_the_values(tmp_path):
    one, two = make(tmp_path / "one", "ab", flags={"b": {"holes": 2}}), make(tmp_path / "two", "ac")
    merge([one.path, two.path], tmp_path / "all")
    joined = open_store(tmp_path / "all")
    assert [joined.flags(i, "gemaps") for i in "abc"] == [{}, {"holes": 2}, {}]
    assert read_status(joined).flags == {"holes": 1}


def test_the_same_store_twice_gives_it_once(tmp_path):
    one = make(tmp_path / "one", "ab")
    lines = merge([one.path, one.path], tmp_path / "all")
    assert lines[0].endswith("shard files: 1 not needed, 1 taken whole")
    assert len(open_store(tmp_path / "all").runs()) == 1


def test_a_float16_file_written_anew_keeps_its_values_and_its_error(tmp_path):
    half = replace(SPEC, dtype="float16")
    one, two = make(tmp_path / "one", "a", spec=half), make(tmp_path / "two", "ab", spec=half)
    merge([one.path, two.path], tmp_path / "all")
    joined = open_store(tmp_path / "all")
    assert equal(joined.get("b", "gemaps"), two.get("b", "gemaps"))
    with h5py.File(tmp_path / "all/features/gemaps" / half.digest / "run-0_store2.h5") as file:
        assert file.attrs["largest_error"] > 0


def test_media_folders_keep_their_names_where_these_tell_them_apart(tmp_path):
    one = make(tmp_path / "one", "a", root=tmp_path / "disk1")
    two = make(tmp_path / "two", "ab", root=tmp_path / "disk2", audio="https://example.org/x.wav")
    three = make(tmp_path / "three", "c", root=tmp_path / "disk1")
    made = [clip("a", audio="https://example.org/x.wav")]
    write_manifest(one.path / "manifest.parquet", made, root=tmp_path / "disk1", corpus="test")
    merge([one.path, two.path, three.path], tmp_path / "all")
    manifest = open_store(tmp_path / "all").manifest
    assert manifest.roots == {"test": tmp_path / "disk1", "test-2": tmp_path / "disk2"}
    assert {c.id: manifest.root_of(c) / c.video for c in manifest} == {
        "a": tmp_path / "disk1/a.mp4",
        "b": tmp_path / "disk2/b.mp4",
        "c": tmp_path / "disk1/c.mp4",
    }


def test_what_a_store_no_longer_counts_is_not_merged(tmp_path):
    one, two = make(tmp_path / "one", "ab"), make(tmp_path / "two", "c")
    one.put("run-1", SPEC, [Entry("a", features(9), generation=1)], {})
    one.remove(Removal("forget", 1, clips=["b"]))
    take_out(one.path / "manifest.parquet", ["b"])
    merge([one.path, two.path], tmp_path / "all")
    joined = open_store(tmp_path / "all")
    assert [(c.id, joined.length(c.id, "gemaps")) for c in joined.clips()] == [("a", 9), ("c", 7)]
    assert list(joined.verify()) == []


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"spec": replace(SPEC, recipe={"x": 1})},
            r"feature gemaps: recipes differ in recipe.x: null against 1 \(.*one ag.*two\)",
        ),
        ({"spec": replace(SPEC, code=2)}, "feature gemaps: recipes differ in code: 1 against 2"),
        ({"text": "other"}, "clip a: text differ between .*one and .*two; stores can be merged"),
        ({"label": "sad"}, "clip a: label is None in .*one and 'sad' in .*two"),
        ({"labels": {"audio": "sad"}}, "clip a: labels is {} in .*one and {'audio': 'sad'} in .*two"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_leaves_nothing(tmp_path, other, message):
    one, two = make(tmp_path / "one", "ba"), make(tmp_path / "two", "a", **other)
    with pytest.raises(StoreError, match=message) as error:
        merge([one.path, two.path], tmp_path / "all")
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


def test_never_into_what_exists_and_only_from_stores(tmp_path):
    one = make(tmp_path / "one", "a")
    with pytest.raises(StoreError, match="two: exists already"):
        merge([one.path], make(tmp_path / "two", "a").path)
    with pytest.raises(StoreError, match="not a feature store"):
        merge([one.path, tmp_path / "nothing"], tmp_path / "all")
    empty = FeatureStore.create(tmp_path / "empty")
    with pytest.raises(StoreError, match="no such manifest"):
        merge([one.path, empty.path], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    one, two = make(tmp_path / "one", "a"), make(tmp_path / "two", "b")
    made = []

    def fails_later(source, target):
        made.append(target)
        if len(made) > 1:
            raise MemoryError
        raise OSError

    monkeypatch.setattr(os, "link", fails_later)
    with pytest.raises(MemoryError):
        merge([one.path, two.path], tmp_path / "all")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


def test_without_links_files_are_copied(tmp_path, monkeypatch):
    one = make(tmp_path / "one", "a")

    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    merge([one.path], tmp_path / "all")
    assert equal(open_store(tmp_path / "all").get("a", "gemaps"), one.get("a", "gemaps"))
    assert not next((tmp_path / "all").rglob("*.h5")).samefile(next(one.path.rglob("*.h5")))
