"""One extraction run, from a configuration and a manifest to a store: check everything, then work.

Nothing is written before everything that can be known to be wrong has been checked.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from configs.errors import RunError
from configs.schema import RunConfig
from extractors.core.extractor import Extractor
from flows.engine import check_engine
from flows.job import versions
from flows.plan import Plan, adopt_manifest, build_extractors, make_context, new_run_id
from flows.prefect_server import prefect_server
from storage.manifest import Manifest, write_manifest
from storage.store.files import exists
from storage.store.layout import manifest_path, marker_path
from storage.store.store import FeatureStore

SPARE_BYTES = 200 << 20


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run did.

    Attributes:
        run: The run's id; empty if there was nothing to do.
        todo: Clips that missed something when it started.
        outcomes: How many (clip, feature) pairs it `stored`, `failed` or `skipped`.
        seconds: Wall seconds by stage, summed over workers.
        errors: One line per clip that is still missing because its shard could not be finished.
    """

    run: str
    todo: int
    outcomes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    errors: Sequence[str] = ()


def run_extraction(
    config: RunConfig,
    manifest: Manifest,
    store_path: Path,
    features: Sequence[str] | None = None,
    *,
    mixed_versions: bool = False,
) -> RunResult:
    """Extract what the clips of a manifest still miss into a store.

    Args:
        config: What to extract.
        manifest: The clips.
        store_path: Folder of the store; made if it does not exist.
        features: Names of the features to extract; all of the configuration if None.
        mixed_versions: Whether features may be completed with other library versions than they were begun with.

    Raises:
        RunError: Before any work: bad configuration, missing weights, a store that does not fit, no space.
    """
    check_engine(config.cluster)
    extractors = build_extractors(config, features)
    _check_root(manifest)
    _check_space(store_path)
    store = _open_store(store_path, extractors, manifest)
    plan = Plan(tuple(e.feature for e in extractors))
    clips = plan.follow(store, adopt_manifest(store, manifest))
    write_manifest(manifest_path(store.path), clips, root=manifest.root, corpus=manifest.corpus)
    if not plan.todo:
        return RunResult("", 0)
    if not mixed_versions:
        _refuse_other_versions(store, extractors)
    run = new_run_id()
    # Absolute: workers of another scheduler have another current folder.
    context = make_context(run, config, store, str(manifest.root.absolute()), extractors)
    record = _record(run, config, extractors, plan.clips, manifest)
    store.write_run(run, record)
    with prefect_server():
        from flows.prefect_flow import run_shards

        result = run_shards(config.cluster, plan, context, store)
    store.write_run(run, record | {"finished": _now(), "state": "finished"} | result)
    return RunResult(run, plan.todo, result["outcomes"], result["seconds"], result["errors"])


def _check_root(manifest: Manifest) -> None:
    if not manifest.root.is_dir():
        raise RunError(f"{manifest.root}: the manifest's media folder does not exist; move it back, or give --root")


def _check_space(store_path: Path) -> None:
    folder = next(p for p in (store_path.absolute(), *store_path.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(folder).free
    if free < SPARE_BYTES:
        raise RunError(f"{folder}: {free >> 20} MiB free, a run needs at least {SPARE_BYTES >> 20} MiB")


def _open_store(path: Path, extractors: Sequence[Extractor[Any]], manifest: Manifest) -> FeatureStore:
    """Open a store into which these features may go; make one if there is none."""
    if not exists(marker_path(path)):
        if not len(manifest):
            raise RunError("the manifest holds no clips")
        return FeatureStore.create(path)
    store = FeatureStore(path)
    for extractor in extractors:
        store.require(extractor.spec)
    store.sweep()
    return store


def _refuse_other_versions(store: FeatureStore, extractors: Sequence[Extractor[Any]]) -> None:
    for extractor in extractors:
        now = versions(extractor.libraries)
        for then in store.versions(extractor.feature):
            for name in sorted(then.keys() & now.keys()):
                if then[name] != now[name]:
                    raise RunError(
                        f"{store.path}: feature {extractor.feature} was made with {name} {then[name]}, this machine "
                        f"has {now[name]}; install that version, use a new store, or give --allow-mixed-versions"
                    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _record(
    run: str, config: RunConfig, extractors: Sequence[Extractor[Any]], clips: int, manifest: Manifest
) -> dict[str, Any]:
    return {
        "run": run,
        "started": _now(),
        "state": "running",
        "clips": clips,
        "corpus": manifest.corpus,
        "features": {e.feature: e.spec.digest for e in extractors},
        "synthetic": sorted(e.feature for e in extractors if e.spec.synthetic),
        "config": config.model_dump(mode="json"),
        "versions": versions(),
        "machine": {"system": platform.platform(), "python": platform.python_version()},
    }
