"""What extractors that run a network share: weights, spec, one copy of the model, batches, and time kept apart.

A subclass reads from top to bottom: `model_types` and `architectures` say which networks it takes; `spec` names the
columns (`network_spec` fills in the rest); `load` builds the model with `place`; `units` turns a clip into the model's
inputs, `forward` runs some of them, `features` puts a clip's outputs together.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from configs.schema import Faces, Weights
from extractors.core.extractor import Extractor
from configs.plugins import Section
from extractors.core.media.clip_media import Media
from extractors.core.networks.runtime import ModuleT, Precision, memory_budget, prepare, torch_dtype
from extractors.core.networks.batching import run_batched
from extractors.core.networks.weights import SETTING_FILES, ResolvedWeights, model_settings, resolve
from storage.errors import ClipError
from configs.errors import RunError
from storage.records import Failure, Features, FeatureSpec
from storage.digests import canonical_json

if TYPE_CHECKING:
    import torch

GPU_CLIPS = 16
UnitT = TypeVar("UnitT")
Array = npt.NDArray[np.float32]
_placed: WeakValueDictionary[str, Any] = WeakValueDictionary()  # models of this process, while an extractor holds them


class NetworkOptions(Section):
    """Settings of every network.

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

    `UnitT` is the input of one pass of the network, such as a window of sound or a stack of pictures; a clip has any
    number of them, and units of several clips share a batch. What a clip's units gave is kept as long as its media is
    open, under everything but the level: a frame and an utterance feature of the same network share one pass.

    Attributes:
        model_types: What `config.json` may say that the model is.
        architectures: Settings of the random models `full` and `tiny`.
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

    def __init__(self, feature: str, options: NetworkT, faces: Faces) -> None:
        super().__init__(feature, options, faces)
        self.budget = 0
        self._device = "cpu"

    @property
    def clips_at_once(self) -> int:
        """1 on a CPU, where batches are slower, and 16 on a GPU."""
        return 1 if self._device == "cpu" else GPU_CLIPS

    @cached_property
    def _weights(self) -> ResolvedWeights:
        return resolve(self._given, self.setting_files)

    @property
    def _given(self) -> Weights:
        """The weights that the options name.

        Raises:
            RunError: If they are of a layout that this network cannot load.
        """
        given = self.options.weights
        if given.format not in self.weight_formats:
            expected = " or ".join(self.weight_formats)
            raise RunError(f"{self.feature}: weights: format {given.format} does not fit; expected {expected}")
        return given

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return model_settings(self._weights, self.model_types, self.architectures, self.setting_keys)

    def network_spec(self, *, recipe: Mapping[str, Any], **fields: Any) -> FeatureSpec:
        """A spec with everything that all networks have in common filled in.

        Args:
            recipe: The extractor's own settings that can change a number; the level is not one of them.
            **fields: Other fields of `FeatureSpec`: `modality`, `level`, `columns`, `source`, ...

        Raises:
            RunError: If the weights are not on this machine.
        """
        compiled = {"compile": True} if self.options.compile else {}
        return FeatureSpec(
            name=self.feature,
            extractor=type(self).__module__.rpartition(".")[2],
            recipe=dict(recipe) | compiled,
            weights=self._weights.identity,
            precision=self.options.precision,
            synthetic=self._weights.synthetic,
            **fields,
        )

    def place(self, build: Callable[[], ModuleT], device: str, *, variant: str = "") -> ModuleT:
        """Build the network and put it on a device, once in this process for all features that use it alike.

        Args:
            build: Gives the network in float32 on the CPU.
            device: A torch device, such as `cpu` or `cuda:0`.
            variant: What else, beside the weights, the network that `build` gives depends on.
        """
        options = self.options
        identity = [type(self).__module__, self._weights.identity, options.precision, options.compile, device, variant]
        key = canonical_json(identity)
        model: ModuleT | None = _placed.get(key)
        if model is None:
            model = _placed[key] = prepare(build(), device, options.precision, compiled=options.compile)
        self._device = device
        self.budget = memory_budget(device) // self.cost_bytes
        return model

    def tensor(self, array: npt.NDArray[Any]) -> torch.Tensor:
        """An array on the network's device; real numbers in its precision."""
        import torch

        with self.timed("transfer"):
            given = torch.from_numpy(np.ascontiguousarray(array))
            dtype = torch_dtype(self.options.precision) if given.is_floating_point() else given.dtype
            return given.to(self._device, dtype)

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
    def units(self, media: Media) -> list[UnitT]:
        """The network's inputs for one clip, ready but still in this machine's memory; none if there is nothing to see.

        Raises:
            ClipError: Why this clip has no values.
        """

    @abstractmethod
    def forward(self, units: list[UnitT]) -> list[Array]:
        """Run the network on one batch: (rows, D) for each unit, in order. `tensor`, `running` and `array` help."""

    @abstractmethod
    def features(self, media: Media, outputs: list[Array]) -> Features:
        """Put together what the network gave for one clip's units.

        Raises:
            ClipError: Why this clip has no values.
        """

    def cost(self, unit: UnitT) -> int:
        """Size of a unit, in what `cost_bytes` counts; the number of its elements if it is an array."""
        measured: Any = unit
        return int(np.size(measured))

    def group(self, unit: UnitT) -> Hashable:
        """Only units of equal group share a batch; None lets all of them."""
        return None

    def extract(self, batch: Sequence[Media]) -> list[Features | Failure]:
        """Extract from each clip: same order, same length, one outcome each."""
        outputs = self._outputs(batch)
        return [self._finished(media, found) for media, found in zip(batch, outputs, strict=True)]

    def _finished(self, media: Media, outputs: list[Array] | ClipError) -> Features | Failure:
        try:
            if isinstance(outputs, ClipError):
                raise outputs
            return self.features(media, outputs)
        except ClipError as error:
            return self.failure(media, error)

    def _outputs(self, batch: Sequence[Media]) -> list[list[Array] | ClipError]:
        """What the network gives for each clip, without repeating what another feature of the clip asked for."""
        known: list[dict[str, list[Array]]] = [media.once("networks", dict) for media in batch]
        fresh = [i for i, kept in enumerate(known) if self._shared_key not in kept]
        computed = dict(zip(fresh, self._computed([batch[i] for i in fresh]), strict=True))
        for i, found in computed.items():
            if not isinstance(found, ClipError):
                known[i][self._shared_key] = found
        return [computed[i] if i in computed else known[i][self._shared_key] for i in range(len(batch))]

    @cached_property
    def _shared_key(self) -> str:
        spec = self.spec.to_dict()
        return canonical_json([spec[k] for k in ("extractor", "recipe", "weights", "precision")])

    def _computed(self, batch: Sequence[Media]) -> list[list[Array] | ClipError]:
        prepared = [self._prepared(media) for media in batch]
        owners = [(i, unit) for i, units in enumerate(prepared) if not isinstance(units, ClipError) for unit in units]
        found = run_batched(
            owners,
            lambda owned: self.cost(owned[1]),
            self.budget,
            lambda some: self.forward([unit for _, unit in some]),
            equal=lambda owned: self.group(owned[1]),
        )
        outcomes: list[list[Array] | ClipError] = [u if isinstance(u, ClipError) else [] for u in prepared]
        for (i, _), result in zip(owners, found, strict=True):
            kept = outcomes[i]
            if isinstance(result, ClipError):
                outcomes[i] = result
            elif not isinstance(kept, ClipError):
                kept.append(result)
        return outcomes

    def prepare(self, media: Media) -> None:
        """Make the clip's units on the helper thread; not for networks that wait for another feature of the clip."""
        held = self._held(media)
        if not self.needs and not held:
            held.append(self._units_of(media))

    def _held(self, media: Media) -> list[tuple[list[UnitT] | ClipError, float]]:
        return media.once(("units", self._shared_key), list)

    def _prepared(self, media: Media) -> list[UnitT] | ClipError:
        held = self._held(media)
        made, spent = held.pop() if held else self._units_of(media)
        self.seconds["prepare"] += spent  # here, as `seconds` belongs to the thread that extracts
        return made

    def _units_of(self, media: Media) -> tuple[list[UnitT] | ClipError, float]:
        begin = time.perf_counter()
        try:
            made: list[UnitT] | ClipError = self.units(media)
        except ClipError as error:
            made = error
        return made, time.perf_counter() - begin
