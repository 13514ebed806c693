"""Nouns, errors, the feature store, corpus readers and exporters. Knows nothing of media or models."""

from storage.store import FeatureStore, open_store

__all__ = ["FeatureStore", "open_store"]
