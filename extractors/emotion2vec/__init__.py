"""emotion2vec: what a network trained for emotion in speech hears, every 20 ms.

Ma et al., "emotion2vec: Self-Supervised Pre-Training for Speech Emotion Representation", ACL Findings 2024. The numbers
are those of the published package, funasr, for clips of up to 30 s.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Literal

import numpy as np

from configs.weights import Weights
from extractors.core.media.clip_media import Media
from extractors.core.networks.network_extractor import Array, NetworkExtractor, NetworkOptions
from extractors.core.networks.pth import unpickled
from extractors.core.networks.random_weights import random_architecture, seeded
from extractors.core.networks.speech_passes import RATE, Steps, joined, passes
from extractors.core.networks.timm_files import fill_network
from extractors.emotion2vec.settings import Settings, read_settings, settings_of
from storage.errors import ClipError
from storage.records import Features, FeatureSpec

SETTINGS_FILE = "config.yaml"
UNUSED = ("modality_encoders.AUDIO.decoder.", "proj.", "_ema", "ema.")
"""Beginnings of parameters of the training and of the classifier."""
_AUDIO: dict[str, Any] = {
    "prenet_depth": 4,
    "num_extra_tokens": 10,
    "extractor_mode": "layer_norm",
    "feature_encoder_spec": "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] + [(512, 2, 2)]",
    "conv_pos_width": 95,
    "conv_pos_groups": 16,
    "conv_pos_depth": 5,
    "conv_pos_pre_ln": False,
    "use_alibi_encoder": True,
    "learned_alibi": False,
    "learned_alibi_scale_per_layer": False,
    "learned_alibi_scale_per_head": True,
}
FULL: dict[str, Any] = {
    "embed_dim": 768,
    "depth": 8,
    "num_heads": 12,
    "mlp_ratio": 4.0,
    "norm_eps": 1e-5,
    "layer_norm_first": False,
    "normalize": True,
    "modalities": {"audio": _AUDIO},
}
_SMALL = {"prenet_depth": 1, "feature_encoder_spec": "[(32, 10, 5)] + [(32, 3, 2)] * 4 + [(32, 2, 2)] * 2"}
TINY = FULL | {"embed_dim": 48, "depth": 2, "num_heads": 6, "modalities": {"audio": _AUDIO | _SMALL}}


class Emotion2vecOptions(NetworkOptions):
    """Settings of emotion2vec.

    Attributes:
        weights: A folder with `model.pt` and `config.yaml`, as published: base, plus_seed, plus_base, plus_large.
        level: `frame` gives a row every 20 ms, `utterance` their mean.
    """

    weights: Weights = Weights(hub="emotion2vec/emotion2vec_base")
    level: Literal["frame", "utterance"] = "frame"


class Emotion2vec(NetworkExtractor[Emotion2vecOptions, Array]):
    """The last block's states of 16 kHz mono audio, scaled as a whole; longer clips in overlapping windows of 30 s."""

    name = "emotion2vec"
    Options = Emotion2vecOptions
    modality: ClassVar[Literal["audio"]] = "audio"
    licence = "emotion2vec/emotion2vec_base: see its page"
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": FULL, "tiny": TINY}
    setting_files: ClassVar[tuple[str, ...]] = (SETTINGS_FILE,)
    weight_files = ("model.pt",)
    cost_bytes = 2_000

    def describe(self) -> FeatureSpec:
        """Width and steps come from `config.yaml`.

        Raises:
            RunError: If the weights are not on this machine, or their settings are of another model.
        """
        frame_level = self.options.level == "frame"
        return self.network_spec(
            modality="audio",
            level=self.options.level,
            columns=tuple(f"emotion2vec_{i}" for i in range(self._built_from.width)),
            hop=self._steps.hop / RATE if frame_level else None,
            window=self._steps.window / RATE if frame_level else None,
            recipe={"rate_hz": RATE, "normalize": self._built_from.normalize},
            source="emotion2vec",
        )

    def read_settings(self) -> dict[str, Any]:
        """Settings of `config.yaml`, or the architecture that a seed will fill.

        Raises:
            RunError: If they are of another model.
        """
        folder = self._weights.folder
        if folder is not None:
            return asdict(read_settings(folder / SETTINGS_FILE))
        size = str(self._weights.identity["size"])
        return asdict(settings_of(random_architecture(self.architectures, size), "random weights"))

    @property
    def _built_from(self) -> Settings:
        return Settings(**self._settings)

    @property
    def _steps(self) -> Steps:
        kernels, strides = zip(*((kernel, stride) for _, kernel, stride in self._built_from.convolutions), strict=True)
        return Steps.of({"conv_kernel": kernels, "conv_stride": strides})

    def load(self, device: str) -> None:
        """Load the network.

        Raises:
            RunError: If the weights are missing, damaged or of another model.
        """
        self._model = self.load_shared(self._build, device)

    def _build(self) -> Any:
        from extractors.emotion2vec.network import Emotion2vecNetwork, parameters_of

        folder = self._weights.folder
        if folder is None:
            return seeded(self._weights.identity["seed"], lambda: Emotion2vecNetwork(self._built_from)).eval()
        file = folder / str(self._weights.identity["file"])
        network = Emotion2vecNetwork(self._built_from)
        parameters = parameters_of(unpickled(file))
        scale = parameters.get("modality_encoders.AUDIO.alibi_scale")
        if scale is not None and scale.dim() == 4:  # as the first checkpoints have it
            parameters["modality_encoders.AUDIO.alibi_scale"] = scale[None]
        fill_network(network, parameters, f"{file}: not the emotion2vec of its {SETTINGS_FILE}", UNUSED)
        return network.eval()

    def units(self, media: Media) -> Iterator[Array]:
        """Scaled audio, cut into what the network sees at once.

        Raises:
            ClipError: `no_audio`, or `too_short` for a single step (25 ms).
        """
        samples = media.audio().samples
        if samples.size < self._steps.window:
            raise ClipError(
                "too_short", f"{samples.size} samples of audio at 16 kHz, the model needs {self._steps.window}"
            )
        if self._built_from.normalize:
            exact = samples.astype(np.float64)
            samples = ((exact - exact.mean()) / np.sqrt(exact.var() + 1e-5)).astype(np.float32)
        yield from passes(samples, "merflow", self._steps)

    def group(self, unit: Array) -> Hashable:
        """Only audio of equal length shares a batch: the network has no mask for padding."""
        return unit.size

    def forward(self, units: list[Array]) -> list[Array]:
        """(steps, D) of each audio."""
        samples = self.tensor(np.stack(units))
        with self.running():
            rows = self._model(samples)
        return list(self.array(rows))

    def features(self, media: Media, outputs: list[Array]) -> Features:
        """One row per step, computed from [i * 20 ms, i * 20 ms + 25 ms) after the audio's start, or their mean.

        Args:
            media: The clip's media.
            outputs: What the network gave for each unit, in order.
        """
        audio = media.audio()
        values = joined(outputs, audio.samples.size, "merflow", self._steps)
        if self.options.level == "utterance":
            mean = values.mean(axis=0, keepdims=True, dtype=np.float64)
            return self.checked(mean, [[audio.start, audio.end]], [True])
        times = self._steps.times(len(values), in_blocks=False) + audio.start
        return self.checked(values, times, np.ones(len(values), np.bool_))
