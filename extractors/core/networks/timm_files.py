"""Weights files in timm's layout."""

from __future__ import annotations

import pickle
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
