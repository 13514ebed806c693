"""Weights files in timm's layout."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from configs.errors import RunError


def read_timm_file(path: Path) -> dict[str, Any]:
    """Parameters by name; nothing but tensors is unpickled.

    Raises:
        RunError: If the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from timm.models import load_state_dict

    try:
        parameters: dict[str, Any] = load_state_dict(str(path), weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, SafetensorError, pickle.UnpicklingError) as error:
        raise RunError(f"{path}: cannot load the weights: {' '.join(str(error).split())[:300]}") from error
    return parameters


def fill_network(
    network: Any,
    parameters: Mapping[str, Any],
    where: str,
    heads: tuple[str, ...],
    named: Callable[[Collection[str]], str] = min,
) -> None:
    """Put parameters into a network: every one that it has, and none left over but those of heads.

    Args:
        network: The network.
        parameters: Tensors by name.
        where: The file, and what it should be, for messages.
        heads: Beginnings of the names of parameters that it does not use.
        named: How names that are missing or left over are told; the first of them.

    Raises:
        RunError: The first parameter that is missing, left over, or of another shape.
    """
    wanted = network.state_dict()
    extra = {name for name in parameters.keys() - wanted.keys() if not name.startswith(heads)}
    for what, names in (("lacks", wanted.keys() - parameters.keys()), ("also has", extra)):
        if names:
            raise RunError(f"{where}: {what} {named(names)}")
    for name, value in wanted.items():
        if value.shape != parameters[name].shape:
            raise RunError(f"{where}: {name} is {tuple(parameters[name].shape)}, expected {tuple(value.shape)}")
    network.load_state_dict({name: parameters[name] for name in wanted})
