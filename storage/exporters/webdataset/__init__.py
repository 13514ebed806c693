"""WebDataset: tar shards, one sample per clip, read in order with the `webdataset` package, or tarfile alone.

```
<split>/000000.tar, ...          samples in manifest order; of each clip, next to each other:
  <key>.json                     id, text, labels and the rest of what is known of the clip
  <key>.<feature>.npy            (T, D) float32 (or float16, if asked for); zeros in rows that are not valid
  <key>.<feature>.times.npy      (T, 2) float64 seconds from the clip's start
  <key>.<feature>.valid.npy      (T,) bool
shards.json                      clips of each shard, and the columns of each feature
missing.json, provenance.json    clips that were left out; where the numbers come from
```

The package takes everything up to the first dot of a name as the sample's key, so dots in clip ids are written `%2E`;
`id` in the JSON is the clip's own. Every sample has all features: a clip that lacks one is left out whole. Tar headers
hold no time or owner. One clip is in memory at a time.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from storage.clip import Clip
from storage.exporters._shared.arrays import Dtype, as_dtype, filled
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.files import write_json, write_records
from storage.exporters._shared.selection import (
    abbreviate,
    about,
    by_split,
    clips_without,
    refuse_missing,
    selected_features,
)
from storage.exporters.webdataset.layout import INDEX_FILE, key_of, member_of
from storage.exporters.webdataset.options import WebdatasetOptions
from storage.exporters.webdataset.validate import validate_folder
from storage.wording import counted

if TYPE_CHECKING:
    from storage.store.store import FeatureStore

_SHARD = "{:06d}.tar"


class WebdatasetExporter(Exporter[WebdatasetOptions]):
    """Tar shards of each split."""

    name = "webdataset"
    Options = WebdatasetOptions

    def features(self) -> list[str]:
        """Features to export.

        Raises:
            RunError: If the store lacks one, or the package would take two names for one: it ignores case.
        """
        names = selected_features(self.store, self.options)
        alike = [name for name in names if sum(name.lower() == other.lower() for other in names) > 1]
        if alike:
            named = abbreviate(alike)
            raise RunError(f"features {named}: webdataset does not tell capitals from small letters; choose one")
        return names

    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write the folder, one clip at a time.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Raises:
            RunError: If a clip lacks a feature or a split and no option says what to do.
        """
        store, options, names = self.store, self.options, self.features()
        splits = by_split(store, options.default_split)
        without = clips_without(store, names)
        refuse_missing(without, options.missing, "leaves them out of the shards")
        left_out = {clip_id for ids in without.values() for clip_id in ids}
        shards = {split: _Shards(destination / split, options.maxcount, options.maxsize) for split in splits}
        destination.mkdir()
        try:
            for clip in store.clips():
                if clip.id not in left_out:
                    shards[clip.split or str(options.default_split)].add(_members(store, clip, names, options.dtype))
        finally:
            for of_split in shards.values():
                of_split.close()
        counts = {f"{split}/{_SHARD.format(i)}": n for split, made in shards.items() for i, n in enumerate(made.counts)}
        columns = {name: list(store.specs[name].columns) for name in names}
        write_json(destination / INDEX_FILE, {"shards": counts, "columns": columns})
        lines = [
            f"{split}: {counted(sum(made.counts), 'clip')} in {counted(len(made.counts), 'shard')}"
            for split, made in shards.items()
        ]
        return [*lines, *write_records(destination, without, provenance)]

    @staticmethod
    def validate(path: Path) -> Iterator[str]:
        """Re-read all shards; see `validate_folder`."""
        return validate_folder(path)


class _Shards:
    """The shards of one split; a new one begins where the last one is full."""

    def __init__(self, folder: Path, maxcount: int, maxsize: int) -> None:
        self.folder, self.maxcount, self.maxsize = folder, maxcount, maxsize
        self.counts: list[int] = []
        self._tar: tarfile.TarFile | None = None

    def add(self, members: Iterable[tuple[str, io.BytesIO]]) -> None:
        tar = self._with_room()
        for member, content in members:
            # A new TarInfo has time 0, owner 0 and mode 644: equal clips give equal bytes.
            info = tarfile.TarInfo(member)
            info.size = content.seek(0, io.SEEK_END)
            content.seek(0)
            tar.addfile(info, content)
        self.counts[-1] += 1

    def _with_room(self) -> tarfile.TarFile:
        if self._tar is None or self.counts[-1] >= self.maxcount or self._tar.offset >= self.maxsize:
            self.close()
            self.folder.mkdir(exist_ok=True)
            self._tar = tarfile.open(self.folder / _SHARD.format(len(self.counts)), "w")  # noqa: SIM115  until full
            self.counts.append(0)
        return self._tar

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()


def _members(store: FeatureStore, clip: Clip, names: Sequence[str], dtype: Dtype) -> Iterator[tuple[str, io.BytesIO]]:
    """Names and contents of a sample's members, one in memory at a time."""
    key = key_of(clip.id)
    yield f"{key}.json", io.BytesIO(json.dumps(about(clip), ensure_ascii=False).encode())
    for name in names:
        for part, array in _arrays(store, clip.id, name, dtype).items():
            yield member_of(key, name, part), _npy(array)


def _arrays(store: FeatureStore, clip_id: str, name: str, dtype: Dtype) -> dict[str, npt.NDArray[Any]]:
    features = store.get(clip_id, name)
    values = as_dtype(filled(features), dtype, f"clip {clip_id}, feature {name}")
    return {"": values, ".times": features.times, ".valid": features.valid}


def _npy(array: npt.NDArray[Any]) -> io.BytesIO:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    # Joined at once, the bytes are held once: a file that grows, as `np.save` writes it, holds more than it needs.
    return io.BytesIO(b"".join([header.getvalue(), np.ascontiguousarray(array).data]))
