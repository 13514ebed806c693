"""What consumers of the exports do with them, re-enacted; and their own code, where a checkout of it is at hand."""

from __future__ import annotations

import importlib.util
import math
import sys
import types
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from storage.exporters._shared.legacy_pickle import load_npz

Array = np.ndarray

# Emotion-LLaMA

WORDS = ["neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "contempt", "doubt"]
EMOTIONS = {word: i for i, word in enumerate(WORDS)}


def load_item(annotation: Path, line: str) -> tuple[torch.Tensor, int, str]:
    """What Emotion-LLaMA's loader makes of one line: the stack, the emotion's number, the sentence."""
    fields = line.split(" ")
    parts = []
    for folder in ("mae_340_UTT", "maeV_399_UTT", "HL-UTT"):
        part = torch.tensor(np.load(annotation.parent / folder / f"{fields[0]}.npy"))
        parts.append(part.unsqueeze(0) if part.dim() == 1 else part)
    table = pd.read_csv(annotation.parent / "transcription_en_all.csv")
    sentence = table.loc[table["name"] == fields[0]]["sentence"].values[0]
    return torch.cat(parts, dim=0), EMOTIONS[fields[2]], sentence


def lines_of(annotation: Path) -> list[str]:
    return [line.strip() for line in annotation.read_text(encoding="utf-8").splitlines()]


# MERTools


def read_later(path: Path) -> Array:
    """MERBench and later: (rows, columns)."""
    value = np.load(path).squeeze()
    value = np.array([value]).squeeze()
    return value[None] if value.ndim == 1 else value


def read_2023(folder: Path, name: str) -> Array:
    """MER2023: (columns,), from the only file whose name begins like the clip's."""
    (path,) = folder.glob(f"{name}*")
    value = np.load(path).squeeze()
    return value.mean(axis=0) if value.ndim == 2 else value


def mapped(value: Array, length: int) -> Array:
    """Zeros in front, up to the length or to a multiple of it; then means of neighbouring rows."""
    steps = max(1, math.ceil(len(value) / length))
    front = np.zeros((length * steps - len(value), value.shape[1]))
    return np.concatenate([front, value]).reshape(length, steps, -1).mean(axis=1)


def labels_of(path: Path) -> dict[str, dict]:
    return {name: array.tolist() for name, array in load_npz(path).items()}


# Their own code


class _Any(types.ModuleType):
    """Stands for a package that the consumer imports and does not need for reading."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def load_consumer(
    path: Path, stubs: Sequence[str], monkeypatch: pytest.MonkeyPatch, name: str | None = None
) -> types.ModuleType:
    """A module of a consumer's checkout, with packages that it does not need for reading stubbed."""
    for stub in stubs:
        monkeypatch.setitem(sys.modules, stub, _Any(stub))
    spec = importlib.util.spec_from_file_location(name or path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
