"""What a clip's manifest says of its words; a text needs no decoding."""

from __future__ import annotations

from collections.abc import Sequence

from extractors.core.media.clip_media import Media
from storage.clip import Word
from storage.errors import ClipError


def words_of(media: Media) -> Sequence[Word]:
    """The words of a clip with their times, in order of start.

    Raises:
        ClipError: `no_words` if the manifest has none.
    """
    words = media.clip.words
    if not words:
        raise ClipError("no_words", f"the manifest has no word times for clip {media.clip.id}")
    return words
