"""Tables of features, read with pyarrow and pandas."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from configs.errors import RunError
from storage.exporters import export, parquet
from storage.exporters.parquet.validate import validate_folder
from tests.exports import contents
from tests.storage import toy

INDEX = ["clip_id", "row", "start", "end", "valid"]
FEATURES = ["action_units", "gemaps", "voice", "words"]


@pytest.fixture(scope="module", params=["wide", "list"])
def folder(request, tmp_path_factory) -> Path:
    """An export in each layout, that every test reads and none changes."""
    base = tmp_path_factory.mktemp("parquet")
    export("parquet", toy.make_store(base / "store"), base / request.param, {"layout": request.param})
    return base / request.param


def matrix(table: pd.DataFrame) -> np.ndarray:
    """Values of a table as (T, D), in either layout; NaN where null."""
    if list(table.columns) != [*INDEX, "values"]:
        return table.drop(columns=INDEX).to_numpy()
    width = max(len(row) for row in table["values"] if row is not None) if table["values"].notna().any() else 0
    return np.array([np.full(width, np.nan) if row is None else row for row in table["values"]])


def test_every_clip_is_read_back_with_times_and_mask(folder):
    for name in FEATURES:
        whole = pq.read_table(folder / f"{name}.parquet").to_pandas()
        assert list(dict.fromkeys(whole["clip_id"])) == list(toy.SECONDS)
        for clip_id, table in whole.groupby("clip_id", sort=False):
            source = toy.features(name, clip_id)
            assert table["row"].tolist() == list(range(len(source.valid)))
            assert table[["start", "end"]].to_numpy().tobytes() == source.times.tobytes()
            assert table["valid"].tolist() == source.valid.tolist()
            if source.valid.any():
                np.testing.assert_array_equal(matrix(table), source.values)


def test_values_are_null_and_not_nan_where_not_valid(folder):
    table = pq.read_table(folder / "action_units.parquet")
    for name in table.column_names[len(INDEX) :]:
        assert pc.equal(table[name].is_null(), pc.invert(table["valid"])).to_pylist() == [True] * len(table)
        numbers = table[name].drop_null().combine_chunks()
        assert np.isfinite(numbers.flatten() if folder.name == "list" else numbers).all()


def test_one_column_or_one_clip_can_be_read_alone(folder):
    path = folder / "gemaps.parquet"
    table = pq.read_table(path, filters=[("clip_id", "=", "b1")])
    assert len(table) == 80
    assert pq.read_table(path, columns=["clip_id", "valid"]).column_names == ["clip_id", "valid"]


def test_the_schema_says_what_the_numbers_are(folder):
    schema = pq.read_schema(folder / "action_units.parquet")
    known = json.loads(schema.metadata[b"merflow"])
    assert known["spec"]["columns"] == list(toy.FACE.columns)
    assert known["digest"] == toy.FACE.digest
    assert known["provenance"]["format"] == "parquet"
    types = [str(t) for t in schema.types]
    assert types[:5] == ["string", "int32", "double", "double", "bool"]
    wide = dict.fromkeys(toy.FACE.columns, "float")
    expected = wide if folder.name == "wide" else {"values": "fixed_size_list<element: float>[3]"}
    assert dict(zip(schema.names[5:], types[5:], strict=True)) == expected


def test_the_table_of_clips_has_labels_by_name(folder):
    table = pq.read_table(folder / "clips.parquet").to_pandas()
    assert table["clip_id"].tolist() == list(toy.SECONDS)
    assert table["labels.audio"].tolist() == ["netral"] * 7
    assert table["dimensions.sentiment"].tolist() == [(i - 3) / 3 for i in range(7)]
    assert table["label_raw"].tolist() == [clip.label_raw for clip in toy.clips()]
    assert pd.isna(table["label"][4])
    assert table["duration"].tolist() == list(toy.SECONDS.values())
    assert json.loads(pq.read_schema(folder / "clips.parquet").metadata[b"merflow"])["corpus"] == "toy"
    assert {p.name for p in folder.iterdir()} == {
        *(f"{name}.parquet" for name in FEATURES),
        "README.md",
        "clips.parquet",
        "missing.json",
        "provenance.json",
    }


def test_numbered_columns_are_wide_up_to_1000_and_named_ones_always(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_WIDEST", 2)
    store = toy.make_store(tmp_path / "named", ("action_units",))
    export("parquet", store, tmp_path / "named-out", {})
    named = pd.read_parquet(tmp_path / "named-out/action_units.parquet", columns=["AU01_r"])
    assert named["AU01_r"].to_numpy(np.float32).size == 130
    monkeypatch.setattr(parquet, "_WIDEST", 5)
    lines = export("parquet", toy.make_store(tmp_path / "s", ("gemaps", "voice")), tmp_path / "out", {})
    assert lines == [
        "gemaps.parquet: 7 clips, 520 rows x 18 columns",
        "voice.parquet: 7 clips, 7 rows x 5 columns",
        "clips.parquet: 7 clips",
    ]
    assert pq.read_schema(tmp_path / "out/gemaps.parquet").names == [*INDEX, "values"]
    assert pq.read_schema(tmp_path / "out/voice.parquet").names == [*INDEX, *toy.VOICE.columns]


def test_a_clip_is_never_divided_between_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 6000)
    export("parquet", toy.make_store(tmp_path / "s", ("gemaps",)), tmp_path / "out", {})
    with pq.ParquetFile(tmp_path / "out/gemaps.parquet") as file:
        groups = [set(file.read_row_group(i)["clip_id"].to_pylist()) for i in range(file.num_row_groups)]
    assert len(groups) > 3
    assert sorted(clip_id for group in groups for clip_id in group) == sorted(toy.SECONDS)
    assert not list(validate_folder(tmp_path / "out"))


def test_clips_that_lack_a_feature_are_not_in_its_table(tmp_path):
    store = toy.make_store(tmp_path / "s", without={("b1", "voice")})
    with pytest.raises(RunError, match=r"1 clip has no voice: b1; --opt missing=omit leaves them out of that table"):
        export("parquet", store, tmp_path / "out", {})
    export("parquet", store, tmp_path / "out", {"missing": "omit"})
    assert json.loads((tmp_path / "out/missing.json").read_text())["voice"] == ["b1"]
    assert pq.read_table(tmp_path / "out/voice.parquet")["clip_id"].to_pylist() == [i for i in toy.SECONDS if i != "b1"]
    assert len(pq.read_table(tmp_path / "out/clips.parquet")) == 7


def test_the_order_in_which_shards_finished_changes_no_byte(tmp_path):
    for i, shards in enumerate([[range(7)], [[6, 2], [0, 1, 5], [4, 3]]]):
        export("parquet", toy.make_store(tmp_path / f"{i}/s", shards=shards), tmp_path / f"{i}/out", {})
    assert contents(tmp_path / "0/out") == contents(tmp_path / "1/out")


def test_refusals_name_what_to_do(tmp_path):
    store = toy.make_store(tmp_path / "s", ("voice",))
    store.put("x", replace(toy.WORDS, name="odd", columns=("start", "w", "w")), [], {})
    store.put("y", replace(toy.WORDS, name="clips"), [], {})
    for options, message in [
        ({}, "feature 'clips': this name means something else in this format"),
        ({"features": "odd"}, r"feature odd: columns start, w, w are there twice in a wide table; --opt layout=list"),
        ({"features": "voice", "layout": "tall"}, "option layout: expected auto, wide or list, got 'tall'"),
    ]:
        with pytest.raises(RunError, match=message):
            export("parquet", store, tmp_path / "out", options)
    export("parquet", store, tmp_path / "out", {"features": "odd", "layout": "list", "missing": "omit"})
    assert len(pq.read_table(tmp_path / "out/odd.parquet")) == 0


def column(name, change):
    """A change of one column of the table, given its Python values."""

    def apply(table: pa.Table) -> pa.Table:
        values = table[name].to_pylist()
        change(values)
        place = table.column_names.index(name)
        return table.set_column(place, name, pa.array(values, table.schema.field(name).type))

    return apply


def put(place, value):
    return lambda values: values.__setitem__(place, value)


BREAKS = {
    "words.parquet: expected columns {'clip_id'": lambda t: t.drop_columns(["end"]),
    "words.parquet, column w0: expected float32, got double": lambda t: t.set_column(5, "w0", t["w0"].cast("double")),
    "words.parquet, clip a.1, w0: expected null exactly where not valid, got null in row 1": column("w0", put(1, None)),
    "words.parquet, clip a.1, w1: expected finite numbers, got [inf] in row 1": column("w1", put(1, np.inf)),
    "words.parquet, clip a.1, row: expected a count from 0, got 7 in row 1": column("row", put(1, 7)),
    "words.parquet, clip a.1, start: expected 0 or more seconds, got -1.0 in row 0": column("start", put(0, -1.0)),
    "words.parquet, clip a.1, end: expected an end after the start, got 0.0 in row 0": column("end", put(0, 0.0)),
    "words.parquet, clip a.1: expected its rows together in one row group, got more of them later": column(
        "clip_id", put(4, "a.1")
    ),
}


@pytest.mark.parametrize("message", BREAKS)
def test_the_validator_names_clip_field_expected_and_got(tmp_path, message):
    export("parquet", toy.make_store(tmp_path / "s", ("words",)), tmp_path / "out", {})
    assert not list(validate_folder(tmp_path / "out"))
    path = tmp_path / "out/words.parquet"
    table = BREAKS[message](pq.read_table(path))
    pq.write_table(table, path)
    assert [line for line in validate_folder(tmp_path / "out") if line.startswith(message)], list(
        validate_folder(tmp_path / "out")
    )
