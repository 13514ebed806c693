"""A store as PyTorch data sets: map-style, iterable, and a collate function that pads and masks.

```python
data = ClipDataset("store", ["hubert", "action_units"], split="train", align=25)
for batch in DataLoader(data, batch_size=32, shuffle=True, num_workers=4, collate_fn=collate):
    values, mask = batch["values"]["hubert"], batch["mask"]["hubert"]  # (32, T, 1024) float32, (32, T) bool
```

The only module of `storage` that imports torch. Worker processes, forked or spawned, open their own files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import Dataset, IterableDataset, default_collate, get_worker_info

from storage import timeline
from storage.clip import Clip
from storage.errors import StoreError
from storage.records import Features
from storage.store.clocks import has_clock
from storage.store.store import FeatureStore
from storage.wording import counted

Item = dict[str, Any]
Label = str | Callable[[Clip], Any] | None


class _Clips:
    """What both data sets share: their clips, and how one becomes an item; arguments as for `ClipDataset`."""

    def __init__(
        self,
        store: FeatureStore | str | Path,
        features: Sequence[str],
        split: str | None = None,
        label: Label = "label",
        transform: Callable[[Item], Item] | None = None,
        align: float | str | None = None,
        method: timeline.Method = "overlap",
        missing: Literal["refuse", "omit"] = "refuse",
    ) -> None:
        self.store = store if isinstance(store, FeatureStore) else FeatureStore(store)
        self.features, self._transform, self._align, self._method = tuple(features), transform, align, method
        needed = {*features, align} if isinstance(align, str) else set(features)
        if unknown := sorted(needed - self.store.specs.keys()):
            raise StoreError(f"{self.store.path}: no feature {unknown[0]!r}; features: {', '.join(self.store.specs)}")
        aligned = sorted(needed) if align is not None else []
        if timeless := [name for name in aligned if not has_clock(self.store, name)]:
            raise StoreError(f"feature {timeless[0]}: its rows have no times of their own, so it cannot be aligned")
        self.ids: list[str] = []
        self._clips: dict[str, Clip] = {}
        self.labels: list[Any] = []
        self.omitted: list[str] = []
        for clip in self.store.clips(split):
            if all(self.store.has(clip.id, name) for name in needed):
                self.ids.append(clip.id)
                self._clips[clip.id] = clip
                self.labels.append(_label_of(clip, label))
            else:
                self.omitted.append(clip.id)
        if self.omitted and missing == "refuse":
            raise StoreError(
                f"{self.store.path}: {counted(len(self.omitted), 'clip')} without one of {', '.join(sorted(needed))}, "
                f"first {self.omitted[0]}; missing='omit' leaves them out"
            )

    def _item(self, place: int) -> Item:
        clip_id = self.ids[place]
        by_name = {name: self.store.get(clip_id, name) for name in self.features}
        rows = {name: (features.values, features.valid) for name, features in by_name.items()}
        if self._align is not None:
            grid = self._grid(clip_id, by_name)
            rows = {
                name: timeline.align(features, grid, self._method, self.store.specs[name].centre_offsets)
                for name, features in by_name.items()
            }
        item = {
            "id": clip_id,
            "label": self.labels[place],
            "values": {name: torch.from_numpy(values) for name, (values, _) in rows.items()},
            "mask": {name: torch.from_numpy(valid) for name, (_, valid) in rows.items()},
        }
        return item if self._transform is None else self._transform(item)

    def _grid(self, clip_id: str, by_name: dict[str, Features]) -> timeline.Times:
        if isinstance(self._align, str):
            like = by_name.get(self._align) or self.store.get(clip_id, self._align)
            return timeline.within(
                like.times, timeline.clip_end(self._clips[clip_id], {self._align: like}, self.store.specs)
            )
        return timeline.regular_grid(
            timeline.clip_end(self._clips[clip_id], by_name, self.store.specs), self._align or 0.0
        )


class ClipDataset(_Clips, Dataset[Item]):
    """Map-style: the clips that have the features, in manifest order.

    An item is a dict: `id`, `label`, and by feature name `values` ((T, D) float32 tensors, NaN where not valid) and
    `mask` ((T,) bool tensors, True where valid).

    Args:
        store: A store, or its folder.
        features: Names of features.
        split: Only clips of this split; default all clips.
        label: Field of the clip that is the label, such as `label`, `labels.audio` or `dimensions.valence`; or a
            function of the clip, called here and not in workers; None for no labels.
        transform: Applied to each item; must be picklable where workers are spawned.
        align: Time-align all features of a clip: intervals per second, or the name of the feature whose rows are
            the clock. None leaves each feature its own rows.
        method: How they are put there, see `storage.timeline.align`.
        missing: What to do with clips that lack a feature: `refuse`, or `omit`, which lists them in `omitted`.

    Attributes:
        ids: Ids of the clips, in manifest order.
        labels: Their labels; None where the corpus has none.
        omitted: Ids of clips that were left out because they lack a feature.

    Raises:
        StoreError: If the store lacks a feature or split, clips have no such label, or clips lack a feature.
    """

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> Item:
        return self._item(place)


class ClipStream(_Clips, IterableDataset[Item]):
    """Iterable: each rank and worker gets its share of the clips, each clip goes to one of them.

    Clips come in manifest order; to shuffle, use `ClipDataset`. Shares of ranks differ by one clip at most.

    Args:
        store: As for `ClipDataset`, and so are the further arguments.
        features: Names of features.
        rank: Number of this process, `torch.distributed.get_rank()`.
        world_size: How many processes share the clips, `torch.distributed.get_world_size()`.
        **options: The further arguments of `ClipDataset`.
    """

    def __init__(
        self,
        store: FeatureStore | str | Path,
        features: Sequence[str],
        *,
        rank: int = 0,
        world_size: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(store, features, **options)
        if not 0 <= rank < world_size:
            raise ValueError(f"expected a rank from 0 to world_size - 1, got {rank} of {world_size}")
        self._rank, self._world_size = rank, world_size

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        for place in range(self._rank, len(self.ids), self._world_size)[number::workers]:
            yield self._item(place)


def collate(
    items: Sequence[Item],
    length: int | None = None,
    side: timeline.Side = "end",
    keep: timeline.Keep = "first",
    fill: float = 0.0,
) -> Item:
    """Make a batch: pad, or cut, every feature to one length.

    Args:
        items: Items of a data set of this module.
        length: Rows; default those of the batch's longest clip, for each feature by itself.
        side: Where padding goes.
        keep: Which rows stay of a clip that is too long.
        fill: Value of padding and of rows that are not valid.

    Returns:
        By feature name `values` (B, T, D) float32, `mask` (B, T) bool, and `lengths` (B,) int64, the rows that are not
        padding; `id`, `label` and whatever else the items hold as a tensor if all are numbers, else as a list.
    """
    batch: Item = {name: _gather([item[name] for item in items]) for name in items[0].keys() - {"values", "mask"}}
    batch |= {"values": {}, "mask": {}, "lengths": {}}
    for name in items[0]["values"]:
        rows = [(item["values"][name], item["mask"][name]) for item in items]
        longest = max(len(mask) for _, mask in rows) if length is None else length
        fitted = [_fit(values, mask, longest, side, keep, fill) for values, mask in rows]
        # `default_collate` writes a worker's batch into shared memory at once; stacking would copy it once more.
        batch["values"][name] = default_collate([values for values, _ in fitted])
        batch["mask"][name] = default_collate([mask for _, mask in fitted])
        batch["lengths"][name] = torch.tensor([min(len(mask), longest) for _, mask in rows])
    return batch


def _fit(
    values: torch.Tensor, mask: torch.Tensor, length: int, side: timeline.Side, keep: timeline.Keep, fill: float
) -> tuple[torch.Tensor, torch.Tensor]:
    if len(mask) == length and bool(mask.all()):
        return values, mask
    fitted = timeline.fit_length(values.numpy(), mask.numpy(), length, side, fill, keep)
    return torch.from_numpy(fitted.values), torch.from_numpy(fitted.valid)


def _gather(values: list[Any]) -> Any:
    return torch.tensor(values) if all(isinstance(value, Real) for value in values) else values


def _label_of(clip: Clip, label: Label) -> Any:
    if label is None or callable(label):
        return label(clip) if label is not None else None
    field, _, key = label.partition(".")
    if field not in Clip.__dataclass_fields__ or bool(key) != (field in {"labels", "dimensions"}):
        raise StoreError(f"label {label!r}: expected a field of a clip, such as label, labels.NAME or dimensions.NAME")
    value = getattr(clip, field)
    return value.get(key) if key else value
