"""Text: what a sentence encoder, any BERT-like model or a language model makes of a clip's transcript.

Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019; Devlin et al.,
"BERT", NAACL 2019. The default weights are a multilingual sentence encoder. The recipe `merbench` gives what the
feature script of MERBench (Lian et al., arXiv:2401.03429) gives: the last four layers summed, without special tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from configs.errors import RunError
from configs.plugins import Flag
from configs.weights import Weights
from extractors.core.media.clip_media import Media
from extractors.core.media.text import aligned_words_of, times_of_tokens, words_of
from extractors.core.networks.languages import languages_of
from extractors.core.networks.network_extractor import Array, NetworkExtractor, NetworkOptions
from extractors.core.networks.weights import load_model
from extractors.text.models import MODELS, UNUSED, plain_names
from extractors.text.sentence import BYTE_VOCABULARY, Sentence, load_tokenizer, read_sentence, tokenizer_digest
from storage.clip import Clip, Word
from storage.errors import ClipError
from storage.records import Failure, Features, FeatureSpec
from storage.vocabulary.spoken_words import ALIGNMENT
from storage.vocabulary.tokens import TOKENS, WORD

SUMMED = 4  # last layers that `merbench` sums
FULL: dict[str, Any] = {
    "vocab_size": BYTE_VOCABULARY,
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 4096,
}
TINY = FULL | {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}

Tokens = npt.NDArray[np.int64]


class _Encoded(NamedTuple):
    """A text as tokens.

    Attributes:
        tokens: (T,) ids.
        spoken: (T,) True for those that stand for text.
        words: (T,) place of each one's word, where words are known; -1 for none.
    """

    tokens: Tokens
    spoken: npt.NDArray[np.bool_]
    words: Tokens


class TextOptions(NetworkOptions):
    """Settings of the text encoder.

    Attributes:
        weights: A sentence encoder, a BERT-like model or a language model (GPT-2, Llama, Qwen, T5's encoder, ...) in
            Hugging Face's layout; `precision: fp16` for large ones.
        recipe: `merflow`: last layer; the sentence vector as the model's own files say, else the mean over all tokens.
            `merbench`: the last four layers summed, special tokens left out, the sentence vector their mean.
        level: `utterance` gives one row, `token` a row per token of the text, special tokens left out, `ids` the ids,
            mask and segments of all tokens as the model takes them (MMSA's `text_bert`), without running it.
        words: true, if the text is the manifest's words with their times (`merflow ingest --words`), or alignment, if
            it is those that the feature alignment finds in the audio: every token has the times of its word then, and
            `ids` have a further column `word`, its place, or -1 for special tokens.
        too_long: What becomes of a text with more tokens than the model takes: `fail`, or `cut` at the end.
    """

    weights: Weights = Weights(hub="sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2")
    recipe: Literal["merflow", "merbench"] = "merflow"
    level: Literal["utterance", "token", "ids"] = "utterance"
    words: Literal["alignment"] | Flag = False
    too_long: Literal["fail", "cut"] = "fail"

    @model_validator(mode="after")
    def _words_need_rows(self) -> Self:
        if self.words and self.level == "utterance":
            raise ValueError("option words: a row per token has times; expected level: token or ids, got utterance")
        return self


class Text(NetworkExtractor[TextOptions, Tokens]):
    """Hidden states of the transcript's tokens, or one vector for all of it.

    Where nobody knows when in the clip a token is spoken, every row is stamped with the whole clip; where the manifest
    does not know how long the clip is, with its first second. With `words` a token has the times of its word, and
    special tokens a microsecond beside the first and the last of them.
    """

    name = "text"
    Options = TextOptions
    modality: ClassVar[Literal["text"]] = "text"
    licence = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2: Apache 2.0"
    model_types = tuple(MODELS)
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": FULL, "tiny": TINY}
    setting_keys = ("hidden_size", "num_hidden_layers", "max_position_embeddings")
    setting_files = ("config.json",)
    cost_bytes = 1 << 18  # a token: hidden states of all layers, and its share of the attention

    @property
    def needs(self) -> tuple[str, ...]:
        """The words' times, where they are to be found in the audio."""
        return (ALIGNMENT,) if self.options.words == ALIGNMENT else ()

    @property
    def languages(self) -> frozenset[str]:
        """Languages that the model's card names."""
        return languages_of(self._weights.folder)

    def describe(self) -> FeatureSpec:
        """Width comes from `config.json`.

        Raises:
            RunError: If the weights are not on this machine, are of another model, or want another pooling.
        """
        options = self.options
        recipe: dict[str, Any] = {"recipe": options.recipe, "too_long": options.too_long, "longest": self._longest}
        if self._is_ids:
            recipe = {"ids": True, "too_long": options.too_long}
        elif options.recipe == "merflow":
            recipe["sentence"] = asdict(self._sentence)
        elif self._settings["num_hidden_layers"] < SUMMED:
            layers = self._settings["num_hidden_layers"]
            raise RunError(f"{self.feature}: merbench sums {SUMMED} layers, the model has {layers}")
        return self.network_spec(
            modality="text",
            level="utterance" if options.level == "utterance" else "frame",
            columns=self._columns,
            recipe=recipe
            | {"tokenizer": tokenizer_digest(self._weights)}
            | ({"words": options.words} if options.words else {}),
            source=f"{self._settings.get('model_type', 'bert')} (transformers)",
        )

    def usual_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings under the names that most models have.

        Args:
            settings: As `config.json` has them.
        """
        return plain_names(settings)

    @property
    def _columns(self) -> tuple[str, ...]:
        if self._is_ids:
            return (*TOKENS, WORD) if self.options.words else TOKENS
        return tuple(f"text_{i}" for i in range(self._settings["hidden_size"]))

    @cached_property
    def _sentence(self) -> Sentence:
        return read_sentence(self._weights)

    @property
    def _longest(self) -> int:
        """Most tokens of a text; RoBERTa and its relatives lose two positions to padding."""
        positions = int(self._settings["max_position_embeddings"])
        if self._settings.get("model_type") in {"roberta", "xlm-roberta", "camembert", "mpnet"}:
            positions -= 2
        return min(positions, self._sentence.longest or positions)

    def load(self, device: str) -> None:
        """Load the model and its tokenizer.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        self._tokenizer = load_tokenizer(self._weights, of_words=bool(self.options.words))
        self.loaded = True
        if self._is_ids:
            return
        import transformers

        model_class = getattr(transformers, MODELS[self._settings.get("model_type", "bert")])
        self._model = self.load_shared(lambda: load_model(self._weights, model_class, self._settings, UNUSED), device)

    @property
    def _is_ids(self) -> bool:
        return self.options.level == "ids"

    def prepare(self, media: Media) -> None:
        """Encode the text ahead for the network; ids need none."""
        if not self._is_ids:
            super().prepare(media)

    def extract(self, batch: Sequence[Media]) -> list[Features | Failure]:
        """Extract from each text: same order, same length, one outcome each."""
        return [self._outcome(media) for media in batch] if self._is_ids else super().extract(batch)

    def extract_clip(self, media: Media) -> Features:
        """Ids, mask and segments of all tokens, special ones included.

        Raises:
            ClipError: `no_text`, or `too_long` where the model takes fewer tokens.
        """
        (tokens,), encoded = list(self.units(media)), self._encoded(media)
        if not encoded.spoken.any():
            raise ClipError("no_text", f"the text of clip {media.clip.id} has no tokens")
        columns = [tokens, np.ones_like(tokens), np.zeros_like(tokens)]  # one text: one segment
        columns += [encoded.words] if self.options.words else []
        return self._stamped(media, np.stack(columns, axis=1), encoded.words)

    def units(self, media: Media) -> Iterator[Tokens]:
        """The transcript's token ids, special tokens included.

        Raises:
            ClipError: `no_text`, or `too_long` where the model takes fewer tokens.
        """
        tokens = self._encoded(media).tokens
        if tokens.size > self._longest:
            raise ClipError("too_long", f"{tokens.size} tokens of text, the model takes {self._longest}")
        yield tokens

    def _encoded(self, media: Media) -> _Encoded:
        text = [word.text for word in self._words(media)] if self.options.words else (media.clip.text or "").strip()
        if not text:
            raise ClipError("no_text", f"the manifest has no text for clip {media.clip.id}")
        cut = {"truncation": True, "max_length": self._longest} if self.options.too_long == "cut" else {}
        if self._sentence.lower:
            text = text.lower() if isinstance(text, str) else [word.lower() for word in text]
        encoded = self._tokenizer(
            text, verbose=False, return_special_tokens_mask=True, is_split_into_words=bool(self.options.words), **cut
        )
        words = encoded.word_ids() if self.options.words else [None] * len(encoded["input_ids"])
        return _Encoded(
            np.array(encoded["input_ids"], np.int64),
            ~np.array(encoded["special_tokens_mask"], np.bool_),
            np.array([-1 if word is None else word for word in words], np.int64),
        )

    def forward(self, units: list[Tokens]) -> list[Array]:
        """(T, D) of each text, without padding, special tokens included."""
        lengths = [unit.size for unit in units]
        ids = np.full((len(units), max(lengths)), self._tokenizer.pad_token_id or 0, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, unit in enumerate(units):
            ids[row, : unit.size], mask[row, : unit.size] = unit, 1
        tokens, attention_mask = self.tensor(ids), self.tensor(mask)
        summed = self.options.recipe == "merbench"
        with self.running():
            output = self._model(input_ids=tokens, attention_mask=attention_mask, output_hidden_states=summed)
            # The last of hidden_states is before the final norm in some models of transformers 5; it was after it.
            states = output.last_hidden_state
            states = sum(output.hidden_states[-SUMMED:-1]) + states if summed else states
        return [row[:length] for row, length in zip(self.array(states), lengths, strict=True)]

    def features(self, media: Media, outputs: list[Array]) -> Features:
        """One row, or one per token.

        Args:
            media: The clip's media.
            outputs: What the network gave for each unit, in order.

        Raises:
            ClipError: `no_text` if nothing but special tokens is left of a text.
        """
        (states,) = outputs
        encoded = self._encoded(media)
        spoken = encoded.spoken
        if not spoken.any():
            raise ClipError("no_text", f"the text of clip {media.clip.id} has no tokens")
        if self.options.level == "token":
            return self._stamped(media, states[spoken], encoded.words[spoken])
        whole = states[spoken].mean(axis=0, dtype=np.float64)
        return self._stamped(media, (whole if self.options.recipe == "merbench" else self._sentence.pool(states))[None])

    def _words(self, media: Media) -> Sequence[Word]:
        return aligned_words_of(media) if self.options.words == ALIGNMENT else words_of(media)

    def _stamped(self, media: Media, values: npt.NDArray[Any], words: Tokens | None = None) -> Features:
        if self.options.words and words is not None:
            times = times_of_tokens(words, self._words(media))
        else:
            times = np.tile([0.0, _seconds(media.clip)], (len(values), 1))
        return self.checked(values, times, np.ones(len(values), np.bool_))


def _seconds(clip: Clip) -> float:
    if clip.end is not None:
        return clip.end - (clip.start or 0.0)
    return clip.duration or 1.0
