"""One HDF5 file: every feature of every clip, time-aligned, with masks.

```
/clips/<clip_id>/<feature> (N, D) float32   (or float16) the feature on the clip's clock; `fill` where the mask is False
/clips/<clip_id>/times (N, 2) float64       seconds from the clip's start, half-open [start, end); NaN in padding
/clips/<clip_id>/mask/<feature> (N,) bool   False where the feature has nothing for that interval, and in padding
/clips/<clip_id>/interval_labels (N,) text  words or other labels of the intervals, where the file of intervals has any
/columns/<feature> (D,) text                names of the columns; attributes: units, level, source, synthetic, digest
/missing/<feature> (n,) text                clips without this feature; they have no dataset for it
/missing/times (n,) text                    clips without a clock: no rows of the feature it follows, no intervals
attributes of a clip: label, label_raw, text, split, speaker, group, language, source_id (those it has); labels,
                      dimensions (JSON)
attributes of the file: format, clock, rate (of a regular clock), method, fill, provenance (JSON)
```

A clip's clock is regular (`rate`) and covers [0, the latest end of its features), or follows the rows of one feature
(`like`), or the intervals of a file (`intervals`). Clips are in manifest order. A feature with one row per clip
repeats it over the intervals that the row covers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.errors import RunError
from storage.clip import Clip
from storage.exporters._shared.arrays import as_dtype
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.selection import abbreviate, refuse_broadcast, selected_features
from storage.exporters.hdf5.clock import Layout, clock_features, read_clock, read_layout
from storage.exporters.hdf5.intervals import Intervals
from storage.exporters.hdf5.layout import FORMAT, INTERVAL_LABELS, MASK, RESERVED, TIMES
from storage.exporters.hdf5.options import Hdf5Options
from storage.exporters.hdf5.plain_hdf5 import create_group, write_array, write_text
from storage.exporters.hdf5.validate import validate_file
from storage.records import Features, FeatureSpec
from storage.store.files import create_hdf5
from storage.wording import counted, having

if TYPE_CHECKING:
    from storage.store.store import FeatureStore

_TEXTS = ("label", "label_raw", "text", "split", "speaker", "group", "language", "source_id")


class Hdf5Exporter(Exporter[Hdf5Options]):
    """Every feature of every clip on the clip's clock."""

    name = "hdf5"
    Options = Hdf5Options

    def features(self) -> list[str]:
        """The features of all arrays, and those that the clock is made from.

        Raises:
            RunError: If the store lacks one, or one's name means something else in this format.
        """
        return list(dict.fromkeys([*self._arrays(), *clock_features(self.store, self.options)]))

    def _arrays(self) -> list[str]:
        selected = selected_features(self.store, self.options)
        for name in selected:
            if name in RESERVED:
                raise RunError(f"feature {name!r}: this name means something else in the HDF5 export; choose others")
        return selected

    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write the file, one clip at a time.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Raises:
            RunError: If two clocks are given, or the clock does not fit the store.
        """
        layout, features = read_layout(self.options), self._arrays()
        refuse_broadcast(self.store, [self.store.specs[name] for name in features], self.options.broadcast)
        clock, specs = read_clock(self.store, self.options), self.store.specs
        missing: dict[str, list[str]] = {name: [] for name in (*features, TIMES)}
        clips = 0
        with create_hdf5(destination, for_old_readers=True) as file:
            file.attrs.update(_attributes(layout, provenance))
            group = file.create_group("clips", track_order=True)
            for clip, available in self.store.iterate(features):
                intervals = clock(clip, available)
                _write_clip(create_group(group.id, clip.id), clip, available, specs, intervals, layout, self.options)
                absent = [name for name in features if name not in available]
                for name in absent + ([] if len(intervals.times) else [TIMES]):
                    missing[name].append(clip.id)
                clips += 1
            _write_columns(file, self.store, features)
            _write_texts(file.create_group("missing"), missing)
        at = f"{layout.rate:g} Hz" if layout.rate else layout.clock
        return [f"{counted(clips, 'clip')}, {counted(len(features), 'feature')} at {at}", *_remarks(missing)]

    @staticmethod
    def validate(path: Path) -> Iterator[str]:
        """Re-read the file; see `validate_file`."""
        return validate_file(path)


def _attributes(layout: Layout, provenance: str) -> dict[str, Any]:
    options = layout.options
    fill = "NaN" if math.isnan(options.fill) else f"{options.fill:g}"
    kept = {"format": FORMAT, "clock": layout.clock, "method": options.method, "provenance": provenance}
    regular = {"rate": layout.rate} if layout.rate else {}
    return kept | regular | {"fill": f"{fill} in every row whose mask is False"}


def _remarks(missing: Mapping[str, list[str]]) -> list[str]:
    lines = [
        f"{name}: {having(len(ids), 'clip')} none: {abbreviate(ids)}"
        for name, ids in missing.items()
        if name != TIMES and ids
    ]
    ids = missing[TIMES]
    return lines + ([f"{having(len(ids), 'clip')} no clock, and so no rows: {abbreviate(ids)}"] if ids else [])


def _write_clip(
    group: Any,
    clip: Clip,
    available: Mapping[str, Features],
    specs: Mapping[str, FeatureSpec],
    intervals: Intervals,
    layout: Layout,
    options: Hdf5Options,
) -> None:
    fitted = layout.intervals(intervals)
    write_array(group, TIMES, fitted.times)
    if fitted.labels:
        import h5py

        _write_texts(h5py.Group(group), {INTERVAL_LABELS: fitted.labels})
    masks = create_group(group, MASK)
    for name, features in available.items():
        values, valid = layout.align(features, intervals.times, specs[name].centre_offsets)
        write_array(group, name, as_dtype(values, options.dtype, f"clip {clip.id}, {name}"), options.compression)
        write_array(masks, name, valid)
    texts = {name: text for name in _TEXTS if (text := getattr(clip, name)) is not None}
    for name, text in texts.items():
        write_text(group, name, text.replace("\0", "\ufffd"))  # HDF5 text ends at 0
    write_text(group, "labels", json.dumps(dict(clip.labels), ensure_ascii=False))
    write_text(group, "dimensions", json.dumps(dict(clip.dimensions), ensure_ascii=False))


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
