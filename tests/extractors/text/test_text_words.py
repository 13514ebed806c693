"""Words with times: a row per word, and tokens that have the times of their words."""

from __future__ import annotations

import numpy as np
import pytest

from configs.errors import ConfigError
from extractors.core.extractor import build_extractor
from extractors.core.media.clip_media import Media
from extractors.text.sentence import load_tokenizer
from storage.clip import Clip, Word
from storage.identity import input_digests
from storage.records import Failure

RANDOM = {"random": {"seed": 3, "size": "tiny"}}
WORDS = (Word("Saya", 0.25, 0.5), Word("sé", 0.5, 0.75), Word("ya", 1.0, 1.5))
CLIP = Clip("c", text="Saya sé ya!", words=WORDS)


def media(clip=CLIP):
    return Media(clip, None, audio=False, video=False)


def text(**options):
    extractor = build_extractor("text", "text", {"weights": RANDOM, "words": True, **options})
    extractor.load("cpu")
    return extractor


def test_a_row_per_word():
    extractor = build_extractor("words", "words", {})
    extractor.load("cpu")
    found, failure = extractor.extract([media(), media(Clip("d", text="no times"))])
    assert found.values.tolist() == [[0], [1], [2]]
    assert found.times.tolist() == [[0.25, 0.5], [0.5, 0.75], [1.0, 1.5]]
    assert isinstance(failure, Failure)
    assert failure.reason == "no_words"


def test_tokens_have_the_times_of_their_words():
    ids = text(level="ids")
    assert ids.spec.columns == ("input_ids", "attention_mask", "token_type_ids", "word")
    (found,) = ids.extract([media()])
    assert found.values[:, 3].tolist() == [-1, 0, 0, 0, 0, 1, 1, 1, 2, 2, -1]  # single bytes; é has two
    assert found.times[1:5].tolist() == [[0.25, 0.5]] * 4
    assert found.times[8:10].tolist() == [[1.0, 1.5]] * 2
    assert found.times[0].tolist() == [0.25, 0.25 + 1e-6]
    assert found.times[-1].tolist() == [1.5, 1.5 + 1e-6]
    (token,) = text(level="token").extract([media()])
    np.testing.assert_array_equal(token.times, found.times[1:-1])
    (plain,) = build(words=False, level="ids").extract([media(Clip("c", text="Sayaséya"))])
    np.testing.assert_array_equal(plain.values[:, 0], found.values[:, 0])


def build(**options):
    extractor = build_extractor("text", "text", {"weights": RANDOM, **options})
    extractor.load("cpu")
    return extractor


def test_words_are_part_of_the_text_and_tell_recipes_apart():
    assert text(level="token").spec.digest != build(level="token").spec.digest
    moved = Clip("c", text=CLIP.text, words=(Word("Saya", 0.2, 0.5), *WORDS[1:]))
    before, after = input_digests(CLIP), input_digests(moved)
    assert [name for name in before if before[name] != after[name]] == ["text"]


def test_one_row_for_a_text_has_no_words():
    with pytest.raises(ConfigError, match="option words: a row per token has times; expected level: token or ids"):
        build_extractor("text", "text", {"weights": RANDOM, "words": True})


def test_a_tokenizer_that_wants_a_space_before_words_gets_it(tmp_path):
    """RoBERTa's and GPT-2's tokenizers know a word in a sentence by the space before it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import RobertaTokenizerFast

    from extractors.core.networks.weights import ResolvedWeights  # noqa: F401  the type that load_tokenizer takes

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    symbols = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *alphabet]
    made = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    RobertaTokenizerFast(tokenizer_object=made).save_pretrained(tmp_path)

    class Folder:
        folder = tmp_path

    tokenizer = load_tokenizer(Folder(), of_words=True)
    encoded = tokenizer(["ya", "no"], is_split_into_words=True, add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"]) == ["Ġ", "y", "a", "Ġ", "n", "o"]
    assert encoded.word_ids() == [0, 0, 0, 1, 1, 1]
