"""A folder that is replaced is the old one or the new one, whatever the system offers for it."""

from __future__ import annotations

import ctypes
from unittest import mock

import pytest

from storage.atomic import publish


class _WithoutExchange:
    """The C library of a system without `renameat2`."""


@pytest.fixture(params=["exchange", "two_steps"])
def system(request):
    replaced = {} if request.param == "exchange" else {"CDLL": lambda *_, **__: _WithoutExchange()}
    with mock.patch.multiple(ctypes, **replaced) if replaced else mock.patch.object(ctypes, "_unused", 0, create=True):
        yield request.param


def make(folder, text):
    folder.mkdir()
    (folder / "a.txt").write_text(text)


@pytest.mark.usefixtures("system")
def test_the_new_folder_stands_where_the_old_one_was(tmp_path):
    make(tmp_path / "out", "old")
    (tmp_path / "out" / "b.txt").write_text("only in the old one")
    with publish(tmp_path / "out") as temporary:
        make(temporary, "new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.txt"]
    assert (tmp_path / "out" / "a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.usefixtures("system")
def test_a_block_that_fails_leaves_the_old_folder(tmp_path):
    def interrupted():
        with publish(tmp_path / "out") as temporary:
            make(temporary, "new")
            raise RuntimeError

    make(tmp_path / "out", "old")
    with pytest.raises(RuntimeError):
        interrupted()
    assert (tmp_path / "out" / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
