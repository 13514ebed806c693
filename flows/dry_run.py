"""What a run would do, without doing it: nothing is written, not even to the store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from configs.errors import RunError
from configs.schema import RunConfig
from flows.chosen import asked_clips
from flows.plan import make_plan, ordered_extractors
from flows.preflight import check_crops, check_media, estimated_bytes, nearest_folder
from flows.run import Request
from storage.manifest import Manifest
from storage.manifest_edits import adopt, relocate
from storage.remote import local_copy
from storage.store.files import exists, free_bytes
from storage.store.layout import manifest_path, marker_path
from storage.store.runs import usual_rate
from storage.store.store import FeatureStore
from storage.store.survey import Survey


@dataclass(frozen=True)
class DryRun:
    """What a run would do.

    Attributes:
        clips: Clips that it was asked for.
        todo: Clips that miss something.
        missing: How many clips miss each feature.
        media_seconds: Length of the clips that miss something, as far as they could be probed.
        work_seconds: Seconds that the work would take at the rate of the store's own runs; None where it has none.
        bytes: What the results would take on the disk.
        free: What is free there.
        weights: Why weights of a feature cannot be used, by feature; empty if all can.
        stale: A line for each feature with stale values.
    """

    clips: int
    todo: int
    missing: Mapping[str, int]
    media_seconds: float
    work_seconds: float | None
    bytes: int
    free: int
    weights: Mapping[str, str]
    stale: tuple[str, ...]


def dry_run(config: RunConfig, manifest: Manifest | None, store_path: Path, request: Request) -> DryRun:
    """Find what a run would do.

    Args:
        config: What to extract.
        manifest: The clips; None for those that the store has.
        store_path: Folder of the store; it need not exist.
        request: Which of the features and clips, and what becomes of stale ones.

    Raises:
        RunError: What would end the run before any work, but for weights that are not there, which are told.
    """
    ordered = ordered_extractors(config, request.features)
    weights: dict[str, str] = {}
    for extractor in ordered:
        try:
            _ = extractor.spec
        except RunError as error:
            weights[extractor.feature] = str(error)
    ready = [e for e in ordered if e.feature not in weights and not weights.keys() & set(e.needs)]
    with tempfile.TemporaryDirectory(prefix="merflow-dry-run-") as folder:
        store = _planned(store_path, Path(folder), manifest)
        for extractor in ready:
            store.require(extractor.spec)
        survey = Survey(store)
        asked = asked_clips(survey, manifest, request.clips)
        plan = make_plan(survey, ready, asked, replace_stale=request.replace_stale, limit=request.limit)
        if plan.todo:
            check_media(survey.manifest, plan.rows, store_path)
            check_crops(ready, survey.manifest, plan.rows)
        rate = usual_rate(store_path, plan.features) if exists(marker_path(store_path)) else None
        return DryRun(
            plan.clips,
            plan.todo,
            dict(zip(plan.features, plan.missing.sum(axis=0).tolist(), strict=True)),
            plan.seconds,
            None if rate is None else rate * plan.seconds,
            estimated_bytes(ready, plan, survey),
            free_bytes(nearest_folder(store_path)),
            weights,
            tuple(plan.stale),
        )


class _Planned(FeatureStore):
    """A store as it would be with a manifest adopted; its files stay as they are."""

    def __init__(self, path: Path, adopted: Path) -> None:
        super().__init__(path)
        self._adopted = adopted

    @property
    def manifest(self) -> Manifest:
        """The clips that the store would be about."""
        return Manifest.open(self._adopted)


def _planned(path: Path, folder: Path, manifest: Manifest | None) -> FeatureStore:
    """A store as it would be with a manifest adopted.

    Args:
        path: The store, which need not exist.
        folder: For what has to be written.
        manifest: The manifest; None for that of the store.
    """
    if not exists(marker_path(path)):
        if manifest is None:
            raise RunError(f"{path}: not a feature store")
        path = FeatureStore.create(folder / "store").path
    adopted = folder / "adopted.parquet"
    if exists(manifest_path(path)):
        current = Manifest.open(manifest_path(path))
        shutil.copyfile(local_copy(current.path), adopted)
        # Media folders inside the store's own are recorded relative to it.
        relocate(adopted, {name: root.absolute() for name, root in current.roots.items()})
    if manifest is not None:
        adopt(adopted, manifest)
    return _Planned(path, adopted)
