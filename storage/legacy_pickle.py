"""Pickles that NumPy 1.x and 2.x both read, and a reader that builds nothing but arrays and plain values.

NumPy 2 names its inner module `numpy._core`, which NumPy 1 lacks: a pickle of arrays made with 2.x does not load with
1.24. Both load the older name, `numpy.core`. Protocol 4, because 1.26 cannot read protocol 5 of NumPy 2 either.
"""

from __future__ import annotations

import pickle
import types
from pathlib import Path
from typing import IO, Any

from storage.errors import StoreError

PROTOCOL = 4
_NEW, _OLD = "numpy._core", "numpy.core"
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),  # how protocol 2 spells bytes
    *(("builtins", name) for name in ("bytearray", "complex", "frozenset", "set", "slice", "range")),
}
# What the unpickler is known to raise on bytes that are not a pickle, or not a whole one.
_DAMAGE = (pickle.UnpicklingError, EOFError, OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError)


# The pickler in Python, not the one in C, for only it lets a subclass choose how a global is named.
_PythonPickler: Any = pickle._Pickler


class _LegacyPickler(_PythonPickler):  # type: ignore[misc]
    def save_global(self, obj: Any, name: str | None = None) -> None:
        name = name or str(obj.__qualname__)
        module = str(getattr(obj, "__module__", ""))
        if module != _NEW and not module.startswith(f"{_NEW}."):
            super().save_global(obj, name)
            return
        self.save(_OLD + module.removeprefix(_NEW))
        self.save(name)
        self.write(pickle.STACK_GLOBAL)
        self.memoize(obj)

    dispatch = {**_PythonPickler.dispatch, types.FunctionType: save_global}  # noqa: RUF012


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        new = "builtins" if module == "__builtin__" else module  # protocol 2 uses Python 2's name
        if module == _OLD or module.startswith(f"{_OLD}."):
            new = _NEW + module.removeprefix(_OLD)
        if (new, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; only arrays and plain values are allowed")
        return super().find_class(new, name)


def dump(value: object, file: IO[bytes]) -> None:
    """Write a pickle that NumPy 1.24 and newer read.

    Args:
        value: Arrays and plain values, in lists, tuples and dicts.
        file: Open for writing.
    """
    _LegacyPickler(file, PROTOCOL).dump(value)


def load(path: Path) -> Any:
    """Read a pickle that holds arrays and plain values only. Nothing in it can run code.

    Raises:
        StoreError: If the file is missing or damaged, or asks for anything else; names it.
    """
    try:
        with path.open("rb") as file:
            return _RestrictedUnpickler(file).load()
    except _DAMAGE as error:
        raise StoreError(f"{path}: not a pickle of arrays: {error}") from error
