"""Pickles of arrays for old and new NumPy, and a reader that runs nothing."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from storage.errors import StoreError
from storage.legacy_pickle import dump, load


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
