"""How torch models run here: float32 throughout, no dropout, no reduced-precision shortcuts."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

ModuleT = TypeVar("ModuleT", bound="torch.nn.Module")


def set_threads(count: int) -> None:
    """Threads of model arithmetic on the CPU in this process; the same number gives the same bytes.

    Args:
        count: 1 or more.
    """
    import torch

    torch.set_num_threads(count)


def choose_device() -> str:
    """`cuda` where torch sees a GPU (a worker sees only its own), else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def prepare(model: ModuleT, device: str) -> ModuleT:
    """Make a model ready for inference: float32, evaluation mode, on its device, TensorFloat-32 off.

    TensorFloat-32 keeps 10 bits of each factor; torch leaves it on for convolutions on NVIDIA GPUs, which would
    move features by about 1e-3. The switch is the process's, and is set here so that no model runs without it.

    Args:
        model: The model.
        device: A torch device, such as `cpu` or `cuda:0`.

    Returns:
        The same model.
    """
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    return model.float().eval().requires_grad_(False).to(device)
