"""The networks that are loaded in this process: each once, for all features that use it alike.

A network is freed when its last user releases it, not when the garbage collector runs: a network may sit in a reference
cycle, and on a GPU that is gigabytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class NetworkKey:
    """What tells one loaded network from another.

    Attributes:
        extractor: Name of the extractor that builds it.
        weights: Identity of the weights, as sorted pairs.
        precision: Format of weights and arithmetic.
        compiled: Whether `torch.compile` rewrites it.
        device: A torch device.
        variant: What else it depends on.
    """

    extractor: str
    weights: tuple[tuple[str, Any], ...]
    precision: str
    compiled: bool
    device: str
    variant: str = ""

    @staticmethod
    def identity(weights: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        """The identity of weights as sorted pairs."""
        return tuple(sorted(weights.items()))


@dataclass
class _Loaded:
    model: Any
    users: int = 0


@dataclass
class LoadedNetworks:
    """Networks by key, with the number of their users.

    `release` may run at any moment in any thread, for it is also called when the garbage collector finds an extractor
    that nobody closed. So it waits for no lock that is held for longer than it takes to change a number: building,
    which starts threads of its own, is under another one.
    """

    _networks: dict[NetworkKey, _Loaded] = field(default_factory=dict)
    _counting: threading.RLock = field(default_factory=threading.RLock)
    _building: threading.RLock = field(default_factory=threading.RLock)

    def acquire(self, key: NetworkKey, build: Callable[[], Any]) -> Any:
        """The network of a key, built if nobody uses it yet; `release` it when it is no longer needed.

        Args:
            key: What it is.
            build: Builds it.
        """
        with self._building:
            loaded = self._use(key)
            if loaded is None:
                loaded = _Loaded(build(), users=1)
                with self._counting:
                    self._networks[key] = loaded
            return loaded.model

    def release(self, key: NetworkKey) -> None:
        """Give up one use of a network; its memory is freed with the last one."""
        with self._counting:
            loaded = self._networks[key]
            loaded.users -= 1
            if loaded.users:
                return
            del self._networks[key]
        free(loaded.model)

    def _use(self, key: NetworkKey) -> _Loaded | None:
        with self._counting:
            loaded = self._networks.get(key)
            if loaded is not None:
                loaded.users += 1
            return loaded

    def __len__(self) -> int:
        return len(self._networks)


def free(model: torch.nn.Module) -> None:
    """Free the memory of a network's parameters and buffers now, whoever may still refer to it."""
    import torch

    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.new_empty(0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


LOADED = LoadedNetworks()
