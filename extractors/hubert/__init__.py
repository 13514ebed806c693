"""HuBERT, wav2vec 2.0, WavLM and data2vec: what a self-supervised speech model hears, every 20 ms.

Hsu et al., "HuBERT: Self-Supervised Speech Representation Learning by Masked Prediction of Hidden Units",
IEEE/ACM TASLP 29, 2021; Baevski et al., "wav2vec 2.0", NeurIPS 2020; Chen et al., "WavLM", IEEE JSTSP 16, 2022;
Baevski et al., "data2vec", ICML 2022.
The default weights are Tencent's Chinese HuBERT-large. The recipes `mer2023` and `merbench` give what the feature
scripts of MER2023 (Lian et al., ACM MM 2023) and MERBench (Lian et al., arXiv:2401.03429) give; both call their result
`chinese-hubert-large`, and the numbers differ.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from configs.errors import RunError
from configs.weights import Weights
from extractors.core.media.clip_media import Media
from extractors.core.networks.network_extractor import Array, NetworkExtractor, NetworkOptions
from extractors.core.networks.weights import load_model, load_scaler
from extractors.hubert.windows import (
    CONV_KERNEL,
    CONV_STRIDE,
    LONGEST_PASS,
    RATE,
    Recipe,
    Steps,
    joined,
    padded,
    passes,
)
from storage.errors import ClipError
from storage.records import Features, FeatureSpec

FAMILY = {  # by model_type: the class in transformers, and the name people use
    "hubert": ("HubertModel", "HuBERT"),
    "wav2vec2": ("Wav2Vec2Model", "wav2vec 2.0"),
    "wavlm": ("WavLMModel", "WavLM"),
    "data2vec-audio": ("Data2VecAudioModel", "data2vec"),
}
FLAVOUR = ("feat_extract_norm", "do_stable_layer_norm")
FULL: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_dim": [512] * 7,
    "conv_bias": True,
    "conv_kernel": list(CONV_KERNEL),
    "conv_stride": list(CONV_STRIDE),
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
TINY = FULL | {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "conv_dim": [32] * 7,
}
WIDE = TINY | {"hidden_size": 1024, "num_attention_heads": 16}


class HubertOptions(NetworkOptions):
    """Settings of HuBERT and its relatives.

    Layers are counted as in the scripts' `hidden_states`: 0 is the input of the first transformer layer, n the output
    of the n-th; the last one is taken after the encoder's final norm where there is one, as transformers 4 gave it
    (transformers 5 gives it before). Negative numbers count from the last.

    Attributes:
        weights: A HuBERT, wav2vec 2.0 (XLS-R too), WavLM or data2vec-audio in Hugging Face's layout; its `config.json`
            says which.
        recipe: `merflow`: chosen layers, clips over 30 s in overlapping windows. `mer2023`: last layer, whole clip in
            one pass, of at most five minutes. `merbench`: last four layers summed, clips over 10 s in blocks of 10 s,
            the last one padded with zeros.
        layers: One layer, a list of layers, or `all`; for `merflow` only.
        combine: What becomes of several layers: `concat` side by side, `sum` or `mean`.
        level: `frame` gives a row every 20 ms, `utterance` their mean. Two features that differ in nothing else share
            one pass of the network.
    """

    weights: Weights = Weights(hub="TencentGameMate/chinese-hubert-large")
    recipe: Recipe = "merflow"
    layers: int | tuple[int, ...] | Literal["all"] = -1
    combine: Literal["concat", "sum", "mean"] = "concat"
    level: Literal["frame", "utterance"] = "frame"

    @model_validator(mode="after")
    def _recipe_is_exact(self) -> Self:
        own = sorted({"layers", "combine"} & self.model_fields_set)
        if self.recipe != "merflow" and own:
            raise ValueError(f"recipe {self.recipe} fixes the layers; leave out {' and '.join(own)}")
        if self.layers == ():
            raise ValueError("layers: expected at least one")
        return self


class Hubert(NetworkExtractor[HubertOptions, Array]):
    """Hidden states of 16 kHz mono audio, scaled as a whole as the checkpoint's own settings say.

    Layer-norm checkpoints share batches with padding and a mask. Group-norm checkpoints (`feat_extract_norm: group`,
    such as HuBERT-base) take statistics over the whole padded row, so that only waveforms of equal length share one.
    """

    name = "hubert"
    Options = HubertOptions
    modality: ClassVar[Literal["audio"]] = "audio"
    licence = "TencentGameMate/chinese-hubert-large: MIT"
    model_types = tuple(FAMILY)
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": FULL, "tiny": TINY, "wide": WIDE}
    setting_keys = ("hidden_size", "num_hidden_layers", *FLAVOUR)
    cost_bytes = 2_000  # a sample: four copies of the first convolution's output, and the hidden states

    def describe(self) -> FeatureSpec:
        """Width, flavour and steps come from `config.json`.

        `window` is what the convolutions see of the audio; the transformer sees the whole pass.

        Raises:
            RunError: If the weights are not on this machine or of another model, or lack a layer that is asked for.
        """
        options, settings = self.options, self._settings
        frame_level = options.level == "frame"
        combined = {"combine": self._combine} if len(self._layers) > 1 else {}
        return self.network_spec(
            modality="audio",
            level=options.level,
            columns=self._columns,
            hop=self._steps.hop / RATE if frame_level and options.recipe != "merbench" else None,  # blocks leave gaps
            window=self._steps.window / RATE if frame_level else None,
            recipe={"recipe": options.recipe, "rate_hz": RATE, "layers": self._layers}
            | combined
            | {key: settings[key] for key in FLAVOUR},
            source=f"{FAMILY[self._model_type][1]} (transformers)",
        )

    @property
    def _model_type(self) -> str:
        return str(self._settings.get("model_type", "hubert"))  # random weights are a HuBERT

    @property
    def _columns(self) -> tuple[str, ...]:
        kind, width = self._model_type, range(self._settings["hidden_size"])
        if len(self._layers) == 1 or self._combine != "concat":
            return tuple(f"{kind}_{i}" for i in width)
        return tuple(f"{kind}_l{layer}_{i}" for layer in self._layers for i in width)

    @cached_property
    def _steps(self) -> Steps:
        return Steps.of(self._settings)

    @property
    def _combine(self) -> Literal["concat", "sum", "mean"]:
        return "sum" if self.options.recipe == "merbench" else self.options.combine

    @cached_property
    def _layers(self) -> list[int]:
        """The chosen layers, counted from 0."""
        last = int(self._settings["num_hidden_layers"])
        wanted = (-4, -3, -2, -1) if self.options.recipe == "merbench" else self.options.layers
        if wanted == "all":
            return list(range(last + 1))
        listed = (wanted,) if isinstance(wanted, int) else wanted
        chosen = [n + last + 1 if n < 0 else n for n in listed]
        beyond = [n for n, layer in zip(listed, chosen, strict=True) if not 0 <= layer <= last]
        if beyond or len(set(chosen)) < len(chosen):
            why = f"no layer {beyond[0]}" if beyond else "a layer is named twice"
            raise RunError(f"{self.feature}: layers {list(listed)}: {why}; the model has 0 to {last}")
        return chosen

    def usual_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings with the flavour, which data2vec does not state, for it has only one.

        Args:
            settings: As `config.json` has them.
        """
        is_data2vec = settings["model_type"] == "data2vec-audio"
        return ({"feat_extract_norm": "layer", "do_stable_layer_norm": False} if is_data2vec else {}) | settings

    def load(self, device: str) -> None:
        """Load the model and the checkpoint's own scaling of the audio.

        Raises:
            RunError: If the weights are missing, damaged or of another model, or were trained on another sampling rate.
        """
        import transformers

        model_class = getattr(transformers, FAMILY[self._model_type][0])
        # SpecAugment's mask is for training; some checkpoints leave it out.
        unused = ("masked_spec_embed",)
        self._model = self.load_shared(lambda: load_model(self._weights, model_class, self._settings, unused), device)
        self._scaler = load_scaler(self._weights, transformers.Wav2Vec2FeatureExtractor, {"do_normalize": True})
        if self._scaler.sampling_rate != RATE:
            raise RunError(f"{self.feature}: the model hears {self._scaler.sampling_rate} Hz, expected {RATE} Hz")

    def units(self, media: Media) -> Iterator[Array]:
        """Scaled audio, cut into what the network sees at once.

        Raises:
            ClipError: `no_audio`, `too_short` for a single step (25 ms), or `too_long` for a recipe of one pass.
        """
        audio, least = media.audio(), self._steps.window
        if audio.samples.size < least:
            raise ClipError("too_short", f"{audio.samples.size} samples of audio at 16 kHz, the model needs {least}")
        if self.options.recipe == "mer2023" and audio.samples.size > LONGEST_PASS:
            length, most = audio.samples.size / RATE, LONGEST_PASS // RATE
            raise ClipError("too_long", f"{length:.1f} s of audio; recipe mer2023 is one pass, of at most {most} s")
        scaled = self._scaler(audio.samples, sampling_rate=audio.rate, return_tensors="np")["input_values"][0]
        yield from passes(np.asarray(scaled, dtype=np.float32), self.options.recipe, self._steps)

    def group(self, unit: Array) -> Hashable:
        """Group-norm models only batch waveforms of equal length."""
        return unit.size if self._settings["feat_extract_norm"] == "group" else None

    def forward(self, units: list[Array]) -> list[Array]:
        """(steps, D) of each audio; what the network makes of padding is cut off."""
        import torch

        waves, mask = padded(units)
        audio, attention_mask = self.tensor(waves), None if mask is None else self.tensor(mask)
        last = self._settings["num_hidden_layers"]
        with self.running(), warnings.catch_warnings():
            # WavLM hands torch two masks of different types; torch takes both, and says so each time.
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            output = self._model(audio, attention_mask=attention_mask, output_hidden_states=self._layers != [last])
            # The last of hidden_states is before the final norm in transformers 5, last_hidden_state after it in both.
            states = [output.last_hidden_state if n == last else output.hidden_states[n] for n in self._layers]
            if self._combine == "concat":
                rows = torch.cat(states, dim=-1)
            else:
                rows = torch.stack(states).float().sum(dim=0) / (len(states) if self._combine == "mean" else 1)
        return [row[: self._steps.count(wave.size)] for row, wave in zip(self.array(rows), units, strict=True)]

    def features(self, media: Media, outputs: list[Array]) -> Features:
        """One row per step, or their mean.

        Step i is computed from [i * 20 ms, i * 20 ms + 25 ms) after the audio's start, and stamped so. `merbench`
        starts afresh in every block: steps of block b count from b * 10 s, so that 35 ms at its end are in no
        step. The steps of its padded tail are kept as the script keeps them, in the mean too: those with times
        past the end of the audio come from zeros alone. The utterance row is stamped with the whole audio.

        Args:
            media: The clip's media.
            outputs: What the network gave for each unit, in order.
        """
        audio, recipe = media.audio(), self.options.recipe
        values = joined(outputs, audio.samples.size, recipe, self._steps)
        if self.options.level == "utterance":
            mean = values.mean(axis=0, keepdims=True, dtype=np.float64)
            return self.checked(mean, [[audio.start, audio.end]], [True])
        times = self._steps.times(len(values), in_blocks=recipe == "merbench") + audio.start
        return self.checked(values, times, np.ones(len(values), np.bool_))
