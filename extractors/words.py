"""Words: when each word of a clip is spoken, as its manifest says; a clock for other features, one row per word.

`merflow ingest --words` reads the times from TextGrids, CTM, and the JSON of whisperX and MFA.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from configs.plugins import Section
from extractors.core.extractor import Extractor
from extractors.core.media.clip_media import Media
from extractors.core.media.text import words_of
from storage.records import Features, FeatureSpec


class WordsOptions(Section):
    """Words have no settings."""


class Words(Extractor[WordsOptions]):
    """One row per word, in order of start: `word`, its place among the words of the clip, from 0.

    The words themselves are in the manifest; exports that show them take them from there.
    """

    name = "words"
    Options = WordsOptions
    modality: ClassVar[Literal["text"]] = "text"

    def describe(self) -> FeatureSpec:
        """One column."""
        return FeatureSpec(self.feature, self.name, "text", "frame", ("word",), source="the manifest's word times")

    def load(self, device: str) -> None:
        """Nothing to load."""
        self.loaded = True

    def extract_clip(self, media: Media) -> Features:
        """The words of one clip.

        Raises:
            ClipError: `no_words` if the manifest has none.
        """
        words = words_of(media)
        times = np.array([(word.start, word.end) for word in words])
        return self.checked(np.arange(len(words))[:, None], times, np.ones(len(words), np.bool_))
