"""What users import: open a store, and the nouns in it. Light: no torch, Prefect or Dask behind it.

import merflow
store = merflow.open_store("store")
features = store.get("clip_1_Cooking_1", "gemaps")   # values (T, 18), times (T, 2) seconds, valid (T,)
"""

from storage.clip import Clip
from storage.records import Failure, Features, FeatureSpec
from storage.store.store import FeatureStore, open_store

__all__ = ["Clip", "Failure", "FeatureSpec", "FeatureStore", "Features", "open_store"]
