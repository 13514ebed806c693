"""Forced alignment: when each word of a clip's transcript is spoken, by a speech recogniser with a CTC head.

The likeliest way through the recogniser's steps that says the transcript (Graves et al., ICML 2006). The default is
wav2vec 2.0 (Baevski et al., NeurIPS 2020) as trained for English; any HuBERT, wav2vec 2.0, WavLM or data2vec-audio
with a CTC head and a plain `vocab.json` fits, and must be of the clips' language.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from configs.errors import RunError
from configs.weights import Weights
from extractors.alignment.ctc import token_spans
from extractors.core.media.clip_media import Media
from extractors.core.networks.languages import languages_of
from extractors.core.networks.network_extractor import Array, NetworkOptions
from extractors.core.networks.speech import FULL, TINY, SpeechNetwork
from extractors.core.networks.speech_passes import RATE, joined
from extractors.core.networks.weights import SETTING_FILES
from extractors.core.networks.weights_files import read_json
from storage.errors import ClipError
from storage.records import Features, FeatureSpec
from storage.vocabulary.spoken_words import ALIGNMENT_COLUMNS, split_words

VOCABULARY = "vocab.json"
DELIMITER = "|"
LETTERS = {letter: i for i, letter in enumerate(("<pad>", DELIMITER, *"abcdefghijklmnopqrstuvwxyz'"))}
"""Vocabulary of random weights."""


class AlignmentOptions(NetworkOptions):
    """Settings of the aligner.

    Attributes:
        weights: A HuBERT, wav2vec 2.0, WavLM or data2vec-audio with a CTC head, in Hugging Face's layout.
    """

    weights: Weights = Weights(hub="facebook/wav2vec2-base-960h")


class Alignment(SpeechNetwork[AlignmentOptions]):
    """One row per word of the transcript, in its order, with the seconds in which it is spoken.

    Words are what blanks separate, and each character of Chinese and Japanese; what has no letter or digit is none.
    `word` is the place of the word, from 0; `score` the mean probability of its letters in its steps, 0 to 1: low
    where the transcript says something else than the audio. A word of which the recogniser knows no letter, such as a
    number, is put where the audio leaves room for it, and its row is not valid.
    """

    name = "alignment"
    Options = AlignmentOptions
    reads = ("text",)
    licence = "facebook/wav2vec2-base-960h: Apache 2.0"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        size: settings | {"vocab_size": len(LETTERS), "pad_token_id": 0}
        for size, settings in (("full", FULL), ("tiny", TINY))
    }
    setting_keys = (*SpeechNetwork.setting_keys, "vocab_size", "pad_token_id")
    setting_files = (*SETTING_FILES, VOCABULARY)
    head: ClassVar[Literal["Model", "ForCTC"]] = "ForCTC"

    @property
    def languages(self) -> frozenset[str]:
        """Languages that the model's card names."""
        return languages_of(self._weights.folder)

    def describe(self) -> FeatureSpec:
        """Two columns, a row per word.

        Raises:
            RunError: If the weights are not on this machine, of another model, or their vocabulary does not fit.
        """
        _ = self._vocabulary
        return self.network_spec(
            modality="audio",
            level="frame",
            columns=ALIGNMENT_COLUMNS,
            recipe={"rate_hz": RATE},
            source=f"{self.family} with a CTC head (transformers)",
        )

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        folder = self._weights.folder
        if folder is None:
            return LETTERS
        found = read_json(folder / VOCABULARY)
        size = self._settings["vocab_size"]
        if not all(isinstance(number, int) and 0 <= number < size for number in found.values()):
            raise RunError(f"{folder / VOCABULARY}: expected one vocabulary, of tokens from 0 to {size - 1}")
        return found

    def forward(self, units: list[Array]) -> list[Array]:
        """(steps, V) log probabilities of the tokens in each audio."""
        import torch

        inputs = self.inputs_of(units)
        with self.running():
            rows = torch.log_softmax(self._model(**inputs).logits.float(), dim=-1)
        return self.without_padding(rows, units)

    def features(self, media: Media, outputs: list[Array]) -> Features:
        """One row per word.

        Args:
            media: The clip's media.
            outputs: What the network gave for each unit, in order.

        Raises:
            ClipError: `no_text` without words, or `too_short` if there is less audio than the transcript needs.
        """
        words = split_words(media.clip.text or "")
        if not words:
            raise ClipError("no_text", f"clip {media.clip.id} has no words to find in its audio")
        audio = media.audio()
        log_probs = joined(outputs, audio.samples.size, "merflow", self.steps)
        blank = int(self._settings["pad_token_id"])
        spelled = [self._spelled(word) for word in words]
        anything = log_probs.shape[1]  # a column for what the vocabulary lacks: whatever is likeliest there
        spoken = np.delete(log_probs, blank, axis=1).max(axis=1, keepdims=True)
        log_probs = np.concatenate([log_probs, spoken], axis=1)
        between = [self._vocabulary[DELIMITER]] if DELIMITER in self._vocabulary else []
        tokens: list[int] = []
        begins = []
        for letters in spelled:
            tokens += between if tokens else []
            begins.append(len(tokens))
            tokens += letters or [anything]
        spans = token_spans(log_probs, np.array(tokens), blank)
        values, times = np.zeros((len(words), 2)), np.zeros((len(words), 2))
        for row, (begin, letters) in enumerate(zip(begins, spelled, strict=True)):
            end = begin + max(len(letters), 1)
            likely = [log_probs[s:e, t] for (s, e), t in zip(spans[begin:end], tokens[begin:end], strict=True)]
            values[row] = row, np.exp(np.concatenate(likely).astype(np.float64)).mean()
            times[row] = spans[begin, 0], spans[end - 1, 1]
        valid = np.array([bool(letters) for letters in spelled])
        values[~valid] = np.nan
        return self.checked(values, times * (self.steps.hop / RATE) + audio.start, valid)

    def _spelled(self, word: str) -> list[int]:
        """Tokens of a word's characters, in the case that the vocabulary has; without those that it lacks."""
        known = self._vocabulary
        spellings = ((c, c.lower(), c.upper()) for c in unicodedata.normalize("NFKC", word))
        found = [next((known[c] for c in cases if c in known), None) for cases in spellings]
        special = {known.get(DELIMITER), self._settings["pad_token_id"]}
        return [token for token in found if token is not None and token not in special]
