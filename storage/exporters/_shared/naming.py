"""Names of clips in exports: the corpus's own (`source_id`) where it tells a clip from all others, else the id.

An inner folder is part of a clip's id but rarely of what training code calls it: `session1.a` is `a` in an export whose
other clips are called otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from storage.clip import CLIP_ID, Clip
from storage.records import Features
from storage.store.index import Outcome
from storage.store.store import FeatureStore
from storage.wording import counted


class NamedStore(FeatureStore):
    """A store whose clips have other ids, for the time of an export.

    Args:
        store: The store.
        ids: Id of each clip in the store, by its name in the export.
    """

    def __init__(self, store: FeatureStore, ids: Mapping[str, str]) -> None:
        self.__dict__.update(store.__dict__)
        self._store = store
        self._ids = ids
        self._names = {clip_id: name for name, clip_id in ids.items()}

    def clips(self, split: str | None = None) -> Iterator[Clip]:
        """The clips under their names, see `FeatureStore.clips`."""
        return (replace(clip, id=self._names.get(clip.id, clip.id)) for clip in self._store.clips(split))

    def has(self, clip_id: str, feature: str) -> bool:
        """See `FeatureStore.has`.

        Args:
            clip_id: Name of the clip.
            feature: Name of the feature.
        """
        return self._store.has(self._ids.get(clip_id, clip_id), feature)

    def outcome_of(self, clip_id: str, feature: str) -> Outcome | None:
        """See `FeatureStore.outcome_of`.

        Args:
            clip_id: Name of the clip.
            feature: Name of the feature.
        """
        return self._store.outcome_of(self._ids.get(clip_id, clip_id), feature)

    def get(self, clip_id: str, feature: str) -> Features:
        """See `FeatureStore.get`.

        Args:
            clip_id: Name of the clip.
            feature: Name of the feature.
        """
        return self._store.get(self._ids.get(clip_id, clip_id), feature)

    def length(self, clip_id: str, feature: str) -> int:
        """See `FeatureStore.length`.

        Args:
            clip_id: Name of the clip.
            feature: Name of the feature.
        """
        return self._store.length(self._ids.get(clip_id, clip_id), feature)


def named_by_corpus(store: FeatureStore) -> tuple[FeatureStore, list[str]]:
    """The store with its clips under the corpus's own names, as far as these can be used.

    Returns:
        The store itself where ids and names are the same; and a line that says how clips are named where they are not.
    """
    if not store.has_manifest:
        return store, []
    sources = {clip.id: clip.source_id for clip in store.clips()}
    counts = Counter(sources.values())
    names = {i: name for i, name in sources.items() if name and counts[name] == 1 and _is_fit(name)}
    taken = sources.keys() - names.keys()
    names = {i: name for i, name in names.items() if name not in taken and (name == i or name not in sources)}
    renamed = {name: i for i, name in names.items() if name != i}
    if not renamed:
        return store, []
    left = [i for i, name in sources.items() if i not in names and name not in {None, i}]
    but = f", but for {counted(len(left), 'clip')} by id ({left[0]}, ...)" if left else ""
    return NamedStore(store, renamed), [f"clips are named as the corpus names them (source_id){but}"]


def _is_fit(name: str) -> bool:
    return bool(CLIP_ID.fullmatch(name)) and bool(name.strip("."))
