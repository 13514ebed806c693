"""Pickles and npz that NumPy 1.x and 2.x both read, and readers that build nothing but arrays and plain values.

NumPy 2 names its inner module `numpy._core`, which NumPy 1 lacks: a pickle of arrays made with 2.x does not load with
1.24, nor does an npz of objects. Both load the older name, `numpy.core`. Protocol 4, because 1.26 cannot read protocol
5 of NumPy 2 either.
"""

from __future__ import annotations

import pickle
import types
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from struct import pack
from typing import IO, Any

import numpy as np
import numpy.typing as npt

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
_ZIP_DAMAGE = (*_DAMAGE, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


# The pickler in Python, not the one in C, for only it lets a subclass choose how a global is named.
_PythonPickler: Any = pickle._Pickler


class Later:
    """A value that is made when its turn to be pickled comes, and forgotten once written; it loads as the value.

    Args:
        make: Makes the value. What it gives must share no object with other parts of the pickle.
    """

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make


class _Bytes:
    """The bytes of an array, for its state in a pickle."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array


class _LegacyPickler(_PythonPickler):  # type: ignore[misc]
    def __init__(self, file: IO[bytes], protocol: int) -> None:
        super().__init__(file, protocol)
        self._memorised = 0

    def memoize(self, obj: Any) -> None:
        # Readers number what they memorise on their own and never forget: so the count goes on after `clear_memo`.
        self.write(pickle.MEMOIZE)
        self.memo[id(obj)] = self._memorised, obj
        self._memorised += 1

    def save_later(self, later: Later) -> None:
        self.save(later.make())
        self.clear_memo()

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

    def save_array(self, array: npt.NDArray[Any]) -> None:
        """Write an array as NumPy reduces it, its bytes from where they are: `tobytes` would hold them twice."""
        if array.dtype.hasobject or not array.flags.c_contiguous or not array.ndim:
            self.save_reduce(*array.__reduce__(), obj=array)
            return
        reduced: Any = array[:0].__reduce__()
        function, arguments, _ = reduced
        self.save_reduce(function, arguments, (1, array.shape, array.dtype, False, _Bytes(array)), obj=array)

    def save_bytes_of(self, value: _Bytes) -> None:
        array = value.array
        if array.nbytes < self.framer._FRAME_SIZE_TARGET:
            self.save(array.tobytes())
            return
        large = array.nbytes > 0xFFFFFFFF
        header = pickle.BINBYTES8 + pack("<Q", array.nbytes) if large else pickle.BINBYTES + pack("<I", array.nbytes)
        self._write_large_bytes(header, array.reshape(-1).view(np.uint8).data)
        self.memoize(value)

    dispatch = {  # noqa: RUF012
        **_PythonPickler.dispatch,
        types.FunctionType: save_global,
        Later: save_later,
        np.ndarray: save_array,
        _Bytes: save_bytes_of,
    }


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
        value: Arrays, plain values and `Later`, in lists, tuples and dicts. One `Later` is in memory at a time.
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


def dump_npz(values: Mapping[str, object], file: IO[bytes]) -> None:
    """Write a compressed npz of plain values, each a 0-d array of one object, as `np.savez_compressed` does.

    NumPy 1.24 and newer read it with `allow_pickle=True`; the value is `np.load(file)[name].tolist()`.

    Args:
        values: Plain values, such as dicts of texts and numbers, by name.
        file: Open for writing.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in values.items():
            array = np.empty((), object)
            array[()] = value
            # Opened by name, a member has no time of day: equal values give equal bytes.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {"descr": "|O", "fortran_order": False, "shape": ()}
                np.lib.format.write_array_header_1_0(member, header)
                _LegacyPickler(member, PROTOCOL).dump(array)


def load_npz(path: Path) -> dict[str, Any]:
    """Read an npz whole: arrays, or plain values in arrays of objects. Nothing in it can run code.

    Raises:
        StoreError: If the file is missing or damaged, or asks for anything else; names it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _member(archive, name) for name in archive.namelist()}
    except _ZIP_DAMAGE as error:
        raise StoreError(f"{path}: not an npz of arrays: {error}") from error


def _member(archive: zipfile.ZipFile, name: str) -> Any:
    with archive.open(name) as file:
        major, _ = np.lib.format.read_magic(file)
        readers = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        _, _, dtype = readers[major](file)
        if dtype.hasobject:
            return _RestrictedUnpickler(file).load()
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
