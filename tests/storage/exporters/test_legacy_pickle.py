"""Pickles of arrays for old and new NumPy, and a reader that runs nothing."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import tracemalloc
import zipfile

import numpy as np
import pytest

from storage.errors import StoreError
from storage.exporters._shared.legacy_pickle import Later, dump, dump_npz, load, load_npz


def test_pickle_round_trip(tmp_path):
    value = [
        {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.asfortranarray(np.eye(3))},
        np.float64(0.1),
        np.array(["x", "y"]),
        {"label": 3, "names": ("a", b"b", None, 1 + 2j, {1, 2})},
    ]
    with (tmp_path / "p.pkl").open("wb") as file:
        dump(value, file)
    found = load(tmp_path / "p.pkl")
    assert repr(found) == repr(value)
    assert found[0]["a"].dtype == np.float32
    for protocol in range(2, 6):
        (tmp_path / "p.pkl").write_bytes(pickle.dumps(value, protocol))
        assert repr(load(tmp_path / "p.pkl")) == repr(value)


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harm",)


def test_pickles_that_are_not_arrays_are_refused(tmp_path):
    path = tmp_path / "p.pkl"
    path.write_bytes(pickle.dumps([Harmful()]))
    with pytest.raises(StoreError, match=r"asks for posix.system; only arrays"):
        load(path)
    path.write_bytes(pickle.dumps(eval))
    with pytest.raises(StoreError, match=r"asks for builtins.eval"):
        load(path)
    for junk in (b"", b"junk", pickle.dumps([1] * 100)[:20], b"\x80\x04]q."):
        path.write_bytes(junk)
        with pytest.raises(StoreError, match="not a pickle of arrays"):
            load(path)


def pickled(value: object) -> bytes:
    file = io.BytesIO()
    dump(value, file)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated")
def test_values_made_later_load_as_themselves():
    array = np.arange(6, dtype=np.float32)
    later = [Later(lambda i=i: {"name": f"c{i}", "feature": array + i, "more": (i, "c0", None)}) for i in range(4)]
    found = pickle.loads(pickled({"before": ["c0", array], "items": later, "after": "c0"}))
    assert found["before"][0] == found["after"] == "c0"
    assert [item["more"] for item in found["items"]] == [(i, "c0", None) for i in range(4)]
    assert all((item["feature"] == array + i).all() for i, item in enumerate(found["items"]))


def test_one_value_made_later_is_in_memory_at_a_time(tmp_path):
    size, number = 1 << 20, 16
    tracemalloc.start()
    try:
        with (tmp_path / "p.pkl").open("wb") as file:
            dump([Later(lambda: np.zeros(size // 4, np.float32)) for _ in range(number)], file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "p.pkl").stat().st_size > number * size
    assert peak < 3 * size


def test_pickles_name_no_module_that_old_numpy_lacks():
    codes = list(pickletools.genops(pickled([np.zeros(3), np.float32(1)])))
    texts = [arg for _, arg, _ in codes if isinstance(arg, str)]
    assert "numpy.core.multiarray" in texts
    assert not [t for t in texts if "numpy._core" in t]
    assert codes[0][1] == 4


OLD = """
import json, pickle, sys
with open(sys.argv[1], "rb") as file:
    arrays = pickle.load(file)
labels = numpy.load(sys.argv[2], allow_pickle=True)["train_corpus"].tolist()
kinds = [type(v).__name__ for label in labels.values() for v in label.values()]
print(json.dumps([[a.tolist() for a in arrays], [str(a.dtype) for a in arrays], labels, kinds]))
"""


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated")
def test_old_numpy_reads_both_and_the_same(tmp_path, numpy124):
    arrays = [np.arange(4, dtype=np.float32).reshape(2, 2), np.asfortranarray(np.eye(2)), np.array(["x", "yz"])]
    (tmp_path / "a.pkl").write_bytes(pickled(arrays))
    labels = {"b": {"emo": "sad", "val": -10.0}, "a": {"emo": 3, "val": 0.5}}
    with (tmp_path / "a.npz").open("wb") as file:
        dump_npz({"train_corpus": labels, "val_corpus": {}}, file)
    values, dtypes, read, kinds = json.loads(numpy124(OLD, tmp_path / "a.pkl", tmp_path / "a.npz"))
    assert values == [a.tolist() for a in arrays]
    assert dtypes == [str(a.dtype) for a in arrays]
    assert (list(read.items()), kinds) == (list(labels.items()), ["str", "float", "int", "float"])
    assert np.load(tmp_path / "a.npz", allow_pickle=True)["train_corpus"].tolist() == labels


def test_npz_round_trip_and_equal_bytes(tmp_path):
    values = {"train_corpus": {"a": {"emo": "sad", "val": 1.5}}, "n": [1, None, "x"]}
    for name in ("one", "two"):
        with (tmp_path / name).open("wb") as file:
            dump_npz(values, file)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    found = load_npz(tmp_path / "one")
    assert {name: array.tolist() for name, array in found.items()} == values
    np.savez_compressed(tmp_path / "numpy.npz", plain=np.eye(2), objects=np.array({"a": 1}, dtype=object))
    found = load_npz(tmp_path / "numpy.npz")
    assert found["plain"].tolist() == np.eye(2).tolist()
    assert found["objects"].tolist() == {"a": 1}


def test_npz_that_are_not_arrays_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([Harmful()], dtype=object))
    with pytest.raises(StoreError, match=r"a\.npz: .*asks for posix.system; only arrays"):
        load_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"junk")
    for junk in (path.read_bytes(), b"", b"junk"):
        path.write_bytes(junk)
        with pytest.raises(StoreError, match="not an npz of arrays"):
            load_npz(path)
    with pytest.raises(StoreError, match=r"none\.npz"):
        load_npz(tmp_path / "none.npz")
