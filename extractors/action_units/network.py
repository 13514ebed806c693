"""py-feat's multitask network over batches of faces: forward passes only, in the layout and size fastest on the device.

The numbers are those of py-feat's `MultitaskModel`; what differs is that its input comes scaled already, that its
heads come back as one table, and that on a GPU a call only starts the work.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from extractors.action_units.face_crops import INPUT, Float32, normalised
from extractors.core.networks.loaded import free
from extractors.core.networks.pyfeat import load_network
from extractors.core.networks.weights import ResolvedWeights

if TYPE_CHECKING:
    import torch

# The network's outputs by its own names, with the columns that each fills of the table.
HEADS = {"p_au": 20, "emotion": 7, "va": 2, "gaze": 2, "pose": 6, "mesh": 3 * 478, "blendshapes": 52}
CPU_BATCH = 4  # more does not fit into the caches: 16 faces at once take a quarter longer per face
GPU_BATCH = 64
MOST_DIFFERENCE = 1e-4


class FaceNetwork:
    """py-feat's network on one device.

    Args:
        weights: Its checkpoint, or a seed.
        device: A torch device, such as `cpu` or `cuda:0`.
        precision: `bf16` is py-feat's own mixed precision (autocast).
        compiled: Whether `torch.compile` rewrites it: a minute, once, and a C++ compiler on a CPU.
        batch_size: Faces in one pass; None for 4 on a CPU and 64 on a GPU.

    Attributes:
        batch_size: Faces in one pass.
        compile_difference: Largest absolute difference between compiled and eager numbers on a seeded input, by head;
            empty if not compiled.

    Raises:
        RunError: If the weights do not fit, or compiling moves a number by more than 1e-4.
    """

    def __init__(
        self,
        weights: ResolvedWeights,
        device: str,
        *,
        precision: Literal["float32", "bf16"] = "float32",
        compiled: bool = False,
        batch_size: int | None = None,
    ) -> None:
        import torch

        self._device = torch.device(device)
        self._amp = precision == "bf16"
        self._model = load_network(weights, device, compiled=compiled).model
        self._model.to(memory_format=torch.channels_last)  # twice as fast on a CPU
        self._least = 2 if compiled else 1  # torch.compile would build a second network for a batch of one
        self.batch_size = batch_size or (CPU_BATCH if self._device.type == "cpu" else GPU_BATCH)
        self.compile_difference = self._compare() if compiled else {}

    def __call__(self, faces: list[Float32]) -> list[torch.Tensor]:
        """Run the network on one batch; on a GPU this only starts the work.

        Args:
            faces: (3, 224, 224) float32, 0..1, each.

        Returns:
            For each face a row of the heads' values, (1523,) float32 on the device.
        """
        return list(self._pass(normalised(np.stack(faces)), self._model))[: len(faces)]

    def free(self) -> None:
        """Free the network's memory; it cannot be used afterwards."""
        free(self._model)

    def _pass(self, pixels: Float32, model: Any) -> torch.Tensor:
        import torch

        padded = pixels if len(pixels) >= self._least else np.repeat(pixels, self._least, axis=0)
        with torch.inference_mode():
            tensor = torch.from_numpy(padded).to(self._device)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._amp):
                out = model(tensor)
            out["emotion"] = torch.nn.functional.softmax(out["emotion_logits"], dim=-1)
            return torch.cat([out[name].flatten(1).float() for name in HEADS], dim=1)

    def _compare(self) -> dict[str, float]:
        random = np.random.default_rng(0).random((max(self.batch_size, 2), 3, INPUT, INPUT), dtype=np.float32)
        pixels = normalised(random)
        # `Module.compile` replaces what calling the model does; its `forward` stays eager.
        eager, compiled = (split_heads(self._pass(pixels, m).cpu().numpy()) for m in (self._model.forward, self._model))
        differences = {name: float(np.abs(eager[name] - compiled[name]).max()) for name in HEADS}
        told = ", ".join(f"{name} {difference:.1e}" for name, difference in differences.items())
        if not np.max(list(differences.values())) <= MOST_DIFFERENCE:  # also where a difference is NaN
            raise RunError(f"compile: compiled numbers differ from eager ones by more than {MOST_DIFFERENCE}: {told}")
        # Shown without any set-up of logging, because whoever compiles asked for other numbers.
        logging.getLogger(__name__).warning("compiled network against eager, largest differences: %s", told)
        return differences


def split_heads(table: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
    """The columns of each head: (N, 1523) to (N, width) by name, the mesh as (N, 478, 3)."""
    ends = np.cumsum(list(HEADS.values()))[:-1]
    heads = dict(zip(HEADS, np.split(table, ends, axis=1), strict=True))
    return heads | {"mesh": heads["mesh"].reshape(-1, 478, 3)}
