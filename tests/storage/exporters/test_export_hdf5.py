"""The aligned HDF5 file: one clock per clip, masks that tell the truth, and everything a training job asks for."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from configs.errors import RunError
from storage.clip import Clip
from storage.exporters import export
from storage.manifest import write_manifest
from storage.records import Features
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from storage.timeline import METHODS, align, regular_grid
from tests.exports import ACTION_UNITS, CLIPS, GEMAPS, VIDEOMAE, features, make_store, peak_of, synthetic

FIRST, SECOND, THIRD, FOURTH = (clip.id for clip in CLIPS)
SPECS = (GEMAPS, ACTION_UNITS, VIDEOMAE)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("hdf5") / "store", specs=SPECS, without=[(SECOND, "gemaps")])


@pytest.fixture
def exported(store, tmp_path):
    """Exports the store with options and opens the file."""
    opened = []

    def made(**options: str) -> h5py.File:
        path = tmp_path / f"{len(opened)}.h5"
        made.lines = export("hdf5", store, path, options)
        opened.append(h5py.File(path))
        return opened[-1]

    yield made
    for file in opened:
        file.close()


def test_a_regular_clock_covers_every_feature_of_the_clip(store, exported):
    file = exported(rate="10")
    assert exported.lines == ["4 clips, 3 features at 10 Hz", f"gemaps: 1 clip has none: {SECOND}"]
    assert list(file["clips"]) == [clip.id for clip in CLIPS]
    for clip_id in (FIRST, FOURTH):
        clip, found = file["clips"][clip_id], {s.name: store.get(clip_id, s.name) for s in SPECS}
        grid = regular_grid(max(f.times.max() for f in found.values()), 10)
        assert clip["times"][...].tobytes() == grid.tobytes()
        for name, source in found.items():
            values, valid = align(source, grid)
            assert clip[name][...].tobytes() == values.tobytes()
            assert clip["mask"][name][...].tolist() == valid.tolist()
            assert (clip[name].dtype, clip["mask"][name].dtype) == (np.float32, np.bool_)
            assert (np.isnan(clip[name][...]).all(axis=1) == ~valid).all()
    assert set(file["clips"][SECOND]) == {"times", "mask", "action_units", "videomae"}
    assert file["missing/gemaps"].asstr()[...].tolist() == [SECOND]
    assert file["missing/action_units"].shape == file["missing/times"].shape == (0,)
    assert file["columns/action_units"].asstr()[...].tolist() == list(ACTION_UNITS.columns)
    assert (file.attrs["rate"], file.attrs["clock"], file.attrs["method"]) == (10, "rate 10", "overlap")
    assert file.attrs["fill"] == "NaN in every row whose mask is False"


def test_the_lines_of_the_format_page_read_it(exported, monkeypatch, tmp_path):
    exported(features="gemaps,action_units")
    (tmp_path / "0.h5").rename(tmp_path / "aligned.h5")
    page = (Path(__file__).parents[3] / "docs" / "store_format.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[-1].replace("hubert", "gemaps")
    monkeypatch.chdir(tmp_path)
    read: dict = {}
    with pytest.raises(KeyError, match="gemaps"):  # the page says where clips without a feature are listed
        exec(code, read)
    assert read["clip_id"] == SECOND
    assert (read["label"], read["text"]) == ("sad", "dua, «tiga»")
    exec(code.replace('f["clips"].items()', f'[("x", f["clips/{FOURTH}"])]'), read)
    assert read["audio"][read["mask"]].shape == (32, 18)
    assert np.isfinite(read["video"][read["mask"]]).all()
    assert len(read["seconds"]) == len(read["mask"]) == len(read["audio"])


def test_what_is_known_of_a_clip_is_on_it(exported):
    attributes = dict(exported()["clips"][SECOND].attrs)
    assert attributes == {
        "text": "Tidak?",
        "split": "train",
        "label": "neutral",
        "label_raw": "netral",
        "speaker": "07",
        "group": "1",
        "labels": json.dumps(dict(CLIPS[1].labels)),
        "dimensions": '{"valence": 0.25}',
    }


def test_the_clock_can_be_another_feature_which_then_stays_as_it_is(store, exported):
    file = exported(like="gemaps")
    assert exported.lines == [
        "4 clips, 3 features at like gemaps",
        f"gemaps: 1 clip has none: {SECOND}",
        f"1 clip has no clock, and so no rows: {SECOND}",
    ]
    source, clip = store.get(FIRST, "gemaps"), file["clips"][FIRST]
    assert clip["gemaps"][...].tobytes() == source.values.tobytes()
    assert clip["times"][...].tobytes() == source.times.tobytes()
    expected = align(store.get(FIRST, "action_units"), source.times)
    assert clip["action_units"][...].tobytes() == expected.values.tobytes()
    assert file["clips"][SECOND]["action_units"].shape == (0, len(ACTION_UNITS.columns))
    assert file["missing/times"].asstr()[...].tolist() == [SECOND]
    assert "rate" not in file.attrs


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_the_clock_can_be_words(store, exported, tmp_path, suffix):
    words = [(FIRST, 0.2, 0.36, "tiga"), (FIRST, 0.0, 0.1, "dua"), (FIRST, 0.1, 0.1, ""), (FOURTH, 0.5, 9.0, "x")]
    path = tmp_path / f"words.{suffix}"
    if suffix == "csv":
        lines = [f"{clip_id},{start},{end},{label}" for clip_id, start, end, label in words]
        path.write_text("\ufeffclip_id,start,end,label\n" + "\n".join(lines), encoding="utf-8")
    else:
        path.write_text(json.dumps([dict(zip(("clip_id", "start", "end", "label"), w, strict=True)) for w in words]))
    file = exported(intervals=str(path), method="mean")
    clip = file["clips"][FIRST]
    assert clip["times"][...].tolist() == [[0, 0.1], [0.1, 0.1], [0.2, 0.36]]
    assert clip["interval_labels"].asstr()[...].tolist() == ["dua", "", "tiga"]
    assert clip["mask/videomae"][...].tolist() == [True, False, True]
    source = store.get(FIRST, "gemaps").values.astype(np.float64)
    np.testing.assert_allclose(clip["gemaps"][0], source[:10].mean(axis=0), rtol=1e-6)
    assert file.attrs["clock"] == f"intervals words.{suffix}"
    assert file["missing/times"].asstr()[...].tolist() == [SECOND, THIRD]
    assert file["clips"][THIRD]["gemaps"].shape == (0, 18)
    cut = exported(intervals=str(path), length="2", keep="last", side="start")["clips"]
    assert cut[FIRST]["interval_labels"].asstr()[...].tolist() == ["", "tiga"]
    assert cut[FOURTH]["interval_labels"].asstr()[...].tolist() == ["", "x"]
    assert cut[FOURTH]["times"][1].tolist() == [0.5, 9.0]


def test_one_length_for_all_with_padding_and_cuts_where_they_are_asked_for(exported):
    natural = exported(features="gemaps")["clips"]
    file = exported(features="gemaps", length="20", side="start", keep="last", fill="-1")
    for clip_id in (FIRST, FOURTH):
        whole, clip = natural[clip_id], file["clips"][clip_id]
        kept = min(20, len(whole["times"]))
        assert clip["gemaps"].shape == (20, 18)
        assert clip["times"][20 - kept :].tobytes() == whole["times"][...][-kept:].tobytes()
        assert clip["mask/gemaps"][20 - kept :].tolist() == whole["mask/gemaps"][...][-kept:].tolist()
        mask = clip["mask/gemaps"][...]
        assert (clip["gemaps"][...][~mask] == -1).all()
        assert clip["gemaps"][...][mask].tobytes() == whole["gemaps"][...][-kept:][mask[20 - kept :]].tobytes()
    assert np.isnan(file["clips"][FIRST]["times"][0]).all()
    assert file.attrs["fill"] == "-1 in every row whose mask is False"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_the_timelines(store, exported, method):
    clip = exported(method=method, rate="30")["clips"][THIRD]
    expected = align(store.get(THIRD, "action_units"), clip["times"][...], method)
    assert clip["action_units"][...].tobytes() == expected.values.tobytes()


def test_refusals_name_the_option_and_write_nothing(store, tmp_path):
    words = tmp_path / "words.csv"
    for options, message in [
        (
            {"rat": "1"},
            "unknown option 'rat'; valid options here: allow_synthetic, broadcast, clips, columns, compression, ",
        ),
        ({"features": "gemaps,nope"}, "no feature 'nope'"),
        ({"rate": "fast"}, "option rate: expected a number over 0, got 'fast'"),
        ({"rate": "0"}, "option rate: expected a number over 0"),
        ({"rate": "nan"}, "option rate: expected a number over 0"),
        ({"like": "nope"}, "no feature 'nope'"),
        ({"like": "gemaps", "rate": "5"}, "options rate and like: each is a clock"),
        ({"method": "median"}, "option method: expected overlap, mean, nearest or linear, got 'median'"),
        ({"length": "0"}, "option length: expected a whole number of 1 or more"),
        ({"side": "left"}, "option side: expected end or start"),
        ({"keep": "middle"}, "option keep: expected first or last"),
        ({"fill": "x"}, "option fill: expected a number"),
        ({"intervals": str(tmp_path / "none.csv")}, "none.csv: expected rows of clip_id, start, end"),
        ({"intervals": str(tmp_path / "words.txt")}, r"named \*.csv or \*.json"),
    ]:
        with pytest.raises(RunError, match=message) as error:
            export("hdf5", store, tmp_path / "out", options)
        assert "\n" not in str(error.value)
    for text, message in [
        ("clip_id,start\na,0\n", "KeyError: 'end'"),
        ("clip_id,start,end\na,x,1\n", "could not convert string to float: 'x'"),
        (f"clip_id,start,end\n{FIRST},0,1\n{FIRST},2,1\n", r"words.csv: row 2: expected start and end in seconds.*2.0"),
        (f"clip_id,start,end\n{FIRST},0,nan\n", "row 1: expected start and end"),
        ("clip_id,start,end\nstranger,0,1\n", "1 clip that the store does not know: stranger"),
    ]:
        words.write_text(text, encoding="utf-8")
        with pytest.raises(RunError, match=message):
            export("hdf5", store, tmp_path / "out", {"intervals": str(words)})
    assert [p.name for p in tmp_path.iterdir()] == ["words.csv"]


def test_random_weights_are_marked_where_the_columns_are(tmp_path):
    made = make_store(tmp_path / "store", specs=[GEMAPS, synthetic(ACTION_UNITS)])
    export("hdf5", made, tmp_path / "real.h5", {"features": "gemaps"})
    export("hdf5", made, tmp_path / "all.h5", {"allow_synthetic": "true"})
    with h5py.File(tmp_path / "all.h5") as file:
        assert file["columns/action_units"].attrs["synthetic"]
        assert not file["columns/gemaps"].attrs["synthetic"]
        assert file["columns/gemaps"].attrs["digest"] == GEMAPS.digest


@pytest.mark.parametrize("options", [{}, {"like": "gemaps"}, {"length": "4096"}], ids=["rate", "like", "length"])
def test_one_clip_at_a_time_is_in_memory(tmp_path, options):
    n_rows, n_clips = 4096, 6
    spec = replace(GEMAPS, columns=tuple(f"c{i}" for i in range(256)))
    values = np.random.default_rng(0).standard_normal((n_rows, 256)).astype(np.float32)
    whole = Features(values, regular_grid(n_rows / 25, 25), np.ones(n_rows, np.bool_))
    clips = [replace(CLIPS[0], id=f"c{i}") for i in range(n_clips)]
    same = {(clip.id, "gemaps"): whole for clip in clips}
    made = make_store(tmp_path / "s", clips, [spec], shards=[[i] for i in range(n_clips)], replaced=same)
    export("hdf5", made, tmp_path / "first", options)  # imports, and what the store keeps of its files
    peak = peak_of(lambda: export("hdf5", made, tmp_path / "second", options))
    # The clip before, which the loop still holds, this clip, and the same on its clock and cut to length.
    assert peak < (3.4 if "length" in options else 2.4) * values.nbytes


def test_a_feature_may_not_be_called_like_a_part_of_the_format(store, tmp_path):
    made = make_store(tmp_path / "store", specs=[replace(GEMAPS, name="times")])
    with pytest.raises(RunError, match="feature 'times': this name means something else"):
        export("hdf5", made, tmp_path / "out", {})


def test_a_clip_called_like_a_group_and_a_clip_without_anything(tmp_path):
    clips = [Clip("columns"), Clip("none"), Clip("..")]
    store = FeatureStore.create(tmp_path / "store")
    write_manifest(store.path / "manifest.parquet", clips, root=tmp_path, corpus="c")
    store.put("r-0", GEMAPS, [Entry(i, features(GEMAPS, i, 3)) for i in ("columns", "..")], {})
    lines = export("hdf5", store, tmp_path / "a.h5", {})
    assert lines[1:] == ["gemaps: 1 clip has none: none", "1 clip has no clock, and so no rows: none"]
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["clips"]["columns"]["gemaps"].shape == (3, 18)
        assert file["clips"]["none"]["times"].shape == (0, 2)
        assert set(file["clips"]) == {"columns", "none", ".."}
