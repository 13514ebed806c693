"""How long each clip is by each of its features: rows, seconds, and the share of rows that are valid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage.store.shard_reader import ShardReader
from storage.store.store import FeatureStore

AGREEMENT = 0.1  # seconds by which a feature's end may differ from its clip's before the report names the clip


class Lengths(NamedTuple):
    """One feature over all clips of a store's manifest.

    Attributes:
        rows: (n,) rows; 0 where the clip has none.
        ends: (n,) seconds at which the last row ends; NaN where the clip has none.
        valid: (n,) share of the rows that are valid; NaN where the clip has none.
    """

    rows: npt.NDArray[np.int64]
    ends: npt.NDArray[np.float64]
    valid: npt.NDArray[np.float64]


def lengths_of(store: FeatureStore, numbers: npt.NDArray[np.int64], feature: str) -> Lengths:
    """Lengths of all clips by one feature; each shard file is read once, without its values.

    Args:
        store: The store.
        numbers: (n,) number of each clip in the store's index, see `States`.
        feature: Name of the feature.
    """
    rows = np.zeros(len(numbers), np.int64)
    ends, valid = np.full(len(numbers), np.nan), np.full(len(numbers), np.nan)
    found = store.index.features.get(feature)
    if found is None:
        return Lengths(rows, ends, valid)
    is_known = (numbers >= 0) & (numbers < len(found.file))
    places = np.flatnonzero(is_known)
    held = numbers[places]
    is_stored = (found.start[held] >= 0) & (found.removed[held] == 0)
    places, held = places[is_stored], held[is_stored]
    starts, stops, files = found.start[held], found.stop[held], found.file[held]
    rows[places] = stops - starts
    for number in np.unique(files):
        file = store.index.files[int(number)]
        of_file = np.flatnonzero((files == number) & (stops > starts))
        if not len(of_file):
            continue
        reader = ShardReader(file.path, file.arrays)
        first, last = int(starts[of_file].min()), int(stops[of_file].max())
        times, mask = reader.times_and_mask(first, last)
        reader.close()
        summed = np.r_[0, np.cumsum(mask)]
        begin, end = starts[of_file] - first, stops[of_file] - first
        ends[places[of_file]] = np.maximum.reduceat(np.r_[times[:, 1], -np.inf], np.c_[begin, end].ravel())[::2]
        valid[places[of_file]] = (summed[end] - summed[begin]) / (end - begin)
    return Lengths(rows, ends, valid)
