"""What extractors that run a network share: weights, spec, one copy of the model, batches, and time kept apart.

A subclass reads from top to bottom: `model_types` and `architectures` say which networks it takes; `describe` names
the columns (`network_spec` fills in the rest); `load` builds the model with `load_shared`; `units` turns a clip into
the model's inputs, `forward` runs some of them, `features` puts a clip's outputs together.
"""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from configs.plugins import Section
from configs.weights import Weights
from extractors.core.extractor import Extractor
from extractors.core.media.clip_media import Media
from extractors.core.networks.loaded import LOADED, NetworkKey
from extractors.core.networks.runtime import ModuleT, Precision, memory_budget, prepare, torch_dtype
from extractors.core.networks.unit_stream import UnitStream, run_clips
from extractors.core.networks.weights import SETTING_FILES, ResolvedWeights, model_settings, resolve
from storage.digests import canonical_json
from storage.errors import ClipError
from storage.records import Failure, Features, FeatureSpec

if TYPE_CHECKING:
    import torch

GPU_CLIPS = 16
UnitT = TypeVar("UnitT")
Array = npt.NDArray[np.float32]


class NetworkOptions(Section):
    """Options of every network.

    Attributes:
        weights: Where the network's weights come from.
        precision: Format of weights and arithmetic; `bf16` and `fp16` are for GPUs.
        compile: Whether `torch.compile` rewrites the network for the machine.
    """

    weights: Weights
    precision: Precision = "float32"
    compile: bool = False


NetworkT = TypeVar("NetworkT", bound=NetworkOptions)


class NetworkExtractor(Extractor[NetworkT], Generic[NetworkT, UnitT]):
    """An extractor whose numbers come out of one network.

    `UnitT` is the input of one pass of the network, such as a window of audio or a stack of frames; a clip has any
    number of them, and units of several clips share a batch. What a clip's units gave is kept as long as its media is
    open, under everything but the level: a frame and an utterance feature of the same network share one pass.

    Attributes:
        model_types: What `config.json` may say that the model is.
        architectures: Settings of the random models `full`, `tiny` and, where wanted, `wide`.
        setting_keys: Settings that `config.json` must hold.
        setting_files: Files that must lie beside the weights.
        weight_formats: Values of `weights: format:` that it can load.
        cost_bytes: Bytes of a GPU's memory that one unit of `cost` takes at the peak; sets how large batches are.
        budget: Most that a batch may cost; 0, as on a CPU, runs units singly.
    """

    model_types: ClassVar[tuple[str, ...]]
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]]
    setting_keys: ClassVar[tuple[str, ...]] = ("hidden_size",)
    setting_files: ClassVar[tuple[str, ...]] = SETTING_FILES
    weight_formats: ClassVar[tuple[str, ...]] = ("hf",)
    cost_bytes: ClassVar[int] = 1
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "pillow", "torch", "transformers")

    def __init__(self, feature: str, options: NetworkT) -> None:
        super().__init__(feature, options)
        self.budget = 0
        self._device = "cpu"
        self._release: list[weakref.finalize[..., Any]] = []

    @property
    def clips_at_once(self) -> int:
        """1 on a CPU, where batches are slower, and 16 on a GPU."""
        return 1 if self._device == "cpu" else GPU_CLIPS

    @cached_property
    def _weights(self) -> ResolvedWeights:
        return self.resolve_weights()

    @cached_property
    def _settings(self) -> dict[str, Any]:
        settings = self.read_settings()
        self.check_settings(settings)
        return settings

    # A subclass overrides these methods, never the cached properties above: `super()` on a cached property stores the
    # parent's unchecked value under the same name.

    def resolve_weights(self) -> ResolvedWeights:
        """Find and hash the weights.

        Raises:
            RunError: If they are not on this machine, or of a layout that this network cannot load.
        """
        return resolve(self.checked_weights(), self.setting_files, self.weight_files)

    def read_settings(self) -> dict[str, Any]:
        """Settings of the network, from `config.json` or the architecture that a seed will fill.

        Raises:
            RunError: If they are of another model.
        """
        wanted = (self.model_types, self.architectures, self.setting_keys)
        return model_settings(self._weights, *wanted, self.usual_settings)

    def usual_settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings of `config.json` under the names that are asked for, with what such models leave out."""
        return settings

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Refuse settings that this extractor cannot use.

        Raises:
            RunError: What is wrong with them.
        """

    def checked_weights(self) -> Weights:
        """The weights that the options name.

        Raises:
            RunError: If they are of a layout that this network cannot load.
        """
        weights: Weights = self.options.weights
        if weights.format not in self.weight_formats:
            expected = " or ".join(self.weight_formats)
            raise RunError(f"{self.feature}: weights: format {weights.format} does not fit; expected {expected}")
        return weights

    def network_spec(self, *, recipe: Mapping[str, Any], **fields: Any) -> FeatureSpec:
        """A spec with everything that all networks have in common filled in.

        Args:
            recipe: The extractor's own settings that can change a number; the level is not one of them.
            **fields: Other fields of `FeatureSpec`: `modality`, `level`, `columns`, `source`, ...

        Raises:
            RunError: If the weights are not on this machine.
        """
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            recipe=dict(recipe) | ({"compile": True} if self.options.compile else {}),
            weights=self._weights.identity,
            precision=self.options.precision,
            synthetic=self._weights.synthetic,
            **fields,
        )

    def load_shared(self, build: Callable[[], ModuleT], device: str, *, variant: str = "") -> ModuleT:
        """Build the network and put it on a device, once in this process for all features that use it alike.

        Args:
            build: Gives the network in float32 on the CPU.
            device: A torch device, such as `cpu` or `cuda:0`.
            variant: What else, beside the weights, the network that `build` gives depends on.
        """
        options = self.options
        weights = NetworkKey.identity(self._weights.identity)
        key = NetworkKey(self.name, weights, options.precision, options.compile, device, variant)
        model: ModuleT = LOADED.acquire(
            key, lambda: prepare(build(), device, options.precision, compiled=options.compile)
        )
        self._release.append(weakref.finalize(self, LOADED.release, key))
        self._device = device
        self.budget = memory_budget(device) // self.cost_bytes
        return model

    def close(self) -> None:
        """Give up the network; its memory is freed with its last user."""
        for release in self._release:
            release()
        self._release.clear()
        self.loaded = False

    def tensor(self, array: npt.NDArray[Any]) -> torch.Tensor:
        """An array on the network's device; real numbers in its precision."""
        import torch

        with self.timed("transfer"):
            tensor = torch.from_numpy(np.ascontiguousarray(array))
            dtype = torch_dtype(self.options.precision) if tensor.is_floating_point() else tensor.dtype
            return tensor.to(self._device, dtype)

    def array(self, tensor: torch.Tensor) -> Array:
        """A tensor back in this machine's memory, float32."""
        with self.timed("transfer"):
            return np.asarray(tensor.float().cpu().numpy())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Where the network runs: without gradients, and counted under `model` until the device is done."""
        import torch

        with self.timed("model"), torch.inference_mode():
            yield
            if self._device != "cpu":  # kernels are only queued; without this, `transfer` would wait for them
                torch.cuda.synchronize(self._device)

    @abstractmethod
    def units(self, media: Media) -> Iterator[UnitT]:
        """The network's inputs for one clip, one after another, still in this machine's memory; none for nothing.

        Raises:
            ClipError: Why this clip has no values.
        """

    @abstractmethod
    def forward(self, units: list[UnitT]) -> list[Array]:
        """Run the network on one batch: (rows, D) for each unit, in order. `tensor`, `running` and `array` help."""

    @abstractmethod
    def features(self, media: Media, outputs: list[Array]) -> Features:
        """Put together what the network gave for one clip's units.

        Args:
            media: The clip's media.
            outputs: (rows, D) of each unit, in order.

        Raises:
            ClipError: Why this clip has no values.
        """

    def cost(self, unit: UnitT) -> int:
        """Size of a unit, in what `cost_bytes` counts; the number of its elements if it is an array."""
        return int(np.size(cast("Any", unit)))

    def group(self, unit: UnitT) -> Hashable:
        """Only units of equal group share a batch; None lets all of them."""
        return None

    def extract(self, batch: Sequence[Media]) -> list[Features | Failure]:
        """Extract from each clip: same order, same length, one outcome each."""
        return [self._finish_clip(media, outputs) for media, outputs in zip(batch, self._outputs(batch), strict=True)]

    def _finish_clip(self, media: Media, outputs: list[Array] | ClipError) -> Features | Failure:
        try:
            if isinstance(outputs, ClipError):
                raise outputs
            return self.features(media, outputs)
        except ClipError as error:
            return self.failure(media, error)

    def _outputs(self, batch: Sequence[Media]) -> list[list[Array] | ClipError]:
        """What the network gives for each clip, without repeating what another feature of the clip asked for."""
        shared: list[dict[Hashable, list[Array]]] = [media.once("networks", dict) for media in batch]
        missing = [i for i, outputs in enumerate(shared) if self._shared_key not in outputs]
        computed = dict(zip(missing, self._compute([batch[i] for i in missing]), strict=True))
        for i, outputs in computed.items():
            if not isinstance(outputs, ClipError):
                shared[i][self._shared_key] = outputs
        return [computed[i] if i in computed else shared[i][self._shared_key] for i in range(len(batch))]

    @cached_property
    def _shared_key(self) -> str:
        """What two features of one clip must have in common to share the network's outputs: all but the level."""
        spec = self.spec.to_dict()
        return canonical_json([spec.get(k) for k in ("extractor", "recipe", "weights", "precision", "inputs")])

    def _compute(self, batch: Sequence[Media]) -> list[list[Array] | ClipError]:
        streams = [self._take_units(media) for media in batch]
        outputs = run_clips(streams, self.forward, cost=self.cost, budget=self.budget, group=self.group)
        self.seconds["prepare"] += sum(units.seconds for units in streams)
        return outputs

    def prepare(self, media: Media) -> None:
        """Make the clip's first units on the helper thread, once the features that it needs are there."""
        waiting = self._waiting(media)
        if not waiting and all(map(media.has_feature, self.needs)):
            units = UnitStream(self.units(media))
            units.make_ahead()
            media.prepared_bytes += units.held_bytes
            waiting.append(units)

    def _waiting(self, media: Media) -> list[UnitStream[UnitT]]:
        return media.once(("units", self._shared_key), list)

    def _take_units(self, media: Media) -> UnitStream[UnitT]:
        waiting = self._waiting(media)
        if not waiting:
            return UnitStream(self.units(media))
        media.prepared_bytes -= waiting[0].held_bytes
        return waiting.pop()
