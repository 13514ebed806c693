"""Which clips of a store's manifest are meant: those of a run's manifest, of a file of ids, or of a pattern."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from storage.choice import chosen_ids
from storage.clip import Clip
from storage.identity import input_digests
from storage.manifest import Manifest
from storage.manifest_edits import take_out
from storage.store.layout import manifest_path
from storage.store.removals import Removal
from storage.store.runs import refuse_live_run
from storage.store.store import FeatureStore
from storage.store.survey import Survey


def asked_clips(survey: Survey, manifest: Manifest | None, pattern: str | None) -> npt.NDArray[np.bool_]:
    """(n,) bool over a store's manifest: the clips that a run is asked for.

    Args:
        survey: Of the store.
        manifest: The run's manifest, which the store has adopted; all clips if None.
        pattern: A file with one id a line, or a glob over ids; all of them if None.

    Raises:
        RunError: If the file names a clip that there is not, or the glob matches none.
    """
    asked = np.ones(len(survey.columns), np.bool_)
    if manifest is not None and len(manifest) != len(asked):  # the store has clips of other manifests too
        own = set(manifest.ids())
        is_own = np.fromiter((clip_id in own for clip_id in survey.columns.ids.to_pylist()), np.bool_, len(asked))
        # Clips that kept the id of an older manifest are found by no id: then all are meant.
        asked = is_own if is_own.sum() == len(own) else asked
    return asked if pattern is None else asked & _matching(survey, pattern)


def _matching(survey: Survey, pattern: str) -> npt.NDArray[np.bool_]:
    ids: list[str] = survey.columns.ids.to_pylist()
    chosen = set(chosen_ids(ids, pattern))
    return np.fromiter((clip_id in chosen for clip_id in ids), np.bool_, len(ids))


def prune(store: FeatureStore, manifest: Manifest) -> list[str]:
    """Take clips out of a store that lie in a manifest's media folders and that it no longer has.

    Args:
        store: The store, which has adopted the manifest.
        manifest: The manifest.

    Returns:
        Ids of the clips.

    Raises:
        StoreError: If a run is going on.
    """
    known, named = set(), set()
    for clip in manifest:
        known.add(clip.id)
        named.add(_name(clip))  # a clip may have kept the id of an older manifest
    own = {folder.resolve() for folder in manifest.roots.values()}
    held = store.manifest
    lost = (clip for clip in held if clip.id not in known and _name(clip) not in named)
    gone = [clip.id for clip in lost if held.root_of(clip).resolve() in own]
    if gone:
        forget(store, gone)
    return gone


def _name(clip: Clip) -> tuple[object, ...]:
    return clip.source_id, *input_digests(clip).values()


def forget(store: FeatureStore, ids: Sequence[str]) -> None:
    """Take clips out of a store: their results count no more, and its manifest no longer has them.

    Args:
        store: The store.
        ids: Ids of the clips.

    Raises:
        StoreError: If a run is going on.
    """
    refuse_live_run(store.path)
    store.remove(Removal("forget", store.generation + 1, clips=ids))
    take_out(manifest_path(store.path), ids)
