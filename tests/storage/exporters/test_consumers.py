"""Exports read by their consumers' own code, where an environment variable names a checkout of it."""

from __future__ import annotations

import os
import sys
import types
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from storage.exporters import export
from tests.consumers import Array, lines_of, load_consumer, load_item, mapped, read_later
from tests.exports import CLIPS, make_store


@pytest.fixture(scope="module")
def merr(tmp_path_factory):
    folder = tmp_path_factory.mktemp("consumers")
    export("merr", make_store(folder / "store"), folder / "out", {})
    return folder / "out"


@pytest.fixture(scope="module")
def mertools(tmp_path_factory):
    folder = tmp_path_factory.mktemp("consumers")
    export("mertools", make_store(folder / "store"), folder / "out", {"features": "mae,hubert"})
    return folder / "out"


@pytest.mark.skipif("MERFLOW_EMOTION_LLAMA" not in os.environ, reason="MERFLOW_EMOTION_LLAMA names no checkout")
def test_emotion_llama_s_own_loader_takes_the_export(merr, monkeypatch):
    drawing = (
        "skimage",
        "skimage.io",
        "matplotlib",
        "matplotlib.pyplot",
        "matplotlib.collections",
        "matplotlib.patches",
    )
    base = ("minigpt4", "minigpt4.datasets", "minigpt4.datasets.datasets", "minigpt4.datasets.datasets.base_dataset")
    source = Path(os.environ["MERFLOW_EMOTION_LLAMA"]) / "minigpt4/datasets/datasets/first_face.py"
    module = load_consumer(source, [*drawing, *base, "webdataset", "cv2"], monkeypatch)
    # Its three absolute paths are literals in the class: files of that name in the export stand in for them.
    monkeypatch.setattr(module, "open", lambda path, *_: StringIO((merr / Path(path).name).read_text()), raising=False)
    read_csv = pd.read_csv
    monkeypatch.setattr(module.pd, "read_csv", lambda path: read_csv(Path(merr, Path(path).name)))
    monkeypatch.setattr(module.FeatureFaceDataset, "extract_frame", lambda self, path: np.zeros((4, 4, 3), np.uint8))
    annotation = merr / "MERR_coarse_grained.txt"
    items = module.FeatureFaceDataset(lambda image: image, str, "videos", str(annotation))
    assert len(items) == len(CLIPS)
    for i, line in enumerate(lines_of(annotation)):
        stack, emotion, sentence = load_item(annotation, line)
        assert torch.equal(items[i]["video_features"], stack)
        assert (items[i]["emotion"], items[i]["answer"]) == (emotion, line.split(" ")[2])
        assert f"The person in video says: {sentence}. " in items[i]["instruction_input"]


@pytest.mark.skipif("MERFLOW_MERTOOLS" not in os.environ, reason="MERFLOW_MERTOOLS names no checkout")
def test_mertools_own_readers_take_the_export(mertools, monkeypatch):
    toolkit = Path(os.environ["MERFLOW_MERTOOLS"]) / "MERBench/toolkit"
    for name in ("toolkit", "toolkit.utils"):
        package = types.ModuleType(name)
        package.__path__ = []  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, package)
    stubs = ("toolkit.globals", "toolkit.utils.functions", "toolkit.utils.read_files")
    module = load_consumer(toolkit / "utils/read_data.py", stubs, monkeypatch, name="toolkit.utils.read_data")

    def read(stem: str) -> list[Array]:
        return [module.func_read_one_feat((str(mertools / "features" / stem), clip.id, None, None)) for clip in CLIPS]

    utterance, audio, frames = read("mae-UTT"), read("chinese-hubert-large-FRA"), read("mae-FRA")
    for clip, mean, of_audio in zip(CLIPS, utterance, audio, strict=True):
        assert mean.tobytes() == read_later(mertools / f"features/mae-UTT/{clip.id}.npy").tobytes()
        assert of_audio.tobytes() == read_later(mertools / f"features/chinese-hubert-large-FRA/{clip.id}.npy").tobytes()
    ours = [mapped(rows, len(shown)) for rows, shown in zip(audio, frames, strict=True)]
    theirs, _, _ = module.align_to_text(list(audio), list(frames), list(frames))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    longest = max(map(len, frames))
    _, _, padded = module.pad_to_maxlen_pre_modality(list(audio), list(frames), list(frames))
    assert all(np.array_equal(mapped(a, longest), b) for a, b in zip(frames, padded, strict=True))
    means, _, _ = module.align_to_utt(list(frames), list(frames), list(frames))
    assert all(np.allclose(a, b[0], rtol=1e-5) for a, b in zip(means, utterance, strict=True))


@pytest.mark.skipif("MERFLOW_MERTOOLS" not in os.environ, reason="MERFLOW_MERTOOLS names no checkout")
def test_mertools_own_label_readers_take_the_export(mertools, monkeypatch):
    toolkit = Path(os.environ["MERFLOW_MERTOOLS"]) / "MERBench/toolkit"
    for name in ("toolkit", "toolkit.dataloader"):
        package = types.ModuleType(name)
        package.__path__ = []  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, package)
    stubs = ("toolkit.globals", "toolkit.data")
    mosi = load_consumer(toolkit / "dataloader/cmudata.py", stubs, monkeypatch, name="toolkit.dataloader.cmudata")
    names, labels = mosi.CMUDATA.read_names_labels(None, mertools / "label.npz", "val")
    assert (names, labels) == (["clip_1_Test_1"], [{"emo": "happy", "val": 2.0}])
    mer = load_consumer(toolkit / "dataloader/mer2023.py", stubs, monkeypatch, name="toolkit.dataloader.mer2023")
    words = ("neutral", "angry", "happy", "sad", "worried", "surprise")
    monkeypatch.setattr(mer, "emo2idx_mer", {word: i for i, word in enumerate(words)}, raising=False)
    names, labels = mer.MER2023.read_names_labels(None, mertools / "label.npz", "train")
    assert names == [clip.id for clip in CLIPS[:2]]
    assert labels == [{"emo": 3, "val": -1.5}, {"emo": 0, "val": 0.25}]
