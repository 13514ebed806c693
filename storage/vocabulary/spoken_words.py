"""Words as things in time: what a transcript's words are, and what the feature that finds them is called."""

from __future__ import annotations

import re

from storage.clip import Word
from storage.records import Features

WORDS = "words"
"""What options of exports call words as a clock; the extractor of the manifest's words, and its feature."""
ALIGNMENT = "alignment"
"""The extractor that finds a transcript's words in its audio."""
ALIGNMENT_COLUMNS = ("word", "score")
_WRITTEN_WITHOUT_BLANKS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_WRITTEN_WITHOUT_BLANKS}]|[^\s{_WRITTEN_WITHOUT_BLANKS}]+")


def split_words(text: str) -> list[str]:
    """Words of a transcript: what blanks separate, and each character of Chinese and Japanese.

    What holds no letter or digit, such as a dash, is no word.

    >>> split_words("Well - I said: \u4f60\u597d\u3002")
    ['Well', 'I', 'said:', '\u4f60', '\u597d']
    """
    return [word for word in _WORD.findall(text) if any(map(str.isalnum, word))]


def aligned_words(text: str | None, alignment: Features) -> tuple[Word, ...]:
    """The words of a transcript with the times that the extractor `alignment` found, without those it could not spell.

    Args:
        text: The transcript.
        alignment: Rows of the feature, of the same transcript.
    """
    rows = zip(split_words(text or ""), alignment.times.tolist(), alignment.valid, strict=True)
    return tuple(Word(word, start, end) for word, (start, end), is_valid in rows if is_valid)
