"""Train a small probe on a store: masked means of each feature, and a linear classifier of the labels.

    python examples/train_probe.py STORE --features gemaps,hubert --train train --test test

Rows that are not valid (no face, a hole in the audio) never enter a mean: the store's masks say which they are. Splits
are those of the store; `merflow split MANIFEST --by speaker --folds 5` makes some that no speaker is divided by.
"""

from __future__ import annotations

import argparse
from collections import Counter

import torch
from torch.utils.data import DataLoader

from storage.torch_dataset import ClipDataset, collate


def masked_means(batch: dict) -> torch.Tensor:
    """(clips, D) means over the valid rows of each feature, side by side; 0 where a clip has no valid row."""
    means = []
    for name, values in batch["values"].items():
        mask = batch["mask"][name].unsqueeze(-1)
        total = torch.where(mask, values, 0.0).sum(1)
        means.append(total / mask.sum(1).clamp(min=1))
    return torch.cat(means, dim=1)


def table(data: ClipDataset, words: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """All clips of a split: (n, D) means and (n,) classes; clips without one of the labels are left out, and told."""
    means, classes = [], []
    for batch in DataLoader(data, batch_size=64, collate_fn=collate):
        known = [place for place, word in enumerate(batch["label"]) if word in words]
        means.append(masked_means(batch)[known])
        classes += [words.index(batch["label"][place]) for place in known]
    if len(classes) < len(data):
        print(f"{len(data) - len(classes)} of {len(data)} clips have none of the labels: left out")
    return torch.cat(means), torch.tensor(classes)


def main(arguments: list[str] | None = None) -> float:
    """Train, print the accuracy on the test split beside that of the most frequent label, and give it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--features", default="gemaps")
    parser.add_argument("--train", default="train")
    parser.add_argument("--test", default="test")
    parser.add_argument("--epochs", type=int, default=200)
    given = parser.parse_args(arguments)
    names = given.features.split(",")
    train, test = (ClipDataset(given.store, names, split=split, missing="omit") for split in (given.train, given.test))
    for split, data in ((given.train, train), (given.test, test)):
        if data.omitted:
            print(f"{split}: {len(data.omitted)} clips lack a feature: left out")
    words = sorted({word for word in train.labels if word is not None})
    (inputs, targets), (unseen, truth) = table(train, words), table(test, words)
    centre, scale = inputs.mean(0), inputs.std(0).clamp(min=1e-6)
    torch.manual_seed(0)
    probe = torch.nn.Linear(inputs.shape[1], len(words))
    steps = torch.optim.AdamW(probe.parameters(), lr=0.01, weight_decay=0.01)
    for _ in range(given.epochs):
        steps.zero_grad()
        torch.nn.functional.cross_entropy(probe((inputs - centre) / scale), targets).backward()
        steps.step()
    accuracy = float((probe((unseen - centre) / scale).argmax(1) == truth).float().mean())
    most = Counter(truth.tolist()).most_common(1)[0][1] / len(truth)
    print(f"{len(words)} labels, {len(targets)} clips to train, {len(truth)} to test")
    print(f"accuracy {accuracy:.2f} (the most frequent label alone: {most:.2f})")
    return accuracy


if __name__ == "__main__":
    main()
