"""How torch models run here: threads, device, number format, and how much memory a batch may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bf16", "fp16"]
ModuleT = TypeVar("ModuleT", bound="torch.nn.Module")
_MEMORY_SHARE = 0.5  # of what is free: the other half is for what the allocator cannot reuse


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


def describe_device(device: str) -> str:
    """A device with its name and whether it rounds to TensorFloat-32, for the record; `cpu` stays `cpu`."""
    import torch

    if torch.device(device).type != "cuda":
        return device
    tf32 = torch.backends.cudnn.allow_tf32 or torch.get_float32_matmul_precision() != "highest"
    return f"{torch.cuda.get_device_name(device)}{', TF32' if tf32 else ''}"


def torch_dtype(precision: Precision) -> torch.dtype:
    """The torch type of a precision."""
    import torch

    return {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def prepare(model: ModuleT, device: str, precision: Precision = "float32", *, compiled: bool = False) -> ModuleT:
    """Make a model ready for inference: number format, evaluation mode, on its device, TensorFloat-32 off.

    TensorFloat-32 keeps 10 bits of each factor; torch leaves it on for convolutions on NVIDIA GPUs, which would
    move features by about 1e-3. The switch is the process's, and is set here so that no model runs without it.

    Args:
        model: The model.
        device: A torch device, such as `cpu` or `cuda:0`.
        precision: Format of weights and arithmetic; inputs must have it too, see `torch_dtype`.
        compiled: Whether `torch.compile` rewrites the model on its first call; lengths may still vary.

    Returns:
        The same model.
    """
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    model = model.to(device=device, dtype=torch_dtype(precision)).eval().requires_grad_(False)
    if compiled:
        model.compile(dynamic=True)
    return model


def memory_budget(device: str) -> int:
    """Bytes that one batch may take on a device: half of what a GPU has free now; 0 on a CPU, where clips run singly.

    On a CPU a batch has nothing to fill: four clips at once take 1.3 times as long as one after the other.
    """
    import torch

    if torch.device(device).type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * _MEMORY_SHARE)
