"""Pickles larger than memory should hold at once: values are made when their turn comes and forgotten once written."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import IO, Any

from storage.legacy_pickle import PROTOCOL, _LegacyPickler


class Later:
    """A value to be made while it is pickled; it loads as the value itself.

    Args:
        make: Makes the value. What it gives must share no object with other parts of the pickle.
    """

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make


class _LazyPickler(_LegacyPickler):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, PROTOCOL)
        self._count = 0

    def memoize(self, obj: Any) -> None:
        # Readers number what they memorise on their own and never forget: so the count goes on after `clear_memo`.
        self.write(pickle.MEMOIZE)
        self.memo[id(obj)] = self._count, obj
        self._count += 1

    def _save_later(self, later: Later) -> None:
        self.save(later.make())
        self.clear_memo()

    dispatch = {**_LegacyPickler.dispatch, Later: _save_later}  # noqa: RUF012


def dump_lazily(value: object, file: IO[bytes]) -> None:
    """Write a pickle that NumPy 1.24 and newer read, one `Later` in memory at a time.

    Args:
        value: Arrays, plain values and `Later`, in lists and dicts.
        file: Open for writing.
    """
    _LazyPickler(file).dump(value)
