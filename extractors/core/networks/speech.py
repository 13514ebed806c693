"""What extractors share whose network is of the wav2vec 2.0 family: settings, scaled audio, passes and batches."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np

from configs.errors import RunError
from extractors.core.media.clip_media import Media
from extractors.core.networks.network_extractor import Array, NetworkExtractor, NetworkOptions
from extractors.core.networks.speech_passes import (
    CONV_KERNEL,
    CONV_STRIDE,
    LONGEST_PASS,
    RATE,
    Recipe,
    Steps,
    padded,
    passes,
)
from extractors.core.networks.weights import load_model, load_scaler
from storage.errors import ClipError

if TYPE_CHECKING:
    import torch

FAMILY = {  # by model_type: how its classes in transformers begin, and the name people use
    "hubert": ("Hubert", "HuBERT"),
    "wav2vec2": ("Wav2Vec2", "wav2vec 2.0"),
    "wavlm": ("WavLM", "WavLM"),
    "data2vec-audio": ("Data2VecAudio", "data2vec"),
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


SpeechT = TypeVar("SpeechT", bound=NetworkOptions)


class SpeechNetwork(NetworkExtractor[SpeechT, Array]):
    """A network that hears 16 kHz mono audio, scaled as a whole as the checkpoint's own settings say.

    Layer-norm checkpoints share batches with padding and a mask. Group-norm checkpoints (`feat_extract_norm: group`,
    such as HuBERT-base) take statistics over the whole padded row, so that only waveforms of equal length share one.

    Attributes:
        head: What the network's class in transformers is called after its family.
    """

    modality: ClassVar[Literal["audio"]] = "audio"
    model_types = tuple(FAMILY)
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": FULL, "tiny": TINY, "wide": WIDE}
    setting_keys: ClassVar[tuple[str, ...]] = ("hidden_size", "num_hidden_layers", *FLAVOUR)
    cost_bytes = 2_000  # a sample: four copies of the first convolution's output, and the hidden states
    head: ClassVar[Literal["Model", "ForCTC"]] = "Model"

    @property
    def recipe(self) -> Recipe:
        """How long audio is cut."""
        return "merflow"

    @property
    def model_type(self) -> str:
        """What `config.json` says that it is; random weights are a HuBERT."""
        return str(self._settings.get("model_type", "hubert"))

    @property
    def family(self) -> str:
        """The network's name for people."""
        return FAMILY[self.model_type][1]

    @cached_property
    def steps(self) -> Steps:
        """Where the network's steps lie in its audio."""
        return Steps.of(self._settings)

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

        model_class = getattr(transformers, FAMILY[self.model_type][0] + self.head)
        # SpecAugment's mask is for training; some checkpoints leave it out.
        unused = (f"{model_class.base_model_prefix}.masked_spec_embed", "masked_spec_embed")
        self._model = self.load_shared(lambda: load_model(self._weights, model_class, self._settings, unused), device)
        self._scaler = load_scaler(self._weights, transformers.Wav2Vec2FeatureExtractor, {"do_normalize": True})
        if self._scaler.sampling_rate != RATE:
            raise RunError(f"{self.feature}: the model hears {self._scaler.sampling_rate} Hz, expected {RATE} Hz")

    def units(self, media: Media) -> Iterator[Array]:
        """Scaled audio, cut into what the network sees at once.

        Raises:
            ClipError: `no_audio`, `too_short` for a single step (25 ms), or `too_long` for a recipe of one pass.
        """
        audio, least = media.audio(), self.steps.window
        if audio.samples.size < least:
            raise ClipError("too_short", f"{audio.samples.size} samples of audio at 16 kHz, the model needs {least}")
        if self.recipe == "mer2023" and audio.samples.size > LONGEST_PASS:
            length, most = audio.samples.size / RATE, LONGEST_PASS // RATE
            raise ClipError("too_long", f"{length:.1f} s of audio; recipe mer2023 is one pass, of at most {most} s")
        scaled = self._scaler(audio.samples, sampling_rate=audio.rate, return_tensors="np")["input_values"][0]
        yield from passes(np.asarray(scaled, dtype=np.float32), self.recipe, self.steps)

    def group(self, unit: Array) -> Hashable:
        """Group-norm models only batch waveforms of equal length."""
        return unit.size if self._settings["feat_extract_norm"] == "group" else None

    def inputs_of(self, units: list[Array]) -> dict[str, torch.Tensor | None]:
        """What the network takes for a batch: its audio, and a mask where that is padded.

        Args:
            units: (N,) scaled samples each.
        """
        waves, mask = padded(units)
        return {"input_values": self.tensor(waves), "attention_mask": None if mask is None else self.tensor(mask)}

    def without_padding(self, rows: torch.Tensor, units: list[Array]) -> list[Array]:
        """(steps, D) of each audio; what the network makes of padding is cut off.

        Args:
            rows: (B, steps, D) what it gave.
            units: What it was given.
        """
        return [row[: self.steps.count(wave.size)] for row, wave in zip(self.array(rows), units, strict=True)]
