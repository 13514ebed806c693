"""Parts of validators: one line per problem that names clip, field, what was expected and what was found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from storage.errors import StoreError
from storage.wording import counted

Shape = tuple[int | None, ...]
# What pandas, with which loaders read transcripts, takes for no text: a prompt would say "nan".
NOT_TEXT = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
        *("NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)


def float_type(value: object) -> npt.DTypeLike:
    """The type that values must have: float16 where they are, for that can be asked for, else float32."""
    return np.float16 if isinstance(value, np.ndarray) and value.dtype == np.float16 else np.float32


def array_problem(where: str, value: object, shape: Shape, dtype: npt.DTypeLike = np.float32) -> str | None:
    """Why an array is not what a reader expects; None if it is.

    Args:
        where: Clip and field, such as `clip a, video_feature`.
        value: The array.
        shape: Its sides; None for any length.
        dtype: Its type.
    """
    if not isinstance(value, np.ndarray):
        return f"{where}: expected an array, got {type(value).__name__}"
    if value.dtype != dtype:
        return f"{where}: expected {np.dtype(dtype)}, got {value.dtype}"
    if value.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, value.shape, strict=True)):
        expected = ", ".join("any" if n is None else str(n) for n in shape)
        return f"{where}: expected shape ({expected}), got {value.shape}"
    # One number tells for most arrays, without a mask as long as a quarter of them.
    if not np.isfinite(value.sum(dtype=np.float64)) and not np.isfinite(value).all():
        bad = value[~np.isfinite(value)]
        return f"{where}: expected finite numbers, got {bad.size} that are not, first {bad.flat[0]}"
    return None


def npy_problem(path: Path, where: str, shape: Shape, dtype: npt.DTypeLike | None = np.float32) -> str | None:
    """Why a `.npy` file is not what a reader expects; None if it is.

    Args:
        path: The file.
        where: Clip and field.
        shape: Sides of the array; None for any length.
        dtype: Its type; None for float32 or float16.
    """
    if not path.is_file():
        return f"{where}: expected {path.parent.name}/{path.name}, got no file"
    try:
        value = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        return f"{where}: expected an array in {path.name}, got what cannot be read: {error}"
    return array_problem(where, value, shape, float_type(value) if dtype is None else dtype)


def prefixes(ids: Iterable[str]) -> list[tuple[str, str]]:
    """Ids that another id begins with, each with the first such id."""
    ordered = sorted(set(ids))
    # Whatever begins with an id follows it at once in this order.
    return [(one, after) for one, after in pairwise(ordered) if after.startswith(one)]


def problems_in(problems: Iterable[str | None]) -> Iterator[str]:
    """The problems among results that are None where there is no problem."""
    return (problem for problem in problems if problem is not None)


def refuse_invalid(problems: Iterable[str], name: str) -> None:
    """Refuse to publish an export that its own validator finds fault with.

    Args:
        problems: What the validator says.
        name: Export format.

    Raises:
        StoreError: With the first problem and how many more there are.
    """
    listed = list(problems)
    if listed:
        more = f" (and {counted(len(listed) - 1, 'more problem')})" if len(listed) > 1 else ""
        raise StoreError(f"format {name}: {listed[0]}{more}")
