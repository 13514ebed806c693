"""How torch models run here: threads, device, number format, and batches that fit into the device's memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

from storage.errors import ClipError

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bf16", "fp16"]
ModuleT = TypeVar("ModuleT", bound="torch.nn.Module")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
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


def run_batched(
    items: Sequence[ItemT],
    cost: Callable[[ItemT], int],
    budget: int,
    run: Callable[[list[ItemT]], list[ResultT]],
    *,
    equal: Callable[[ItemT], Hashable] | None = None,
) -> list[ResultT | ClipError]:
    """Run a model over items in batches of similar size.

    Items are taken in order of falling cost, so that little of a batch is padding and a batch that does not fit shows
    at once. When the device is out of memory, batches are halved from then on; each time either the batch shrinks or
    its only item is given up, so that this ends.

    Args:
        items: Inputs of the model.
        cost: Size of an item, such as its samples or pixels. A batch costs its largest item times its length.
        budget: Most a batch may cost. An item that costs more runs alone; 0 runs all of them alone.
        run: Gives one result for each item of a batch, in order.
        equal: Only items for which this gives equal values share a batch.

    Returns:
        For each item, in the given order, its result, or `out_of_memory` if the device could not even hold it alone.
    """
    results: dict[int, ResultT | ClipError] = {}
    pending = sorted(range(len(items)), key=lambda i: -cost(items[i]))
    while pending:
        batch = _next_batch(pending, items, cost, budget, equal)
        found = _tried(run, [items[i] for i in batch])
        if isinstance(found, ClipError) and len(batch) > 1:
            budget = cost(items[batch[0]]) * (len(batch) // 2)
            continue
        results.update(zip(batch, [found] if isinstance(found, ClipError) else found, strict=True))
        pending = [i for i in pending if i not in results]
    return [results[i] for i in range(len(items))]


def _tried(run: Callable[[list[ItemT]], list[ResultT]], batch: list[ItemT]) -> list[ResultT] | ClipError:
    import torch

    try:
        return run(batch)
    except torch.OutOfMemoryError as error:
        failed = ClipError("out_of_memory", " ".join(str(error).split())[:200])
    # Only here, after the error and with it the batch's tensors are gone, can the memory be given back.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return failed


def _next_batch(
    pending: Sequence[int],
    items: Sequence[ItemT],
    cost: Callable[[ItemT], int],
    budget: int,
    equal: Callable[[ItemT], Hashable] | None,
) -> list[int]:
    """The most costly item and as many of those after it as may join it."""
    first = items[pending[0]]
    room = max(budget // max(cost(first), 1), 1)
    alike = [i for i in pending if equal is None or equal(items[i]) == equal(first)]
    return alike[:room]
