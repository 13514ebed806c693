"""MMSA itself, installed beside, trains its networks on our word-aligned pickle (opt-in: it is downloaded)."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from storage.clip import Clip, Word
from storage.exporters import export
from storage.manifest import write_manifest
from storage.records import Features, FeatureSpec
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not os.environ.get("MERFLOW_TEST_INSTALL"), reason="MERFLOW_TEST_INSTALL=1 installs MMSA"),
]
SPLITS = {"train": 24, "val": 8, "test": 8}
WORDS = 6
COLUMNS = {"gemaps": ("audio", 18), "action_units": ("video", 35), "vectors": ("text", 32)}
TOKENS = ("input_ids", "attention_mask", "token_type_ids", "word")
RUN = """
import json, sys
from pathlib import Path
import torch
from torch.optim import lr_scheduler
# MMSA 2.2.1 is older than this torch: it asks for a device without a GPU too, and for an option that is gone.
torch.cuda.set_device = lambda device: None
plateau = lr_scheduler.ReduceLROnPlateau
lr_scheduler.ReduceLROnPlateau = lambda *args, verbose=None, **options: plateau(*args, **options)
torch.set_num_threads(1)
import MMSA
model, folder, bert = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
own = json.loads((Path(MMSA.__file__).parent / "config/config_regression.json").read_text())
ours = json.loads((folder / "dataset.json").read_text())["datasetCommonParams"]
own["datasetCommonParams"] |= ours | {"dataset_root_dir": str(folder)}
own[model]["commonParams"] |= {"need_data_aligned": True, "early_stop": 2}
own[model]["datasetParams"]["mosi"] |= {"pretrained": bert, "batch_size": 8}
(folder / "config.json").write_text(json.dumps(own))
places = {f"{name}_dir": str(folder / model / name) for name in ("model_save", "res_save", "log")}
MMSA.MMSA_run(model, "mosi", config_file=str(folder / "config.json"), seeds=[1], num_workers=0, **places)
print((folder / model / "res_save/normal/mosi.csv").read_text())
"""


def clip(split, number):
    rng = np.random.default_rng([number, len(split)])
    ends = np.cumsum(rng.uniform(0.1, 0.4, WORDS))
    words = tuple(Word(f"w{i}", float(e - 0.1), float(e)) for i, e in enumerate(ends))
    score = float(rng.uniform(-3, 3))
    return Clip(f"{split}_{number}", split=split, text="w0 w1", words=words, dimensions={"score": score}, duration=3.0)


def rows(name, of):
    times = np.array([(w.start, w.end) for w in of.words])
    if name == "ids":
        values = np.array([(5 + i, 1, 0, i) for i in range(WORDS)])
        special = [(2, 1, 0, -1), (3, 1, 0, -1)]
        values = np.concatenate([special[:1], values, special[1:]])
        edges = [(times[0, 0], times[0, 0] + 1e-6), (times[-1, 1], times[-1, 1] + 1e-6)]
        times = np.concatenate([edges[:1], times, edges[1:]])
    else:
        count = WORDS if name == "vectors" else 40
        values = np.random.default_rng(len(name)).normal(size=(count, COLUMNS[name][1])) + of.dimensions["score"]
        if name != "vectors":
            times = np.stack([np.arange(40) * 0.1, np.arange(40) * 0.1 + 0.1], axis=1)
    return Features(np.asarray(values, np.float32), times, np.ones(len(values), bool))


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mmsa")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder]
    subprocess.run([*install, "MMSA==2.2.1", "easydict", "nvidia-ml-py3"], check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    settings = {"vocab_size": 12, "hidden_size": 768, "num_hidden_layers": 1, "num_attention_heads": 4}
    BertModel(BertConfig(intermediate_size=64, **settings)).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(7))]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def pickle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    store, clips = FeatureStore.create(folder / "s"), [clip(s, n) for s, count in SPLITS.items() for n in range(count)]
    write_manifest(store.path / "manifest.parquet", clips, root=folder, corpus="toy")
    specs = {n: FeatureSpec(n, n, m, "frame", tuple(map(str, range(w)))) for n, (m, w) in COLUMNS.items()}
    specs["ids"] = FeatureSpec("ids", "text", "text", "frame", TOKENS)
    specs["vectors"] = replace(specs["vectors"], extractor="text")
    for name, spec in specs.items():
        store.put(name, spec, [Entry(c.id, rows(name, c)) for c in clips], {})
    options = {"dimension": "score", "align": "words", "splits": "train:train,val:valid,test:test"}
    export("mmsa", store, folder / "out", options)
    return folder / "out"


@pytest.mark.parametrize("model", ["lmf", "tfn", "mult", "misa", "self_mm", "mmim"])
def test_it_trains_validates_and_tests(package, bert, pickle, model):
    environment = os.environ | {"PYTHONPATH": str(package), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", RUN, model, str(pickle), str(bert)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    names, values = done.stdout.strip().splitlines()[-2:]
    assert names.startswith("Model,")
    assert values.startswith(f"{model},")
    assert "nan" not in values
