"""Nouns, errors, corpora, the feature store and exporters.

In: corpora on disk, and outcomes of extractors. Out: manifests, feature stores, and exports that training code reads.
Read `clip.py` and `records.py` first, then `errors.py` and `store/`. Knows nothing of media or models: never import
extractors or flows here, and open no media.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.store.store import FeatureStore, open_store

__all__ = ["FeatureStore", "open_store"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: `import storage.errors` must not cost the import of HDF5.
    if name in __all__:
        from storage.store import store

        return getattr(store, name)
    raise AttributeError(f"module 'storage' has no attribute {name!r}")
