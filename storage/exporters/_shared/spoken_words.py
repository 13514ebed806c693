"""The words of clips, for formats that align to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import RunError
from storage.clip import Clip, Word
from storage.timeline import Times
from storage.vocabulary.spoken_words import ALIGNMENT, aligned_words

if TYPE_CHECKING:
    from storage.store.store import FeatureStore

WordsOf = Callable[[Clip], Sequence[Word]]


def word_times(words: Sequence[Word]) -> Times:
    """(N, 2) seconds in which each word is spoken."""
    return np.array([(word.start, word.end) for word in words], np.float64).reshape(-1, 2)


def words_by(store: FeatureStore, source: str) -> WordsOf:
    """What gives the words of a clip with their times.

    Args:
        store: Where the clips are.
        source: `words`, those of the manifest, or `alignment`, those that the feature of that name found.

    Raises:
        RunError: If no clip has any; says how to get them.
    """
    if source != ALIGNMENT:
        if not any(clip.words for clip in store.clips()):
            raise RunError(
                f"option intervals: {store.path}: no clip has words; `merflow ingest --words DIR` reads them, or "
                f"intervals={ALIGNMENT} takes those that the feature {ALIGNMENT} found"
            )
        return lambda clip: clip.words

    def found(clip: Clip) -> Sequence[Word]:
        return aligned_words(clip.text, store.get(clip.id, ALIGNMENT)) if store.has(clip.id, ALIGNMENT) else ()

    if ALIGNMENT not in store.specs:
        raise RunError(f"option intervals: {store.path}: no feature {ALIGNMENT}; the extractor of that name makes it")
    return found


def longest_word(store: FeatureStore, words_of: WordsOf) -> int:
    """Bytes of the longest word of all clips, as UTF-8; at least 1.

    Args:
        store: Where the clips are.
        words_of: What gives a clip's words.
    """
    words = chain.from_iterable(words_of(clip) for clip in store.clips())
    return max((len(word.text.encode()) for word in words), default=1)
