"""HuBERT: what a self-supervised speech model hears, every 20 ms.

Hsu et al., "HuBERT: Self-Supervised Speech Representation Learning by Masked Prediction of Hidden Units",
IEEE/ACM TASLP 29, 2021. The default weights are Tencent's Chinese HuBERT-large. The recipes `mer2023` and
`merbench` give what the feature scripts of MER2023 (Lian et al., ACM MM 2023) and MERBench (Lian et al.,
arXiv:2401.03429) give; both call their result `chinese-hubert-large`, and the numbers differ.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from configs.schema import Weights
from extractors.core.base import Extractor, Options
from extractors.core.media import Audio, Media
from extractors.core.torch_runtime import prepare
from extractors.core.weights import ResolvedWeights, load_model, load_scaler, model_settings, resolve
from storage.errors import ClipError, RunError
from storage.records import Features, FeatureSpec

RATE = 16_000
HOP = 320  # samples between steps: the product of the strides
WINDOW = 400  # samples one step is computed from, before the transformer mixes steps
BLOCK = 160_000  # samples in a block of `merbench`
BLOCK_STEPS = (BLOCK - WINDOW) // HOP + 1
PASS_STEPS = 1_499  # most steps of `merflow` in one pass: 30 s
PASS_HOP = 1_400  # steps between its windows: 28 s
CONVOLUTIONS = {"conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2]}
FLAVOUR = ("feat_extract_norm", "do_stable_layer_norm")
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "full": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "conv_dim": [512] * 7,
        "conv_bias": True,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
    }
    | CONVOLUTIONS
}
ARCHITECTURES["tiny"] = ARCHITECTURES["full"] | {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "conv_dim": [32] * 7,
}


class HubertOptions(Options):
    """Settings of HuBERT.

    Attributes:
        weights: A HuBERT in Hugging Face's layout.
        recipe: `merflow`: last layer, clips over 30 s in overlapping windows. `mer2023`: last layer, whole clip in
            one pass. `merbench`: last four layers summed, clips over 10 s in blocks of 10 s, the last one
            padded with zeros.
        level: `frame` gives a row every 20 ms, `utterance` their mean.
    """

    weights: Weights = Weights(hub="TencentGameMate/chinese-hubert-large")
    recipe: Literal["merflow", "mer2023", "merbench"] = "merflow"
    level: Literal["frame", "utterance"] = "frame"


class Hubert(Extractor[HubertOptions]):
    """HuBERT's hidden states on 16 kHz mono sound, scaled as a whole as the checkpoint's own settings say.

    Clips run one by one and nothing is padded but by `merbench`: group-norm checkpoints change with padding.
    """

    Options = HubertOptions
    modality: ClassVar[Literal["audio"]] = "audio"
    licence = "TencentGameMate/chinese-hubert-large: MIT"

    @cached_property
    def spec(self) -> FeatureSpec:
        """Width and flavour come from `config.json`.

        `window` is what the convolutions see of the sound; the transformer sees the whole pass.

        Raises:
            RunError: If the weights are not on this machine, or are not a HuBERT with steps of 20 ms.
        """
        options, settings = self.options, self._settings
        frame_level = options.level == "frame"
        return FeatureSpec(
            name=self.feature,
            extractor="hubert",
            modality="audio",
            level=options.level,
            columns=tuple(f"hubert_{i}" for i in range(settings["hidden_size"])),
            hop=HOP / RATE if frame_level and options.recipe != "merbench" else None,  # its blocks leave gaps
            window=WINDOW / RATE if frame_level else None,
            recipe={"recipe": options.recipe, "level": options.level, "rate_hz": RATE}
            | {key: settings[key] for key in FLAVOUR},
            weights=self._weights.identity,
            source="HuBERT (transformers)",
            synthetic=self._weights.synthetic,
        )

    @cached_property
    def _weights(self) -> ResolvedWeights:
        return resolve(self.options.weights)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        keys = ("hidden_size", "num_hidden_layers", *FLAVOUR)
        settings = model_settings(self._weights, "hubert", ARCHITECTURES, keys)
        other = [key for key, usual in CONVOLUTIONS.items() if list(settings.get(key, usual)) != usual]
        if other:
            raise RunError(f"hubert: {other[0]} is {settings[other[0]]}, expected {CONVOLUTIONS[other[0]]}")
        if self.options.recipe == "merbench" and settings["num_hidden_layers"] < 4:
            raise RunError(f"hubert: merbench sums 4 layers, the model has {settings['num_hidden_layers']}")
        return settings

    def load(self, device: str) -> None:
        """Load the model and the checkpoint's own scaling of the sound.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        from transformers import HubertModel, Wav2Vec2FeatureExtractor

        # SpecAugment's mask is for training; some checkpoints leave it out.
        model = load_model(self._weights, HubertModel, self._settings, unused=("masked_spec_embed",))
        self._model, self._device = prepare(model, device), device
        self._scaler = load_scaler(self._weights, Wav2Vec2FeatureExtractor, {"do_normalize": True})

    def extract_clip(self, media: Media) -> Features:
        """Give one row per step, or their mean.

        Step i is computed from [i * 20 ms, i * 20 ms + 25 ms) after the sound's start, and stamped so. `merbench`
        starts afresh in every block: steps of block b count from b * 10 s, so that 35 ms at its end are in no
        step. The steps of its padded tail are kept as the script keeps them, in the mean too: those with times
        past the end of the sound heard only zeros. The utterance row is stamped with the whole sound.

        Raises:
            ClipError: `no_audio`, or `too_short` under 25 ms.
        """
        audio = media.audio()
        if audio.samples.size < WINDOW:
            raise ClipError("too_short", f"{audio.samples.size} samples of sound at 16 kHz, HuBERT needs {WINDOW}")
        wave = self._scaled(audio)
        passes = {"mer2023": self._states, "merbench": self._in_blocks, "merflow": self._in_windows}
        values = passes[self.options.recipe](wave)
        if self.options.level == "utterance":
            return self.checked(
                values.mean(axis=0, keepdims=True, dtype=np.float64), [[audio.start, audio.end]], [True]
            )
        times = step_times(len(values), in_blocks=self.options.recipe == "merbench") + audio.start
        return self.checked(values, times, np.ones(len(values), np.bool_))

    def _scaled(self, audio: Audio) -> npt.NDArray[np.float32]:
        scaled = self._scaler(audio.samples, sampling_rate=audio.rate, return_tensors="np")["input_values"][0]
        return np.asarray(scaled, dtype=np.float32)

    def _states(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(T, D) of one pass over (N,) samples."""
        import torch

        summed = self.options.recipe == "merbench"
        with torch.inference_mode():
            sound = torch.from_numpy(wave)[None].to(self._device)
            given = self._model(sound, output_hidden_states=summed)
            # transformers 4, which the scripts ran on, gave the last layer after the encoder's final norm as
            # hidden_states[-1]; transformers 5 gives it before. last_hidden_state is the former in both.
            states = given.last_hidden_state + sum(given.hidden_states[-4:-1] if summed else ())
            return np.asarray(states[0].cpu().numpy())

    def _in_blocks(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if wave.size <= BLOCK:
            return self._states(wave)
        blocks = np.pad(wave, (0, -wave.size % BLOCK)).reshape(-1, BLOCK)
        return np.concatenate([self._states(block) for block in blocks])

    def _in_windows(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        plan = window_plan((wave.size - WINDOW) // HOP + 1)
        if len(plan) == 1:
            return self._states(wave)
        length = (PASS_STEPS - 1) * HOP + WINDOW
        parts = [self._states(wave[s * HOP : s * HOP + length])[kept - s : end - s] for s, kept, end in plan]
        return np.concatenate(parts)


def window_plan(steps: int) -> list[tuple[int, int, int]]:
    """Overlapping windows of `merflow`, in steps of 20 ms.

    A window is 1,499 steps (30 s). Windows start 1,400 steps (28 s) apart; the last one ends with the last step, so
    it may overlap more. Where two windows overlap, the earlier one gives the first half and the later one the rest.

    Args:
        steps: Steps of the whole sound.

    Returns:
        For each window the first step it sees, the first it gives, and the one after the last it gives.
    """
    last = max(steps - PASS_STEPS, 0)
    starts = [*range(0, last, PASS_HOP), last]
    cuts = [0, *((one + PASS_STEPS + other) // 2 for one, other in pairwise(starts)), steps]
    return list(zip(starts, cuts, cuts[1:], strict=False))


def step_times(steps: int, *, in_blocks: bool) -> npt.NDArray[np.float64]:
    """(T, 2) seconds from the sound's start that each step is computed from.

    Args:
        steps: Number of steps T.
        in_blocks: Whether steps count afresh from every 10 s.
    """
    index = np.arange(steps)
    block, inside = np.divmod(index, BLOCK_STEPS) if in_blocks else (np.zeros_like(index), index)
    starts = block * BLOCK + inside * HOP
    return np.stack([starts, starts + WINDOW], axis=1) / RATE
