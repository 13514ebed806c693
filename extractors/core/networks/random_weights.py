"""Random models of the true architectures: drawn from a seed, for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from configs.errors import RunError

ModelT = TypeVar("ModelT")


def random_architecture(architectures: Mapping[str, Mapping[str, Any]], size: str) -> Mapping[str, Any]:
    """Settings of a random model.

    Args:
        architectures: Settings by size.
        size: Which.

    Raises:
        RunError: If there is none of that size.
    """
    if size not in architectures:
        raise RunError(f"weights: no random model of size {size} here; sizes: {', '.join(architectures)}")
    return architectures[size]


def seeded(seed: int, build: Callable[[], ModelT]) -> ModelT:
    """Build something random, on the CPU, from the seed only; the process's own random state stays as it was.

    Args:
        seed: The seed.
        build: Builds it.
    """
    import torch

    # Seeding all of torch would also reseed every GPU.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()
