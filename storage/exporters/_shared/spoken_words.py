"""The words of clips, for formats that align to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from configs.errors import RunError
from storage.clip import Clip
from storage.timeline import Times

if TYPE_CHECKING:
    from storage.store.store import FeatureStore

WORDS = "words"
"""What options call them; the extractor, and its feature, with a row per word."""


def word_times(clip: Clip) -> Times:
    """(N, 2) seconds in which each word of a clip is spoken."""
    return np.array([(word.start, word.end) for word in clip.words], np.float64).reshape(-1, 2)


def require_words(store: FeatureStore) -> None:
    """Refuse a store whose manifest has no words.

    Raises:
        RunError: Says how to get them.
    """
    if not any(clip.words for clip in store.clips()):
        raise RunError(f"option intervals: {store.path}: no clip has words; `merflow ingest --words DIR` reads them")
