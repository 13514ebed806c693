"""Many small groups, datasets and attributes, through h5py's low-level interface.

The bytes are those that `create_group`, `create_dataset` and `attrs[...] =` give: property lists are set as h5py does.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5a, h5d, h5g, h5p, h5s, h5t


@cache
def _text_type() -> Any:
    return h5t.py_create(h5py.string_dtype(), logical=True)


@cache
def _group_lists() -> tuple[Any, Any]:
    """Property lists for links with plain names, and for groups without times."""
    links, groups = h5p.create(h5p.LINK_CREATE), h5p.create(h5p.GROUP_CREATE)
    links.set_create_intermediate_group(True)
    links.set_char_encoding(h5t.CSET_ASCII)
    groups.set_obj_track_times(False)
    return links, groups


@lru_cache(4096)
def _dataset_list(compression: str = "none", shape: tuple[int, ...] = ()) -> Any:
    made = h5p.create(h5p.DATASET_CREATE)
    made.set_obj_track_times(False)
    if compression == "gzip" and all(shape):
        made.set_chunk(shape)  # a clip's rows are read together
        made.set_shuffle()
        made.set_deflate(4)
    return made


@cache
def _array_type(dtype: np.dtype[Any]) -> Any:
    return h5t.py_create(dtype, logical=True)


@lru_cache(4096)
def _space(shape: tuple[int, ...]) -> Any:
    return h5s.create_simple(shape)


def create_group(parent: Any, name: str) -> Any:
    """Create a group; give its low-level id.

    Args:
        parent: Low-level id of the group above.
        name: Its name, in ASCII.
    """
    links, groups = _group_lists()
    return h5g.create(parent, name.encode("ascii"), lcpl=links, gcpl=groups)


def write_array(parent: Any, name: str, array: npt.NDArray[Any], compression: str = "none") -> None:
    """Create a dataset of numbers or truth values.

    Args:
        parent: Low-level id of its group.
        name: Its name, in ASCII.
        array: Its values.
        compression: `none` or `gzip`.
    """
    kind = _array_type(array.dtype)
    lists = _dataset_list() if compression == "none" else _dataset_list(compression, array.shape)
    dataset = h5d.create(parent, name.encode("ascii"), kind, _space(array.shape), dcpl=lists)
    dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(array), mtype=kind)


def write_text(owner: Any, name: str, text: str) -> None:
    """Create an attribute of text.

    Args:
        owner: Low-level id of the group that has it.
        name: Its name, in ASCII.
        text: Its value.
    """
    attribute = h5a.create(owner, name.encode("ascii"), _text_type(), _space(()))
    attribute.write(np.array(text, dtype=h5py.string_dtype()))
