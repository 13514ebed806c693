"""Whisper against transformers' own model and MERTools' procedure, on random weights in the true layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from configs.errors import ConfigError, RunError
from extractors.core.extractor import build_extractor
from extractors.core.networks.random_weights import seeded
from extractors.whisper import TINY
from storage.records import Failure
from tests.extractors.speech_models import RATE, audio, media_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("whisper")
    tokens = {"vocab_size": 40, "decoder_start_token_id": 7, "pad_token_id": 1, "bos_token_id": 1, "eos_token_id": 1}
    seeded(3, lambda: WhisperModel(WhisperConfig(**TINY | tokens))).save_pretrained(path)
    WhisperFeatureExtractor().save_pretrained(path)
    return path


def whisper(folder, **options):
    extractor = build_extractor("whisper", "whisper", {"weights": {"local": str(folder)}, **options})
    extractor.load("cpu")
    return extractor


def script(folder, samples):
    """MERTools' script: two start tokens, the decoder's last state."""
    model = WhisperModel.from_pretrained(folder).eval()
    features = WhisperFeatureExtractor.from_pretrained(folder)(samples, sampling_rate=RATE, return_tensors="pt")
    start = torch.tensor([[1, 1]]) * model.config.decoder_start_token_id
    with torch.no_grad():
        return model(features.input_features, decoder_input_ids=start).last_hidden_state[0].numpy()


@pytest.mark.parametrize("seconds", [0.5, 3, 12])
def test_mertools_rows(folder, tmp_path, seconds):
    media = media_of(tmp_path, 0.3 * audio(seconds))
    (found,) = whisper(folder, recipe="mertools").extract([media])
    expected = script(folder, media.audio().samples)
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    assert (found.times == [0, media.audio().end]).all()
    (mean,) = whisper(folder, recipe="mertools", level="utterance").extract([media])
    np.testing.assert_allclose(mean.values[0], expected.mean(axis=0), atol=1e-4)


def test_rows_of_the_encoder_are_those_of_the_audio_alone(folder, tmp_path):
    media = media_of(tmp_path, 0.3 * audio(1.234))
    model = WhisperModel.from_pretrained(folder).eval()
    features = WhisperFeatureExtractor()(media.audio().samples, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        output = model.encoder(features.input_features, output_hidden_states=True)
    (found,) = whisper(folder).extract([media])
    np.testing.assert_allclose(found.values, output.last_hidden_state[0, :62].numpy(), atol=1e-5)
    assert len(found.values) == 62  # 1.234 s in steps of 20 ms
    assert found.times[:2].tolist() == [[0, 0.02], [0.02, 0.04]]
    assert found.times[-1].tolist() == [1.22, 1.234]
    (first,) = whisper(folder, layer=1).extract([media])
    np.testing.assert_allclose(first.values, output.hidden_states[1][0, :62].numpy(), atol=1e-5)


def test_longer_audio_has_windows_or_a_reason(folder, tmp_path):
    media = media_of(tmp_path, 0.3 * audio(31))
    (found,) = whisper(folder).extract([media])
    assert len(found.values) == 1550
    np.testing.assert_allclose(found.times[-1], [30.98, 31.0])
    (failed,) = whisper(folder, recipe="mertools").extract([media])
    assert isinstance(failed, Failure)
    assert (failed.reason, failed.message) == (
        "too_long",
        "31.0 s of audio; recipe mertools takes 30 s, or too_long: cut",
    )
    (cut,) = whisper(folder, recipe="mertools", too_long="cut").extract([media])
    np.testing.assert_allclose(cut.values, script(folder, media.audio().samples), atol=1e-4)  # cut by the script too


def test_a_batch_gives_what_single_clips_give(folder, tmp_path):
    clips = []
    for i, seconds in enumerate((0.3, 2.0, 1.1)):
        (tmp_path / str(i)).mkdir()
        clips.append(media_of(tmp_path / str(i), 0.2 * audio(seconds, seed=i)))
    alone = [whisper(folder).extract([clip])[0] for clip in clips]
    together = whisper(folder)
    together.budget = 10**9
    for one, other in zip(alone, together.extract(clips), strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)


def test_what_does_not_fit_is_refused(folder):
    with pytest.raises(RunError, match="no layer 3; the encoder has 0 to 2"):
        _ = whisper(folder, layer=3).spec
    with pytest.raises(ConfigError, match="recipe mertools fixes the layer"):
        whisper(folder, recipe="mertools", layer=1)
