"""States of all clips of a store's manifest, feature by feature: what `run`, `status`, exports and repairs ask."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from storage.errors import StoreError
from storage.identity import CROPS, legacy_fingerprint
from storage.manifest import Manifest
from storage.manifest_files import ManifestColumns
from storage.released_crops import crops_digest
from storage.store.feature_rows import FORGOTTEN
from storage.store.runs import recorded_crop_roots, wanted_digests
from storage.store.states import State, States, clip_numbers, describe_change, states_of
from storage.wording import counted

if TYPE_CHECKING:
    from storage.store.store import FeatureStore

NAMED = 3


class Survey:
    """What became of every clip of a store's manifest.

    Args:
        store: The store.

    Attributes:
        manifest: The store's.
        columns: What planning needs of it.

    Raises:
        StoreError: If nothing was run into the store yet.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self.manifest: Manifest = store.manifest
        self.columns: ManifestColumns = self.manifest.columns()
        runs = store.runs()
        self._wanted, self._crop_roots = wanted_digests(runs), recorded_crop_roots(runs)
        self._crops: dict[Path, npt.NDArray[np.uint64]] = {}

    def states(self, feature: str, digest: str | None = None, crops: Path | None = None) -> States:
        """States of all clips for one feature.

        Args:
            feature: Its name; one that the store does not have is missing everywhere.
            digest: Digest of the recipe that counts; that of the last run that was asked for it where not given.
            crops: Folder of the released crops that it is made from; the last run's where not given.
        """
        spec = self._store.specs.get(feature)  # what counts where no run is on record
        wanted = digest or self._wanted.get(feature) or (None if spec is None else spec.digest)
        columns = self._with_crops(feature, crops or self._crop_roots.get(feature))
        return states_of(self._store.index, feature, wanted, columns, self._numbers, lambda: self._legacy)

    def _with_crops(self, feature: str, root: Path | None) -> ManifestColumns:
        """The manifest, with digests of the crops as they are now of the clips that have a result made from some."""
        rows = self._store.index.features.get(feature)
        if root is None or rows is None:
            return self.columns
        known = self._crops.setdefault(root, np.zeros(len(self.columns), np.uint64))
        has_result = np.append(rows.file >= 0, np.False_)[np.minimum(self._numbers, len(rows.file))]
        new = np.flatnonzero(has_result & (self._numbers >= 0) & (known == 0))
        known[new] = [crops_digest(root, clip) for clip in self.manifest.take(new)]
        return replace(self.columns, digests={**self.columns.digests, CROPS: known})

    @cached_property
    def _numbers(self) -> npt.NDArray[np.int64]:
        return clip_numbers(self._store.index, self.columns)

    @cached_property
    def _legacy(self) -> npt.NDArray[np.uint64]:
        return np.fromiter((legacy_fingerprint(clip) for clip in self.manifest), np.uint64, len(self.columns))

    def ids(self, mask: npt.NDArray[np.bool_]) -> list[str]:
        """Ids of some clips, in manifest order.

        Args:
            mask: (n,) which.
        """
        import pyarrow as pa

        found: list[str] = self.columns.ids.filter(pa.array(mask)).to_pylist()
        return found

    def has(self, ids: Sequence[str], mask: npt.NDArray[np.bool_]) -> list[bool]:
        """Which ids are those of some clips; without making a Python object of each clip.

        Args:
            ids: What is looked for.
            mask: (n,) which clips.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        chosen = self.columns.ids.filter(pa.array(mask))
        found: list[bool] = pc.is_in(pa.array(ids, chosen.type), value_set=chosen).to_pylist()
        return found


def restricted(states: States, chosen: npt.NDArray[np.bool_]) -> States:
    """States with values stale in chosen clips only, for what is said of these.

    Args:
        states: Of all clips.
        chosen: (n,) bool.
    """
    is_other = (states.state == State.STALE) & ~chosen
    changed = {name: mask & chosen for name, mask in states.changed.items()}
    return replace(
        states,
        state=np.where(is_other, np.uint8(State.STORED), states.state),
        changed={name: mask for name, mask in changed.items() if mask.any()},
    )


def stale_lines(survey: Survey, features: Iterable[tuple[str, States]]) -> list[str]:
    """A line for each feature with stale values: how many, which clips first, and what changed.

    Args:
        survey: Of the store.
        features: Names and states.
    """
    lines = []
    for name, states in features:
        is_stale = states.state == State.STALE
        if is_stale.any():
            first = ", ".join(survey.ids(is_stale)[:NAMED])
            more = ", ..." if is_stale.sum() > NAMED else ""
            why = ", ".join(
                f"{describe_change(key)} ({int(mask.sum())})" if len(states.changed) > 1 else describe_change(key)
                for key, mask in states.changed.items()
            )
            lines.append(f"{name}: {counted(int(is_stale.sum()), 'stale value')} ({first}{more}); changed: {why}")
    return lines


def settle_stale(
    store: FeatureStore, features: Sequence[str], rule: str, ids: Collection[str] | None = None
) -> list[str]:
    """Do with stale values what an export was asked to do.

    Args:
        store: A store of this export's own: stale values are hidden in it where they are left out.
        features: Features of the export.
        rule: `error`, `omit` or `keep`.
        ids: Clips of the export; all of the store if None.

    Returns:
        Lines that tell a person what was done.

    Raises:
        StoreError: If there are stale values and the rule is `error`, or they have other columns and are kept.
    """
    if not store.has_manifest:
        return []
    survey = Survey(store)
    states = {name: survey.states(name) for name in features}
    if ids is not None:
        chosen = np.fromiter((one in ids for one in survey.columns.ids.to_pylist()), np.bool_, len(survey.columns))
        states = {name: restricted(found, chosen) for name, found in states.items()}
    lines = stale_lines(survey, states.items())
    if not lines:
        return []
    if rule == "error":
        raise StoreError(
            f"{store.path}: {lines[0]}; compute them anew with merflow run --replace-stale, or --opt stale=omit leaves "
            f"them out, --opt stale=keep takes them as they are"
        )
    if rule == "omit":
        for name, found in states.items():
            rows = store.index.features.get(name)
            if rows is not None:
                rows.removed[found.number[found.state == State.STALE]] = FORGOTTEN
        return [f"left out: {line}" for line in lines]
    for name in features:
        columns = {spec.columns for spec in store.index.specs_of(name)}
        if len(columns) > 1:
            raise StoreError(f"{store.path}: feature {name}: stale values have other columns; they cannot be kept")
    return [f"kept all the same: {line}" for line in lines]
