"""Whisper: what a large speech recogniser makes of audio: its encoder every 20 ms, or its decoder's first states.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", ICML 2023. The recipe `mertools` gives
what the scripts of MERBench and MER2024 to MER2026 (Lian et al.) give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from configs.errors import RunError
from configs.weights import Weights
from extractors.core.media.clip_media import Media
from extractors.core.networks.network_extractor import Array, NetworkExtractor, NetworkOptions
from extractors.core.networks.weights import load_model, load_scaler
from storage.errors import ClipError
from storage.records import Features, FeatureSpec

RATE = 16_000
SECONDS = 30  # that the encoder takes at once
STEP = 320  # samples of a row of the encoder: 20 ms
START_TOKENS = 2
FULL: dict[str, Any] = {
    "d_model": 1280,
    "encoder_layers": 32,
    "decoder_layers": 32,
    "encoder_attention_heads": 20,
    "decoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "decoder_ffn_dim": 5120,
    "num_mel_bins": 80,
}
TINY = FULL | {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
}


class WhisperOptions(NetworkOptions):
    """Settings of Whisper.

    Attributes:
        weights: A Whisper in Hugging Face's layout.
        recipe: `merflow`: the encoder's states; longer audio in windows of 30 s, the padding of the last one cut off.
            `mertools`: the decoder's last states for two start tokens, two rows; audio of at most 30 s.
        layer: Layer of the encoder, for `merflow`: 0 its input, n the output of the n-th; the last one after the final
            norm. Negative numbers count from the last.
        level: `frame` gives rows, `utterance` their mean.
        too_long: What `mertools` does with audio over 30 s: `fail`, or `cut` at 30 s, as the script does.
    """

    weights: Weights = Weights(hub="openai/whisper-large-v2")
    recipe: Literal["merflow", "mertools"] = "merflow"
    layer: int = -1
    level: Literal["frame", "utterance"] = "frame"
    too_long: Literal["fail", "cut"] = "fail"

    @model_validator(mode="after")
    def _recipe_is_exact(self) -> Self:
        if self.recipe == "mertools" and "layer" in self.model_fields_set:
            raise ValueError("recipe mertools fixes the layer; leave out layer")
        return self


class Whisper(NetworkExtractor[WhisperOptions, Array]):
    """States of Whisper's encoder, or of its decoder before it has said anything."""

    name = "whisper"
    Options = WhisperOptions
    modality: ClassVar[Literal["audio"]] = "audio"
    licence = "openai/whisper-large-v2: Apache 2.0"
    model_types = ("whisper",)
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": FULL, "tiny": TINY}
    setting_keys = ("d_model", "encoder_layers")
    cost_bytes = 1 << 9  # a number of the spectrogram: hidden states of all layers

    def describe(self) -> FeatureSpec:
        """Width comes from `config.json`.

        Raises:
            RunError: If the weights are not on this machine or of another model, or lack the layer.
        """
        options = self.options
        rows = options.level == "frame" and options.recipe == "merflow"
        recipe: dict[str, Any] = {"recipe": options.recipe, "rate_hz": RATE}
        recipe |= {"layer": self._layer} if options.recipe == "merflow" else {"too_long": options.too_long}
        return self.network_spec(
            modality="audio",
            level=options.level,
            columns=tuple(f"whisper_{i}" for i in range(self._settings["d_model"])),
            hop=STEP / RATE if rows else None,
            window=STEP / RATE if rows else None,
            recipe=recipe,
            source="Whisper (transformers)",
        )

    @property
    def _layer(self) -> int:
        last = int(self._settings["encoder_layers"])
        layer = self.options.layer + last + 1 if self.options.layer < 0 else self.options.layer
        if not 0 <= layer <= last:
            raise RunError(f"{self.feature}: no layer {self.options.layer}; the encoder has 0 to {last}")
        return layer

    def load(self, device: str) -> None:
        """Load the model and what makes its spectrograms.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        import transformers

        self._model = self.load_shared(
            lambda: load_model(self._weights, transformers.WhisperModel, self._settings), device
        )
        bins = {"feature_size": self._settings.get("num_mel_bins", 80)}
        self._scaler = load_scaler(self._weights, transformers.WhisperFeatureExtractor, bins)

    def units(self, media: Media) -> Iterator[Array]:
        """(bins, 3000) log-mel spectrograms of 30 s, the last one of padded audio.

        Raises:
            ClipError: `no_audio`, `too_short` without a sample, or `too_long` for a recipe of one pass.
        """
        samples = media.audio().samples
        longest = SECONDS * RATE
        if not samples.size:
            raise ClipError("too_short", "the clip's audio has no samples")
        if self.options.recipe == "mertools" and samples.size > longest:
            if self.options.too_long == "fail":
                message = f"{samples.size / RATE:.1f} s of audio; recipe mertools takes {SECONDS} s, or too_long: cut"
                raise ClipError("too_long", message)
            samples = samples[:longest]
        for first in range(0, samples.size, longest):
            block = samples[first : first + longest]
            spectrogram = self._scaler(block, sampling_rate=RATE, return_tensors="np")["input_features"][0]
            yield np.asarray(spectrogram, np.float32)

    def forward(self, units: list[Array]) -> list[Array]:
        """(1500, D) of each window's encoder, or (2, D) of the decoder."""
        import torch

        spectrograms = self.tensor(np.stack(units))
        with self.running():
            if self.options.recipe == "mertools":
                start = self._model.config.decoder_start_token_id
                tokens = torch.full((len(units), START_TOKENS), start, device=spectrograms.device)
                states = self._model(spectrograms, decoder_input_ids=tokens, use_cache=False).last_hidden_state
            else:
                last = self._layer == self._settings["encoder_layers"]
                output = self._model.encoder(spectrograms, output_hidden_states=not last)
                states = output.last_hidden_state if last else output.hidden_states[self._layer]
        return list(self.array(states))

    def features(self, media: Media, outputs: list[Array]) -> Features:
        """A row for every 20 ms of audio that is no padding; `mertools` two rows stamped with the whole audio.

        Args:
            media: The clip's media.
            outputs: What the network gave for each unit, in order.
        """
        audio = media.audio()
        whole = [audio.start, audio.end]
        if self.options.recipe == "mertools":
            values, times = outputs[0], np.tile(whole, (START_TOKENS, 1))
        else:
            count = -(-audio.samples.size // STEP)
            values, edges = np.concatenate(outputs)[:count], np.arange(count + 1) * (STEP / RATE)
            edges[-1] = audio.samples.size / RATE
            times = np.stack([edges[:-1], edges[1:]], axis=1) + audio.start
        if self.options.level == "utterance":
            return self.checked(values.mean(axis=0, keepdims=True, dtype=np.float64), [whole], [True])
        return self.checked(values, times, np.ones(len(values), np.bool_))
