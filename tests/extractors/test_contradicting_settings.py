"""A `config.json` that contradicts its weights is refused by name, by every extractor that loads such a folder.

transformers alone would drop what does not fit, or fill it with random numbers: features that differ by 2 to 5.
"""

from __future__ import annotations

import json

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    HubertConfig,
    HubertForCTC,
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEImageProcessor,
    ViTImageProcessor,
    ViTMAEConfig,
    ViTMAEForPreTraining,
    Wav2Vec2FeatureExtractor,
)

from configs.errors import RunError
from configs.weights import RandomWeights, Weights
from extractors.core.extractor import build_extractor
from extractors.core.networks.speech import TINY as HUBERT
from extractors.core.networks.weights import resolve
from extractors.mae import MAE
from extractors.text import TINY as TEXT
from extractors.text.sentence import load_tokenizer
from extractors.videomae import VideoMAE

TWO = {"num_hidden_layers": 2}
# As people have them: with the heads of pre-training or of a task, which are no contradiction.
NETWORKS = {
    "hubert": (HubertForCTC, HubertConfig, HUBERT | TWO, lambda: Wav2Vec2FeatureExtractor(return_attention_mask=True)),
    "videomae": (
        VideoMAEForPreTraining,
        VideoMAEConfig,
        VideoMAE.architectures["tiny"] | TWO,
        lambda: VideoMAEImageProcessor(**VideoMAE.processor_defaults),
    ),
    "mae": (
        ViTMAEForPreTraining,
        ViTMAEConfig,
        MAE.architectures["tiny"] | TWO,
        lambda: ViTImageProcessor(**MAE.processor_defaults),
    ),
    "text": (
        BertForMaskedLM,
        BertConfig,
        TEXT | TWO,
        lambda: load_tokenizer(resolve(Weights(random=RandomWeights(seed=1, size="tiny")))),
    ),
}


@pytest.fixture(params=NETWORKS)
def saved(request, tmp_path):
    model_class, config_class, settings, processor = NETWORKS[request.param]
    torch.manual_seed(1)
    model_class(config_class(**settings)).save_pretrained(tmp_path)
    processor().save_pretrained(tmp_path)
    return request.param, tmp_path


def load(name, folder) -> None:
    build_extractor(name, name, {"weights": {"local": str(folder)}}).load("cpu")


def changed(folder, **settings) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_heads_of_other_tasks_are_no_contradiction(saved):
    load(*saved)


def test_fewer_layers_are_refused(saved):
    changed(saved[1], num_hidden_layers=1)
    with pytest.raises(RunError, match=r"has no place for \d+ of their parameters, first .*layers?\.1") as error:
        load(*saved)
    assert "\n" not in str(error.value)


def test_other_shapes_are_refused(saved):
    size = json.loads((saved[1] / "config.json").read_text())["intermediate_size"]
    changed(saved[1], intermediate_size=size // 2)
    with pytest.raises(RunError, match=rf"is \({size},?.*\) in the file, \({size // 2},?.*\) by config.json") as error:
        load(*saved)
    assert "\n" not in str(error.value)
    assert "above report" not in str(error.value)


@pytest.mark.parametrize("setting", [{"conv_bias": False}, {"feat_extract_norm": "group", "conv_bias": True}])
def test_another_front_end_of_hubert_is_refused(tmp_path, setting):
    model_class, config_class, settings, processor = NETWORKS["hubert"]
    model_class(config_class(**settings | {"conv_bias": True, "feat_extract_norm": "layer"})).save_pretrained(tmp_path)
    processor().save_pretrained(tmp_path)
    changed(tmp_path, **setting)
    with pytest.raises(RunError, match=r"has no place for \d+ of their parameters, first .*conv_layers"):
        load("hubert", tmp_path)
