"""Nouns, errors, the feature store, corpus readers and exporters. Knows nothing of media or models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.store import FeatureStore, open_store

__all__ = ["FeatureStore", "open_store"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: `import storage.errors` must not cost the import of HDF5.
    if name in __all__:
        from storage import store

        return getattr(store, name)
    raise AttributeError(f"module 'storage' has no attribute {name!r}")
