"""What is known of a clip's words; a text needs no decoding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from extractors.core.media.clip_media import Media
from storage.clip import Word
from storage.errors import ClipError
from storage.vocabulary.spoken_words import ALIGNMENT, aligned_words


def words_of(media: Media) -> Sequence[Word]:
    """The words of a clip with their times, in order of start.

    Raises:
        ClipError: `no_words` if the manifest has none.
    """
    words = media.clip.words
    if not words:
        raise ClipError("no_words", f"the manifest has no word times for clip {media.clip.id}")
    return words


def aligned_words_of(media: Media) -> Sequence[Word]:
    """The words of a clip as the feature `alignment` found them in its audio, in order.

    Raises:
        ClipError: `no_words` if it could place none.
    """
    words = aligned_words(media.clip.text, media.feature(ALIGNMENT))
    if not words:
        raise ClipError("no_words", f"no word of clip {media.clip.id} has letters that the aligner knows")
    return words


def times_of_tokens(words: npt.NDArray[np.int64], spoken: Sequence[Word]) -> npt.NDArray[np.float64]:
    """(T, 2) seconds of the word of each token; of one without a word, a microsecond beside its neighbour.

    Args:
        words: (T,) place of each token's word; -1 for none.
        spoken: The words.
    """
    times = np.zeros((len(words), 2))
    latest = 0.0
    for row, word in enumerate(words.tolist()):
        if word >= 0:
            times[row] = spoken[word].start, spoken[word].end
        else:
            begin = spoken[0].start if row == 0 else latest
            times[row] = begin, begin + 1e-6
        latest = max(latest, times[row, 1])
    return times
