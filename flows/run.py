"""One extraction run, from a configuration and a manifest to a store: check everything, then work.

Nothing is written before everything that can be known to be wrong has been checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from configs.schema import RunConfig
from extractors.core.extractor import Extractor
from flows.chosen import asked_clips, prune
from flows.engines.choice import check_engine
from flows.plan import Plan, build_extractors, crop_roots, make_plan, new_run_id
from flows.prefect_server import check_prefect
from flows.preflight import (
    check_crops,
    check_devices,
    check_media,
    check_place,
    check_space,
    check_versions,
    estimated_bytes,
    language_remarks,
)
from flows.progress import current_progress
from flows.sharing import Surroundings
from flows.work import new_record, work
from storage.manifest import Manifest
from storage.manifest_edits import adopt
from storage.remote import is_folder
from storage.store.files import exists, sweep
from storage.store.layout import manifest_path, marker_path
from storage.store.runs import now, recorded_crop_roots, wanted_digests, write_run
from storage.store.store import FeatureStore
from storage.store.survey import Survey


@dataclass(frozen=True)
class Request:
    """What a run is asked for beside its configuration.

    Attributes:
        features: Names of the features to extract; all of the configuration if None.
        clips: A file with one id a line, or a glob over ids; all of the manifest if None.
        limit: Most clips to do.
        replace_stale: Whether stale values are computed anew.
        prune: Whether clips of the manifest's media folders that it no longer has are taken out of the store.
        mixed_versions: Whether features may be completed with other library versions than they were begun with.
        wait: Whether to wait for clips that another run is working on; else they are left to it.
        schedule: Name of the schedule that the run belongs to, if any; such a run always leaves a record.
    """

    features: Sequence[str] | None = None
    clips: str | None = None
    limit: int | None = None
    replace_stale: bool = False
    prune: bool = False
    mixed_versions: bool = False
    wait: bool = True
    schedule: str | None = None


@dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes:
        run: The run's id; empty if there was nothing to do.
        todo: Clips that missed something when it started.
        store: The store, as it is now.
        features: The features that it was asked for.
        asked: (n,) bool over the store's manifest, the clips that it was asked for.
        stale: A line for each feature with stale values that stay as they are.
        pruned: Ids of clips that were taken out of the store.
        outcomes: How many (clip, feature) pairs it `stored`, `failed` or `skipped`.
        seconds: Wall seconds by stage, summed over workers.
        errors: One line per clip that is still missing because its shard could not be finished.
        blamed: One line per worker that could not do what others could.
    """

    run: str
    todo: int
    store: FeatureStore
    features: Sequence[str]
    asked: npt.NDArray[np.bool_]
    stale: Sequence[str] = ()
    pruned: Sequence[str] = ()
    outcomes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    errors: Sequence[str] = ()
    blamed: Sequence[str] = ()


def run_extraction(
    config: RunConfig, manifest: Manifest | None, store_path: Path, request: Request = Request()
) -> RunResult:
    """Extract what the clips of a manifest still miss into a store.

    Args:
        config: What to extract.
        manifest: The clips; None for those that the store has.
        store_path: Folder of the store; made if it does not exist.
        request: Which of the features and clips, and what becomes of stale ones.

    Raises:
        RunError: Before any work: bad configuration, missing weights, a store that does not fit, no space.
    """
    check_engine(config.cluster)
    extractors = build_extractors(config, request.features)
    check_place(store_path)
    check_space(store_path)
    around = Surroundings(store_path)
    store = _open_store(store_path, extractors, manifest)
    changed = manifest is not None and adopt(manifest_path(store.path), manifest)
    pruned = prune(store, manifest) if request.prune and manifest is not None else []
    survey = Survey(store)
    asked = asked_clips(survey, manifest, request.clips)
    plan = make_plan(survey, extractors, asked, replace_stale=request.replace_stale, limit=request.limit)
    asked = _of_plan(asked, plan) if request.limit is not None else asked
    features = [e.feature for e in extractors]
    if not plan.todo:
        _record_wanted(store, config, extractors, plan, request.schedule, changed=changed)
        return RunResult("", 0, store, features, asked, plan.stale, pruned)
    check_media(survey.manifest, plan.rows, store.path)
    check_crops(extractors, survey.manifest, plan.rows)
    check_space(store.path, estimated_bytes(extractors, plan, survey))
    check_devices(extractors)
    check_prefect()
    for remark in language_remarks(extractors, survey.manifest, plan.rows):
        current_progress().say(remark)
    if not request.mixed_versions:
        check_versions(store, extractors)
    result = work(config, extractors, store, survey, plan, around, schedule=request.schedule, wait=request.wait)
    return RunResult(
        str(result["run"]), plan.todo, store, features, asked, plan.stale, pruned,
        result["outcomes"], result["seconds"], result["errors"], result["blamed"],
    )  # fmt: skip


def _of_plan(asked: npt.NDArray[np.bool_], plan: Plan) -> npt.NDArray[np.bool_]:
    chosen = np.zeros_like(asked)
    chosen[plan.rows] = True
    return chosen


def _open_store(path: Path, extractors: Sequence[Extractor[Any]], manifest: Manifest | None) -> FeatureStore:
    """Open a store into which these features may go; make one if there is none."""
    if not exists(marker_path(path)):
        if manifest is None:
            raise RunError(f"{path}: not a feature store")
        if not len(manifest):
            raise RunError("the manifest holds no clips")
        missing = [folder for folder in manifest.roots.values() if not is_folder(folder)]
        if missing:
            raise RunError(f"{missing[0]}: the manifest's media folder does not exist; move it back, or give --root")
        return FeatureStore.create(path)
    store = FeatureStore(path)
    for extractor in extractors:
        store.require(extractor.spec)
    sweep(store.path)
    return store


def _record_wanted(
    store: FeatureStore,
    config: RunConfig,
    extractors: Sequence[Extractor[Any]],
    plan: Plan,
    schedule: str | None,
    *,
    changed: bool,
) -> None:
    """Note what was asked for where it is news: which recipe counts decides what is stale."""
    digests = {e.feature: e.spec.digest for e in extractors}
    crops, runs = crop_roots(extractors), store.runs()
    known, places = wanted_digests(runs), recorded_crop_roots(runs)
    if changed or schedule or any((known.get(n), places.get(n)) != (d, crops.get(n)) for n, d in digests.items()):
        run = new_run_id()
        record = new_record(run, config, extractors, plan, store.manifest, schedule)
        write_run(store.path, run, record | {"finished": now(), "state": "finished"})
