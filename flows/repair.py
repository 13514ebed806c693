"""Corrections of a store: failures to be tried again, clips and features taken out, media folders that moved.

Each writes one small file of its own, whole or not at all, before anything is removed: an interrupt costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.errors import RunError
from configs.plugins import parse
from configs.schema import RunConfig
from flows.chosen import forget
from storage.choice import chosen_ids
from storage.errors import REASONS
from storage.manifest_edits import relocate, roots_named
from storage.store.files import list_files, remove_folder
from storage.store.layout import SHARD_FILES, feature_path, manifest_path
from storage.store.removals import Removal
from storage.store.runs import refuse_live_run
from storage.store.store import FeatureStore


def last_configuration(store: FeatureStore) -> tuple[RunConfig, list[str]]:
    """Configuration and features of the last run of a store.

    Raises:
        RunError: If nothing was run into the store yet.
    """
    runs = store.runs()
    if not runs or not runs[-1].get("config"):
        raise RunError(f"{store.path}: no run is on record here; give the configuration: merflow run --config C ...")
    last = runs[-1]
    config = parse(RunConfig, last["config"], f"{store.path}, run {last['run']}")
    return config, list(last["features"])


def mark_for_retry(store: FeatureStore, reason: str | None, pattern: str | None) -> int:
    """Mark failures as to be tried again.

    Args:
        store: The store.
        reason: Only those of this reason, also where a rule skipped them; all that failed if None.
        pattern: Only those of these clips: a file with one id a line, or a glob over ids; all if None.

    Returns:
        How many.

    Raises:
        RunError: If there is no such reason or clip, or a run is going on.
    """
    refuse_live_run(store.path)
    if reason is not None and reason not in REASONS:
        raise RunError(f"--reason {reason}: no such reason; reasons: {', '.join(REASONS)}")
    chosen = None if pattern is None else set(chosen_ids(store.manifest.ids(), pattern))
    failures: dict[str, list[str]] = {}
    for failure in store.failures:
        is_meant = failure.state == "failed" if reason is None else failure.reason == reason
        if is_meant and (chosen is None or failure.clip_id in chosen):
            failures.setdefault(failure.feature, []).append(failure.clip_id)
    if failures:
        store.remove(Removal("retry", store.generation + 1, failures=failures))
    return sum(map(len, failures.values()))


def forget_clips(store: FeatureStore, ids: Sequence[str]) -> None:
    """Take clips out of a store; nothing is taken out if one of them is not there.

    Args:
        store: The store.
        ids: Ids of the clips.

    Raises:
        RunError: If the store does not know a clip, or a run is going on.
    """
    known = set(store.manifest.ids()) if store.has_manifest else set()
    known |= set(store.index.ids)
    unknown = [clip_id for clip_id in ids if clip_id not in known]
    if unknown:
        raise RunError(f"{store.path}: no clip {unknown[0]!r}; `merflow clips {store.path}` lists them")
    forget(store, list(dict.fromkeys(ids)))


def drop_feature(store: FeatureStore, feature: str) -> int:
    """Take a feature out of a store, with its files.

    Args:
        store: The store.
        feature: Its name.

    Returns:
        How many files were removed.

    Raises:
        RunError: If the store has no such feature, or a run is going on.
    """
    refuse_live_run(store.path)
    folder = feature_path(store.path, feature)
    files = [path for path in list_files(store.path, SHARD_FILES) if path.is_relative_to(folder)]
    if feature not in store.specs and not files:
        raise RunError(f"{store.path}: no feature {feature!r}; features: {', '.join(store.specs) or 'none yet'}")
    store.remove(Removal("drop", store.generation + 1, features=[feature]))
    remove_folder(folder)
    store.refresh()
    store.save_index()
    return len(files)


def relocate_media(store: FeatureStore, moves: Sequence[str]) -> dict[str, Path]:
    """Say where media folders of a store are now.

    Args:
        store: The store.
        moves: `OLD=NEW`, OLD a folder's name or where it was.

    Returns:
        The folders that moved, by name.

    Raises:
        RunError: If there is no such media folder, the new place is not a folder, or a run is going on.
    """
    refuse_live_run(store.path)
    moved = roots_named(store.manifest, moves)
    relocate(manifest_path(store.path), moved)
    return moved
