"""Which networks of transformers read texts, and what their `config.json` calls width, layers and longest text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODELS = {  # by model_type: the class in transformers
    "albert": "AlbertModel",
    "bert": "BertModel",
    "bloom": "BloomModel",
    "camembert": "CamembertModel",
    "deberta": "DebertaModel",
    "deberta-v2": "DebertaV2Model",
    "distilbert": "DistilBertModel",
    "electra": "ElectraModel",
    "ernie": "ErnieModel",
    "falcon": "FalconModel",
    "gemma": "GemmaModel",
    "gemma2": "Gemma2Model",
    "glm": "GlmModel",
    "gpt2": "GPT2Model",
    "gpt_neox": "GPTNeoXModel",
    "llama": "LlamaModel",
    "mistral": "MistralModel",
    "modernbert": "ModernBertModel",
    "mpnet": "MPNetModel",
    "opt": "OPTModel",
    "phi3": "Phi3Model",
    "qwen2": "Qwen2Model",
    "qwen3": "Qwen3Model",
    "roberta": "RobertaModel",
    "stablelm": "StableLmModel",
    "t5": "T5EncoderModel",
    "xlm-roberta": "XLMRobertaModel",
    "xlnet": "XLNetModel",
}
_OTHER_NAMES = {
    "hidden_size": ("d_model", "n_embd", "dim"),
    "num_hidden_layers": ("n_layer", "num_layers", "n_layers"),
    "max_position_embeddings": ("n_positions",),
}
_UNBOUNDED = {"bloom", "falcon", "t5", "xlnet"}  # positions are relative; what stands for them bounds nothing
_LONGEST = 1 << 15
UNUSED = ("pooler.dense.weight", "pooler.dense.bias", "pooler.weight", "pooler.bias")
"""Parameters that no recipe reads, which files may lack."""


def plain_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a model under the names that most models have.

    >>> plain_names({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_positions": 1024})["hidden_size"]
    768
    """
    made = dict(settings)
    for name, others in _OTHER_NAMES.items():
        value = next((settings[other] for other in others if other in settings), None)
        if name not in made and value is not None:
            made[name] = value
    if made.get("model_type") in _UNBOUNDED:
        made["max_position_embeddings"] = _LONGEST
    return made
