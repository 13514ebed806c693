"""Alignment: the best path against all paths, and whole networks against transformers' own."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from transformers import Wav2Vec2FeatureExtractor

from configs.errors import RunError
from extractors.alignment import LETTERS
from extractors.alignment.ctc import token_spans
from extractors.core.extractor import build_extractor
from extractors.core.networks.random_weights import seeded
from extractors.core.networks.speech import FAMILY
from storage.clip import Clip
from storage.errors import ClipError
from storage.records import Failure
from storage.vocabulary.spoken_words import split_words
from tests.extractors.speech_models import GROUP_NORM, SMALL, audio, media_of

HOP = 0.02


def log_probs_of(steps: int, tokens: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(steps, tokens)) * 2
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def spans_of(path: tuple[int, ...], blank: int) -> tuple[list[int], list[list[int]]]:
    """What a path through the steps says, and where each token of it lies."""
    said, spans = [], []
    for step, token in enumerate(path):
        if token == blank:
            continue
        if step and path[step - 1] == token:
            spans[-1][1] = step + 1
        else:
            said.append(token)
            spans.append([step, step + 1])
    return said, spans


@pytest.mark.parametrize("tokens", [[1], [1, 2], [1, 1], [2, 1, 2], [1, 1, 1]])
@pytest.mark.parametrize("blank", [0, 2])
def test_the_best_path_is_the_best_of_all_paths(tokens, blank):
    tokens = [t if t != blank else 0 for t in tokens]
    for seed, steps in itertools.product(range(3), (5, 6)):
        log_probs = log_probs_of(steps, 3, seed)
        best, expected = -np.inf, None
        for path in itertools.product(range(3), repeat=steps):
            said, spans = spans_of(path, blank)
            score = log_probs[np.arange(steps), path].sum()
            if said == tokens and score > best:
                best, expected = score, spans
        assert token_spans(log_probs, np.array(tokens), blank).tolist() == expected


def test_too_few_steps_are_refused():
    token_spans(log_probs_of(3, 3, 0), np.array([1, 1]), 0)
    with pytest.raises(ClipError, match="2 steps of audio for a transcript that needs 3"):
        token_spans(log_probs_of(2, 3, 0), np.array([1, 1]), 0)


TORCHAUDIO = """
import json, sys
import torch, torchaudio
for case in json.load(sys.stdin):
    rows = torch.tensor(case["log_probs"])[None]
    path, _ = torchaudio.functional.forced_align(rows, torch.tensor([case["tokens"]], dtype=torch.int32), blank=0)
    print(json.dumps(path[0].tolist()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("MERFLOW_TEST_INSTALL"), reason="MERFLOW_TEST_INSTALL=1 installs torchaudio")
@pytest.mark.timeout(1800)
def test_spans_are_those_of_torchaudio(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    install = [python, "-m", "pip", "install", "-q", "torch==2.9.1", "torchaudio==2.9.1", "numpy"]
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    cases = []
    for seed in range(20):
        tokens = np.random.default_rng(seed).integers(1, 5, size=1 + seed).tolist()
        cases.append({"log_probs": log_probs_of(60 + seed, 6, seed).tolist(), "tokens": tokens})
    run = subprocess.run(
        [python, "-c", TORCHAUDIO], input=json.dumps(cases), text=True, capture_output=True, check=True
    )
    paths = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(paths) == len(cases)
    for case, path in zip(cases, paths, strict=True):
        found = token_spans(np.array(case["log_probs"], np.float32), np.array(case["tokens"]), 0)
        assert found.tolist() == spans_of(tuple(path), 0)[1]


def aligner(folder=None):
    weights = {"random": {"seed": 0, "size": "tiny"}} if folder is None else {"local": str(folder)}
    extractor = build_extractor("alignment", "alignment", {"weights": weights})
    extractor.load("cpu")
    return extractor


def save(folder, kind="wav2vec2", vocabulary=LETTERS, head="ForCTC", **settings):
    model_class = getattr(transformers, FAMILY[kind][0] + head)
    settings = SMALL | {"vocab_size": len(LETTERS), "pad_token_id": 0} | settings
    seeded(1, lambda: model_class(model_class.config_class(**settings))).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    return folder


def said(tmp_path, text, seconds=1.0):
    media = media_of(tmp_path, 0.3 * audio(seconds))
    media.clip = Clip("a", audio="a.wav", text=text)
    return media


def spelling(text, steps_each=3):
    """Log probabilities of a network that is sure: a blank, and each letter (| between words) for some steps."""
    letters = [LETTERS[c] for c in text]
    path = [0, *itertools.chain.from_iterable([t] * steps_each + [0] for t in letters)]
    rows = np.full((len(path), len(LETTERS)), np.log(0.001), np.float32)
    rows[np.arange(len(path)), path] = np.log(0.972)
    return rows


@pytest.mark.parametrize("text", ["Hi, you", "HI you!", "hi -- you"])
def test_words_are_where_their_letters_are(tmp_path, text):
    rows = spelling("hi|you")
    found = aligner().features(said(tmp_path, text, len(rows) * HOP + 0.005), [rows])
    # h 1-3, i 5-7, | 9-11, y 13-15, o 17-19, u 21-23, of 20 ms each
    np.testing.assert_allclose(found.times, [[0.02, 0.16], [0.26, 0.48]])
    np.testing.assert_allclose(found.values, [[0, 0.972], [1, 0.972]], atol=1e-6)
    assert found.valid.all()


def test_a_word_that_cannot_be_spelled_has_the_place_that_is_left_and_is_not_valid(tmp_path):
    rows = spelling("in|q|may")  # the recogniser hears something for the number
    found = aligner().features(said(tmp_path, "in 2019 May", len(rows) * HOP + 0.005), [rows])
    assert found.valid.tolist() == [True, False, True]
    assert found.times[0, 1] <= found.times[1, 0] < found.times[1, 1] <= found.times[2, 0]
    np.testing.assert_allclose(found.times[[0, 2]], [[0.02, 0.16], [0.42, 0.64]])


def test_a_low_score_tells_a_transcript_of_something_else(tmp_path):
    rows = spelling("hi|you")
    right = aligner().features(said(tmp_path, "hi you"), [rows]).values[:, 1]
    wrong = aligner().features(said(tmp_path, "ka mel"), [rows]).values[:, 1]
    assert right.min() > 0.9
    assert wrong.max() < 0.3


def test_what_words_are():
    assert split_words("Don't — stop!") == ["Don't", "stop!"]
    assert split_words("我爱 Python。\n") == ["我", "爱", "Python。"]
    assert split_words("저는 학생") == ["저는", "학생"]
    assert split_words(" ... ") == []


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("hubert", {}), ("wav2vec2", GROUP_NORM), ("wavlm", {}), ("data2vec-audio", {"num_conv_pos_embeddings": 5})],
)
def test_every_family_gives_what_transformers_gives(tmp_path, kind, settings):
    folder = save(tmp_path / "model", kind, **settings)
    media = said(tmp_path, "well I never", 2.0)
    (found,) = aligner(folder).extract([media])
    model = getattr(transformers, FAMILY[kind][0] + "ForCTC").from_pretrained(folder).eval()
    scaled = Wav2Vec2FeatureExtractor.from_pretrained(folder)(
        media.audio().samples, sampling_rate=16_000, return_tensors="pt"
    ).input_values
    with torch.no_grad():
        log_probs = torch.log_softmax(model(scaled).logits[0], dim=-1).numpy()
    tokens = np.array([LETTERS[c] for c in "well|i|never"])
    spans = token_spans(log_probs, tokens, 0)
    expected = [[spans[0, 0], spans[3, 1]], [spans[5, 0], spans[5, 1]], [spans[7, 0], spans[11, 1]]]
    np.testing.assert_allclose(found.times, np.array(expected) * HOP)
    assert aligner(folder).spec.source.startswith(FAMILY[kind][1])


def test_long_audio_goes_through_windows(tmp_path):
    (found,) = aligner().extract([said(tmp_path, "a b c " * 20, 61.0)])
    assert len(found.times) == 60
    assert (np.diff(found.times[:, 0]) > 0).all()
    assert found.times[-1, 1] <= 61.0


def test_a_batch_gives_what_single_clips_give(tmp_path):
    clips = []
    for i, seconds in enumerate((0.5, 2.0, 1.1)):
        (tmp_path / str(i)).mkdir()
        clips.append(said(tmp_path / str(i), f"so {'very ' * i}long", seconds))
    alone = [aligner().extract([clip])[0] for clip in clips]
    together = aligner()
    together.budget = 10**9
    for one, other in zip(alone, together.extract(clips), strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)
        np.testing.assert_array_equal(one.times, other.times)


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        (None, "no_text", "clip a has no words to find in its audio"),
        ("...", "no_text", "clip a has no words to find in its audio"),
        ("much too long " * 9, "too_short", "49 steps of audio for a transcript that needs"),
    ],
)
def test_clips_without_an_alignment_have_a_reason(tmp_path, text, reason, message):
    (failed,) = aligner().extract([said(tmp_path, text)])
    assert isinstance(failed, Failure)
    assert failed.reason == reason
    assert failed.message.startswith(message)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    headless = save(tmp_path / "headless", head="Model")
    with pytest.raises(RunError, match=r"the weights lack 2 parameters, first lm_head\.bias"):
        aligner(headless)
    other = save(tmp_path / "other", vocabulary={"eng": {"a": 1}})
    with pytest.raises(RunError, match=r"vocab\.json: expected one vocabulary, of tokens from 0 to 28"):
        _ = aligner(other).spec
    (headless / "vocab.json").unlink()
    with pytest.raises(RunError, match=r"vocab\.json missing"):
        aligner(headless)


def test_another_vocabulary_is_another_digest(tmp_path):
    one, other = save(tmp_path / "one"), save(tmp_path / "other", vocabulary=LETTERS | {"'": LETTERS["z"]})
    assert aligner(one).spec.digest != aligner(other).spec.digest
