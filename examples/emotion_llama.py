"""From an export to Emotion-LLaMA's trainer: what its loader will see of every clip, and its configuration's lines.

    merflow export merr STORE merr_features
    python examples/emotion_llama.py merr_features --annotation MERR_coarse_grained.txt

Reads the tree as the loader does (annotation, three vectors of 1,024, transcript, entry of the JSON) and stops at the
first clip that it could not load; so an export is known to train before a GPU is waited for.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader, Dataset

VECTORS = {"audio": "HL-UTT", "mae": "mae_340_UTT", "videomae": "maeV_399_UTT"}


class MerrClips(Dataset):
    """One sample per line of an annotation: name, emotion, sentence, and the three vectors, stacked."""

    def __init__(self, root: Path, annotation: str) -> None:
        self._root = root
        lines = (root / annotation).read_text(encoding="utf-8").splitlines()
        self.clips = [line.split(" ") for line in lines]
        with (root / "transcription_en_all.csv").open(encoding="utf-8", newline="") as file:
            self._sentences = {row["name"]: row["sentence"] for row in csv.DictReader(file)}
        self._entries = json.loads((root / "MERR_coarse_grained.json").read_text(encoding="utf-8"))

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict:
        name, frames, emotion = self.clips[index]
        vectors = [np.load(self._root / folder / f"{name}.npy") for folder in VECTORS.values()]
        return {
            "name": name,
            "frames": int(frames),
            "emotion": emotion,
            "sentence": self._sentences.get(name, ""),
            "has_action_units": "AU_list" in self._entries[name],
            "video_features": np.stack(vectors),  # (3, D) float32
        }


def main(arguments: list[str] | None = None) -> tuple[int, int]:
    """Load every clip, say what there is, and give the number of clips and the width of the vectors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--annotation", default="MERR_coarse_grained.txt")
    given = parser.parse_args(arguments)
    data = MerrClips(given.export, given.annotation)
    emotions: dict[str, int] = {}
    width, peaks = 0, 0
    for batch in DataLoader(data, batch_size=16):
        width = batch["video_features"].shape[2]
        peaks += int(batch["has_action_units"].sum())
        for emotion in batch["emotion"]:
            emotions[emotion] = emotions.get(emotion, 0) + 1
    print(f"{len(data)} clips load, vectors of {width} columns, {peaks} with action units")
    print("emotions:", ", ".join(f"{name} {count}" for name, count in sorted(emotions.items())))
    if width != 1024:
        print("Emotion-LLaMA's projections take 1,024 columns: extract with large models (merflow run --config merr)")
    print("In train_configs/Emotion-LLaMA_finetune.yaml and minigpt4/configs/datasets/firstface/featureface.yaml:")
    print(f"  ann_path: {given.export.absolute() / given.annotation}")
    print(f"  image_path: {given.export.absolute() / 'images'}")
    return len(data), width


if __name__ == "__main__":
    main()
