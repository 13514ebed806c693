"""The datasets of a shard file, by h5py's low-level interface; what leads into another file is refused.

Thousands of small datasets are read where a store has no index yet: h5py's own objects would cost as much again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from storage.errors import StoreError
from storage.store.files import open_hdf5
from storage.store.layout import SHARD_FORMAT

if TYPE_CHECKING:
    import h5py

DAMAGE = (
    RuntimeError,
    OSError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
)
"""What h5py, and whoever reads what it gave, raise where a file's bytes are wrong."""


def open_shard_file(path: Path) -> h5py.File:
    """Open for reading, without file locks (network file systems).

    Raises:
        StoreError: If it is not a whole shard file of a known format.
    """
    file = open_hdf5(path)
    try:
        version = file.attrs.get("format")
    except DAMAGE as error:
        file.close()
        raise StoreError(f"{path}: damaged: {error}") from error
    if version != SHARD_FORMAT:
        file.close()
        raise StoreError(f"{path}: expected shard file format {SHARD_FORMAT}, got {version}")
    return file


def read_dataset(group: h5py.Group, name: str) -> npt.NDArray[Any]:
    """A whole dataset, by h5py's low-level interface: thousands of small ones are read to open a store.

    Args:
        group: A file or a group of it.
        name: Name of the dataset.
    """
    import h5py

    dataset = h5py.h5d.open(group.id, name.encode())
    kind = dataset.get_type()
    array = np.empty(dataset.shape, kind.dtype)
    # A name for the type in memory spares a conversion; text is converted, for its objects are Python's.
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array, mtype=None if array.dtype.hasobject else kind)
    return array


def refuse_links(group: h5py.h5g.GroupID) -> None:
    """Refuse links and layouts that lead into other files, before anything of a file is read."""
    from h5py import h5d, h5g, h5l, h5o

    for name in group:
        text = name.decode(errors="replace")
        if group.links.get_info(name).type != h5l.TYPE_HARD:
            raise ValueError(f"{text} is a link")
        found = h5o.open(group, name)
        if isinstance(found, h5g.GroupID):
            refuse_links(found)
        elif isinstance(found, h5d.DatasetID):
            layout = found.get_create_plist()
            if layout.get_layout() == h5d.VIRTUAL or layout.get_external_count():
                raise ValueError(f"{text} lies in another file")


def texts(group: h5py.Group, name: str) -> list[str]:
    """A dataset of text.

    Args:
        group: A file or a group of it.
        name: Name of the dataset.
    """
    return [value.decode() for value in read_dataset(group, name)]
