"""From an export to MMSA's trainers: a small fusion network on the pickle, and the call that trains MMSA's own.

    merflow export mmsa STORE unaligned.pkl_folder --opt dimension=valence
    python examples/mmsa.py unaligned.pkl_folder

Rows beyond a clip's stated length are padding and never enter a mean. With MMSA installed (`pip install MMSA`), the
last printed line trains its TFN on the same file.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import numpy as np
import torch

SPLITS = ("train", "valid", "test")


def load(folder: Path) -> tuple[Path, dict]:
    """The pickle of an export and what it holds: `{split: {audio, vision, audio_lengths, ..., regression_labels}}`."""
    (path,) = folder.glob("*.pkl")
    with path.open("rb") as file:
        return path, pickle.load(file)  # noqa: S301  # our own


def means(split: dict, modalities: list[str]) -> torch.Tensor:
    """(clips, D) means over the rows that are no padding, of each modality side by side."""
    columns = []
    for name in modalities:
        values = np.asarray(split[name], np.float32)
        lengths = np.asarray(split.get(f"{name}_lengths", [values.shape[1]] * len(values)))
        inside = np.arange(values.shape[1]) < lengths[:, None]
        columns.append((values * inside[..., None]).sum(1) / np.maximum(lengths, 1)[:, None])
    return torch.from_numpy(np.concatenate(columns, axis=1)).float()


def main(arguments: list[str] | None = None) -> float:
    """Train, print the mean absolute error on the test split beside that of the mean label, and give it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--epochs", type=int, default=300)
    given = parser.parse_args(arguments)
    path, splits = load(given.export)
    modalities = [name for name in ("text", "audio", "vision") if np.any(splits["train"].get(name, 0))]
    inputs = {split: means(splits[split], modalities) for split in SPLITS}
    truth = {split: torch.as_tensor(np.asarray(splits[split]["regression_labels"], np.float32)) for split in SPLITS}
    centre, scale = inputs["train"].mean(0), inputs["train"].std(0).clamp(min=1e-6)
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(inputs["train"].shape[1], 16), torch.nn.ReLU(), torch.nn.Linear(16, 1)
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=1e-2)
    for _ in range(given.epochs):
        optimiser.zero_grad()
        loss = (network((inputs["train"] - centre) / scale)[:, 0] - truth["train"]).abs().mean()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        found = network((inputs["test"] - centre) / scale)[:, 0]
    error = float((found - truth["test"]).abs().mean())
    usual = float((truth["train"].mean() - truth["test"]).abs().mean())
    sizes = ", ".join(f"{split} {len(truth[split])}" for split in SPLITS)
    print(f"{' and '.join(modalities)}; clips: {sizes}")
    print(f"mean absolute error on test: {error:.3f}; of the mean label: {usual:.3f}")
    print("MMSA's own: from MMSA import MMSA_run; MMSA_run('tfn', 'mosi', seeds=[1], is_tune=False, gpu_ids=[],")
    print(f"    config={{'featurePath': '{path}'}})")
    return error


if __name__ == "__main__":
    main()
