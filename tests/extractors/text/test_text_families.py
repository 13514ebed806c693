"""Every kind of text network against MERTools' recipe: the last four layers summed, special tokens cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf

from configs.errors import RunError
from extractors.core.extractor import build_extractor
from extractors.core.media.clip_media import Media
from extractors.core.networks.random_weights import seeded
from extractors.core.networks.weights import resolve
from extractors.text import TextOptions
from extractors.text.models import MODELS
from extractors.text.sentence import BYTE_VOCABULARY, load_tokenizer
from storage.clip import Clip

RANDOM = {"random": {"seed": 3, "size": "tiny"}}
V = {"vocab_size": BYTE_VOCABULARY}
BERT = V | {"hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4, "intermediate_size": 64}
LLAMA = BERT | {"num_key_value_heads": 2, "max_position_embeddings": 1024}
SETTINGS = {
    "albert": BERT | {"embedding_size": 16},
    "bert": BERT | {"max_position_embeddings": 1024},
    "deberta": BERT | {"max_position_embeddings": 1024, "pooler_hidden_size": 32},
    "gpt2": V | {"n_embd": 32, "n_layer": 5, "n_head": 4},
    "llama": LLAMA,
    "opt": BERT | {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "qwen2": LLAMA,
    "t5": V | {"d_model": 32, "num_layers": 5, "num_heads": 4, "d_ff": 64, "d_kv": 8},
    "xlnet": V | {"d_model": 32, "n_layer": 5, "n_head": 4, "d_inner": 64},
}  # fmt: skip
TEXTS = ["Yes.", "你好 今天很高兴。", "one two three " * 43, "今天很高兴。" * 33]  # the last two have 600 tokens


RARE = {"albert", "deberta", "opt", "qwen2"}


@pytest.fixture(scope="module", params=[pytest.param(k, marks=pytest.mark.slow) if k in RARE else k for k in SETTINGS])
def family(request, tmp_path_factory) -> tuple[str, Path]:
    kind = request.param
    path = tmp_path_factory.mktemp(kind)
    model_class = getattr(hf, MODELS[kind])
    seeded(5, lambda: model_class(model_class.config_class(**SETTINGS[kind]))).save_pretrained(path)
    load_tokenizer(resolve(TextOptions(weights=RANDOM).weights)).save_pretrained(path)
    return kind, path


def script(kind: str, folder: Path, sentence: str) -> np.ndarray:
    """MERTools' script: hidden states of the last four layers summed, without the first and the last token."""
    model = getattr(hf, MODELS[kind]).from_pretrained(folder).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        output = model(**tokenizer(sentence, return_tensors="pt"), output_hidden_states=True)
    states = [*output.hidden_states[:-1], output.last_hidden_state]  # as transformers 4 had them
    return torch.stack(states)[[-4, -3, -2, -1]].sum(dim=0)[0, 1:-1].numpy()


def build(folder: Path, **options):
    extractor = build_extractor("text", "text", {"weights": {"local": str(folder)}, "recipe": "merbench", **options})
    extractor.load("cpu")
    return extractor


def media(sentence: str) -> Media:
    return Media(Clip("c", text=sentence, duration=1.0), None, audio=False, video=False)


def test_tokens_and_their_mean(family):
    kind, folder = family
    tokens, mean = build(folder, level="token"), build(folder)
    # The longest text is longer than some models take: they say so, and the others give it.
    for sentence in TEXTS:
        (found,), (pooled,) = tokens.extract([media(sentence)]), mean.extract([media(sentence)])
        if getattr(found, "reason", "") == "too_long":
            assert (sentence in TEXTS[-2:], kind) == (True, "albert")
            continue
        expected = script(kind, folder, sentence.strip())
        np.testing.assert_allclose(found.values, expected, atol=1e-4)
        np.testing.assert_allclose(pooled.values[0], expected.mean(axis=0), atol=1e-4)
    assert tokens.spec.source == f"{kind} (transformers)"


def test_a_batch_gives_what_single_texts_give(family):
    _, folder = family
    alone = [build(folder).extract([media(sentence)])[0] for sentence in TEXTS[:2]]
    together = build(folder)
    together.budget = 10**9
    for one, other in zip(alone, together.extract([media(sentence) for sentence in TEXTS[:2]]), strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)


def test_an_unknown_network_is_refused_with_those_that_are_known(tmp_path, family):
    _, folder = family
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(RunError, match=r"expected model_type 'albert' or 'bert' or .*, got 'vit'"):
        _ = build_extractor("text", "text", {"weights": {"local": str(tmp_path)}}).spec
