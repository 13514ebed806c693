"""One HDF5 file: every feature of every clip on one clock, with masks.

```
/clips/<clip_id>/<feature> (N, D) float32   mean over each interval of the clock; NaN where the mask is False
/clips/<clip_id>/times (N, 2) float64       seconds from the clip's start, half-open [start, end)
/clips/<clip_id>/mask/<feature> (N,) bool   False where the feature has nothing for that interval
/columns/<feature> (D,) text                names of the columns; attributes: units, level, source, synthetic, digest
/missing/<feature> (n,) text                clips without this feature; they have no dataset for it
attributes of a clip: label, label_raw, text, split, speaker, language (those it has), labels (JSON)
attributes of the file: format, rate, fill, provenance (JSON)
```

A clip's clock is regular (`rate` intervals per second) and covers [0, the latest end of its features). Clips are in
manifest order. A feature with one row per clip repeats it over the interval that the row covers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.errors import RunError
from storage.exporters._base import some, spec_of
from storage.records import Clip, Features
from storage.timeline import align, regular_grid

if TYPE_CHECKING:
    from storage.store import FeatureStore

OPTIONS = {
    "features": "features to export, separated by commas; default all",
    "rate": "intervals per second of the clock; default 25",
}
FORMAT = 1
_FILL = "NaN in every row whose mask is False"
_TEXTS = ("label", "label_raw", "text", "split", "speaker", "language")
_TAKEN = ("times", "mask")


def features_of(store: FeatureStore, options: Mapping[str, str]) -> list[str]:
    """Features to export.

    Raises:
        RunError: If the store lacks one, or one's name means something else in this format.
    """
    asked = [name.strip() for name in options.get("features", "").split(",") if name.strip()] or list(store.specs)
    for name in asked:
        spec_of(store, name)
        if name in _TAKEN:
            raise RunError(f"feature {name!r}: this name means something else in the HDF5 export; choose others")
    return list(dict.fromkeys(asked))


def write(store: FeatureStore, destination: Path, options: Mapping[str, str], provenance: str) -> list[str]:
    """Write the file, one clip at a time.

    Raises:
        RunError: If `rate` is not a positive number.
    """
    import h5py

    rate, features = _rate(options), features_of(store, options)
    missing: dict[str, list[str]] = {name: [] for name in features}
    clips = 0
    with h5py.File(destination, "w") as file:
        file.attrs.update({"format": FORMAT, "rate": rate, "fill": _FILL, "provenance": provenance})
        group = file.create_group("clips", track_order=True)
        for clip in store.clips():
            found = {name: store.get(clip.id, name) for name in features if store.has(clip.id, name)}
            _write_clip(group.create_group(clip.id), clip, found, rate)
            for name in features:
                missing[name] += [] if name in found else [clip.id]
            clips += 1
        _write_columns(file, store, features)
        _write_texts(file.create_group("missing"), missing)
    absent = [f"{name}: {len(ids)} clips have none: {some(ids)}" for name, ids in missing.items() if ids]
    return [f"{clips} clips, {len(features)} features at {rate:g} Hz", *absent]


def _rate(options: Mapping[str, str]) -> float:
    try:
        rate = float(options.get("rate", "25"))
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise RunError(f"option rate: expected a positive number of intervals per second, got {options['rate']!r}")
    return rate


def _write_clip(group: Any, clip: Clip, found: Mapping[str, Features], rate: float) -> None:
    grid = regular_grid(max((float(f.times.max(initial=0.0)) for f in found.values()), default=0.0), rate)
    group.create_dataset("times", data=grid)
    masks = group.create_group("mask")
    for name, features in found.items():
        values, valid = align(features, grid)
        group.create_dataset(name, data=values)
        masks.create_dataset(name, data=valid)
    texts = {name: text for name in _TEXTS if (text := getattr(clip, name)) is not None}
    group.attrs.update({name: text.replace("\0", "\ufffd") for name, text in texts.items()})  # HDF5 text ends at 0
    group.attrs["labels"] = json.dumps(dict(clip.labels), ensure_ascii=False)


def _write_columns(file: Any, store: FeatureStore, features: list[str]) -> None:
    group = file.create_group("columns")
    _write_texts(group, {name: store.specs[name].columns for name in features})
    for name in features:
        spec = store.specs[name]
        kept = {"level": spec.level, "source": spec.source, "synthetic": spec.synthetic, "digest": spec.digest}
        group[name].attrs.update({**kept, "units": json.dumps(spec.units, ensure_ascii=False)})


def _write_texts(group: Any, values: Mapping[str, Any]) -> None:
    import h5py

    for name, texts in values.items():
        group.create_dataset(name, data=np.array(list(texts), dtype=object), dtype=h5py.string_dtype())
