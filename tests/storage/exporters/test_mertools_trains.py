"""MERTools' attention baseline, re-enacted for each year: it trains on an export, and its test set has no labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from storage.clip import Clip
from storage.exporters import export
from storage.manifest import write_manifest
from storage.records import Features, FeatureSpec
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from tests.consumers import labels_of, read_2023, read_later

WORDS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
FEATURES = {"hubert": ("audio", 24), "bert": ("text", 16), "clip": ("video", 20)}
YEARS = {  # options, the label file, and the corpora that the year's script opens
    "mer2023": ({"edition": "mer2023", "reader": "mer2023"}, "label-6way.npz", ("train", "test1", "test2", "test3")),
    "mer2024": ({"edition": "mer2024"}, "label-6way.npz", ("train", "test1")),
    "mer2025": ({"edition": "mer2026", "labels_file": "label-6way.npz"}, "label-6way.npz", ("train", "test1")),
    "mer2026": ({"edition": "mer2026"}, "track1_label_6way.npz", ("train", "test1")),
}


class Attention(nn.Module):
    """Toolkit's attention: a perceptron for each modality, weights of the three from all, two heads."""

    def __init__(self, widths, hidden=32):
        super().__init__()
        self.encoders = nn.ModuleList(nn.Sequential(nn.Linear(w, hidden), nn.ReLU()) for w in widths)
        self.weights = nn.Sequential(nn.Linear(3 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, 3))
        self.emotion, self.valence = nn.Linear(hidden, len(WORDS)), nn.Linear(hidden, 1)

    def forward(self, audio, text, video):
        hidden = [encoder(x) for encoder, x in zip(self.encoders, (audio, text, video), strict=True)]
        weights = self.weights(torch.cat(hidden, dim=1))[:, :, None]
        fused = (torch.stack(hidden, dim=2).transpose(1, 2) * weights).sum(dim=1)
        return self.emotion(fused), self.valence(fused)


def numbers(split):
    return {"train": 60, "test1": 18, "test2": 12, "test3": 6}[split]


@pytest.fixture(scope="module")
def store(request, tmp_path_factory):
    """Clips whose features tell their emotion; those of the test sets have no label."""
    folder = tmp_path_factory.mktemp("mer")
    tests = request.param
    rng, clips, emotions = np.random.default_rng(0), [], {}
    for split in ("train", *tests):
        for i in range(numbers(split)):
            emotion = int(rng.integers(len(WORDS)))
            clip = Clip(f"{split}_{i:03d}", split=split, text="text", audio="a.wav")
            emotions[clip.id] = emotion
            if split == "train":
                valence = float(emotion - 2.5)
                clip = replace(clip, label=WORDS[emotion], label_raw=WORDS[emotion], dimensions={"valence": valence})
            clips.append(clip)
    made = FeatureStore.create(folder / "s")
    write_manifest(made.path / "manifest.parquet", clips, root=folder, corpus="mer")
    for name, (modality, width) in FEATURES.items():
        spec = FeatureSpec(name, name, modality, "frame", tuple(f"{name}_{i}" for i in range(width)))
        entries = []
        for clip in clips:
            rows = 3 + int(rng.integers(5))
            values = rng.normal(0, 0.3, (rows, width))
            values[:, emotions[clip.id]] += 1
            times = np.stack([np.arange(rows), np.arange(1, rows + 1)], axis=1) / 25
            entries.append(Entry(clip.id, Features(values.astype(np.float32), times, np.ones(rows, bool))))
        made.put(name, spec, entries, {})
    return made, emotions, tests


def read(year, folder, name):
    return read_2023(folder, name) if year == "mer2023" else read_later(folder / f"{name}.npy")[0]


@pytest.mark.parametrize(("store", "year"), [(about[2][1:], year) for year, about in YEARS.items()], indirect=["store"])
def test_the_attention_baseline_trains_and_predicts_what_nobody_labelled(store, tmp_path, year):
    made, emotions, tests = store
    options, label_file, corpora = YEARS[year]
    rules = ",".join(f"{split}:neutral" for split in tests)
    given = {**options, "names": "clip:clip-vit-base-patch32", "features": ",".join(FEATURES), "unlabelled": rules}
    export("mertools", made, tmp_path / "out", given)
    labels = labels_of(tmp_path / "out" / label_file)
    assert tuple(labels) == tuple(f"{corpus}_corpus" for corpus in corpora)
    assert {entry["emo"] for split in tests for entry in labels[f"{split}_corpus"].values()} == {"neutral"}
    folders = sorted(path for path in (tmp_path / "out/features").iterdir() if path.name[-3:] == "UTT")
    by_name = [next(f for f in folders if f.name.startswith(name)) for name in ("hubert", "bert", "clip-vit")]

    def load(corpus):
        names = list(labels[f"{corpus}_corpus"])
        return names, [torch.tensor(np.stack([read(year, folder, name) for name in names])) for folder in by_name]

    names, inputs = load("train")
    entries = [labels["train_corpus"][name] for name in names]
    words = torch.tensor([WORDS.index(entry["emo"]) for entry in entries])
    valences = torch.tensor([entry["val"] for entry in entries])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Attention([x.shape[1] for x in inputs])
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(40):
            emotion, valence = model(*inputs)
            loss = nn.functional.cross_entropy(emotion, words) + nn.functional.mse_loss(valence[:, 0], valences)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for split in tests:
        names, inputs = load(split)
        with torch.no_grad():
            found = model(*inputs)[0].argmax(dim=1).tolist()
        right = [emotions[name] == emotion for name, emotion in zip(names, found, strict=True)]
        assert np.mean(right) > 0.9
