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
from functools import cached_property
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from configs.errors import RunError
from configs.weights import Weights
from extractors.core.media.clip_media import Media
from extractors.core.networks.network_extractor import Array, NetworkOptions
from extractors.core.networks.speech import FLAVOUR, SpeechNetwork
from extractors.core.networks.speech_passes import RATE, Recipe, joined
from storage.records import Features, FeatureSpec


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


class Hubert(SpeechNetwork[HubertOptions]):
    """Hidden states, one row per step of 20 ms, or their mean."""

    name = "hubert"
    Options = HubertOptions
    licence = "TencentGameMate/chinese-hubert-large: MIT"

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
            hop=self.steps.hop / RATE if frame_level and options.recipe != "merbench" else None,  # blocks leave gaps
            window=self.steps.window / RATE if frame_level else None,
            recipe={"recipe": options.recipe, "rate_hz": RATE, "layers": self._layers}
            | combined
            | {key: settings[key] for key in FLAVOUR},
            source=f"{self.family} (transformers)",
        )

    @property
    def recipe(self) -> Recipe:
        """How long audio is cut, and which layers are taken."""
        return self.options.recipe

    @property
    def _columns(self) -> tuple[str, ...]:
        kind, width = self.model_type, range(self._settings["hidden_size"])
        if len(self._layers) == 1 or self._combine != "concat":
            return tuple(f"{kind}_{i}" for i in width)
        return tuple(f"{kind}_l{layer}_{i}" for layer in self._layers for i in width)

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

    def forward(self, units: list[Array]) -> list[Array]:
        """(steps, D) of each audio; what the network makes of padding is cut off."""
        import torch

        inputs, last = self.inputs_of(units), self._settings["num_hidden_layers"]
        with self.running(), warnings.catch_warnings():
            # WavLM hands torch two masks of different types; torch takes both, and says so each time.
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            output = self._model(**inputs, output_hidden_states=self._layers != [last])
            # The last of hidden_states is before the final norm in transformers 5, last_hidden_state after it in both.
            states = [output.last_hidden_state if n == last else output.hidden_states[n] for n in self._layers]
            if self._combine == "concat":
                rows = torch.cat(states, dim=-1)
            else:
                rows = torch.stack(states).float().sum(dim=0) / (len(states) if self._combine == "mean" else 1)
        return self.without_padding(rows, units)

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
        values = joined(outputs, audio.samples.size, recipe, self.steps)
        if self.options.level == "utterance":
            mean = values.mean(axis=0, keepdims=True, dtype=np.float64)
            return self.checked(mean, [[audio.start, audio.end]], [True])
        times = self.steps.times(len(values), in_blocks=recipe == "merbench") + audio.start
        return self.checked(values, times, np.ones(len(values), np.bool_))
