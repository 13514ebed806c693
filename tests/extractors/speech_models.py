"""Tiny speech models of every class and norm, and the reference procedure to hold extractors against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import Wav2Vec2FeatureExtractor

from extractors.core.extractor import build_extractor
from extractors.core.media.clip_media import Media
from extractors.core.networks.random_weights import seeded
from extractors.core.networks.speech import FAMILY, TINY
from extractors.hubert import Hubert
from storage.clip import Clip
from storage.records import Features
from tests.media import tone, write_clip

torch.set_num_threads(1)  # networks this small only lose by handing work from thread to thread

RATE = 16_000
RANDOM = {"random": {"seed": 0, "size": "tiny"}}
SMALL = TINY | {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "conv_dim": [16] * 7}
GROUP_NORM = {"feat_extract_norm": "group", "do_stable_layer_norm": False, "conv_bias": False}
LENGTHS = [0.5, 1.0, 2.3, 1.0, 4.1]  # seconds of the clips of a batch


def save(folder: Path, kind: str = "hubert", **settings: Any) -> Path:
    model_class = getattr(transformers, FAMILY[kind][0] + "Model")
    model = seeded(1, lambda: model_class(model_class.config_class(**SMALL | settings)))
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)
    return folder


def media_of(tmp_path: Path, samples: np.ndarray) -> Media:
    write_clip(tmp_path / "a.wav", video=False, audio=samples.reshape(1, -1), rate=RATE)
    media = Media(Clip("a", audio="a.wav"), tmp_path)
    media.decode()
    return media


def batch_of(tmp_path: Path) -> list[Media]:
    clips = []
    for i, seconds in enumerate(LENGTHS):
        (tmp_path / str(i)).mkdir(exist_ok=True)
        clips.append(media_of(tmp_path / str(i), (1 + i) * 0.1 * audio(seconds, seed=i)))
    return clips


def audio(seconds: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=round(seconds * RATE)).astype(np.float32)
    return tone(seconds, RATE)[0] + 0.05 * noise


def build(weights: dict[str, Any] | Path = RANDOM, **options: Any) -> Hubert:
    weights = {"local": str(weights)} if isinstance(weights, Path) else weights
    extractor = build_extractor("hubert", "hubert", {"weights": weights, **options})
    assert isinstance(extractor, Hubert)
    extractor.load("cpu")
    return extractor


def run(media: Media, weights: dict[str, Any] | Path = RANDOM, **options: Any) -> Features:
    extractor = build(weights, **options)
    return only(extractor, [media])[0]


def only(extractor: Hubert, clips: list[Media]) -> list[Features]:
    outcomes = extractor.extract(clips)
    for outcome in outcomes:
        assert isinstance(outcome, Features), outcome
        assert outcome.values.shape[1] == len(extractor.spec.columns)
    return outcomes  # type: ignore[return-value]


def load(folder: Path) -> Any:
    kind = transformers.AutoConfig.from_pretrained(folder).model_type
    return getattr(transformers, FAMILY[kind][0] + "Model").from_pretrained(folder).eval()


def tapped(folder: Path, rows: torch.Tensor) -> list[torch.Tensor]:
    """Layer 0 to the last, by hooks of our own: hidden_states differs in transformers 4 and 5."""
    model, found = load(folder), []

    def first(_module: Any, args: Any, options: Any) -> None:
        found.append((args[0] if args else options["hidden_states"]).clone())

    def after(_module: Any, _inputs: Any, out: Any) -> None:
        found.append(out[0] if isinstance(out, tuple) else out)

    model.encoder.layers[0].register_forward_pre_hook(first, with_kwargs=True)
    for layer in model.encoder.layers:
        layer.register_forward_hook(after)
    with torch.no_grad():
        last = model(rows).last_hidden_state
        if model.config.do_stable_layer_norm:
            torch.testing.assert_close(model.encoder.layer_norm(found[-1]), last)
    return [*found[:-1], last]


def scaled(folder: Path, wave: np.ndarray) -> torch.Tensor:
    return Wav2Vec2FeatureExtractor.from_pretrained(folder)(wave, sampling_rate=RATE, return_tensors="pt").input_values


def as_the_script_does(folder: Path, wave: np.ndarray, recipe: str) -> np.ndarray:
    rows = scaled(folder, wave)
    if recipe == "merbench" and rows.shape[1] > 160_000:
        rows = torch.nn.functional.pad(rows, (0, -rows.shape[1] % 160_000)).view(-1, 160_000)
    states = tapped(folder, rows)
    given = torch.stack(states)[[-4, -3, -2, -1]].sum(dim=0) if recipe == "merbench" else states[-1]
    return given.reshape(-1, given.shape[-1]).numpy()
