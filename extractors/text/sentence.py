"""Sentence encoders' own settings: tokenizer, longest text, pooling; as sentence-transformers lays them out.

A folder made by sentence-transformers says in `modules.json` and `1_Pooling/config.json` how token vectors become a
sentence vector. Without these files it is the mean over all tokens of the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from extractors.core.networks.weights import ResolvedWeights
from extractors.core.networks.weights_files import read_json, sha256_of
from extractors.core.networks.weights_pull import POOLING_FILE
from storage.digests import digest_of

Pooling = Literal["mean", "cls", "max"]
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"),
    *("vocab.json", "merges.txt", "sentencepiece.bpe.model", "spm.model", "spiece.model"),
)
_MODULES = {"Transformer", "Pooling", "Normalize"}


@dataclass(frozen=True, slots=True)
class Sentence:
    """How a text becomes one vector.

    Attributes:
        pooling: `mean` over all tokens, the first token (`cls`), or their `max`.
        normalize: Whether the vector is scaled to length 1.
        lower: Whether text is put into lower case before the tokenizer sees it.
        longest: Most tokens of one text, special ones included; None if only the model's positions bound it.
    """

    pooling: Pooling = "mean"
    normalize: bool = False
    lower: bool = False
    longest: int | None = None

    def pool(self, tokens: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(D,) of (T, D) token vectors, special tokens included."""
        rows = tokens.astype(np.float64)
        pooled = {"mean": rows.mean(axis=0), "cls": rows[0], "max": rows.max(axis=0)}[self.pooling]
        length = max(float(np.linalg.norm(pooled)), 1e-12) if self.normalize else 1.0
        return np.asarray(pooled / length)


def read_sentence(weights: ResolvedWeights) -> Sentence:
    """What a model's folder says about sentences.

    Raises:
        RunError: If it asks for something merflow does not do, such as a further dense layer.
    """
    folder = weights.folder
    if folder is None or not (folder / "modules.json").is_file():
        return Sentence()
    kinds = [str(module["type"]).rpartition(".")[2] for module in cast("list[Any]", read_json(folder / "modules.json"))]
    if unknown := [kind for kind in kinds if kind not in _MODULES]:
        raise RunError(f"{folder}: modules.json asks for {unknown[0]}; merflow knows {', '.join(sorted(_MODULES))}")
    own = read_json(folder / "sentence_bert_config.json") if (folder / "sentence_bert_config.json").is_file() else {}
    return Sentence(
        pooling=_pooling(folder),
        normalize="Normalize" in kinds,
        lower=bool(own.get("do_lower_case", False)),
        longest=own.get("max_seq_length"),
    )


def _pooling(folder: Path) -> Pooling:
    path = folder / POOLING_FILE
    if not path.is_file():
        raise RunError(f"weights {folder}: {POOLING_FILE} missing; fetch with `merflow weights pull --config C`")
    settings = read_json(path)
    names = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max"}
    asked = [key for key, on in settings.items() if key.startswith("pooling_mode_") and on is True]
    modes = [names[key] for key in asked if key in names]
    if "pooling_mode" in settings:
        asked, modes = [settings["pooling_mode"]], [m for m in names.values() if m == settings["pooling_mode"]]
    if len(asked) != 1 or len(modes) != 1:
        raise RunError(f"{path}: expected one pooling of mean, cls and max, got {', '.join(asked) or 'none'}")
    return cast("Pooling", modes[0])


def tokenizer_digest(weights: ResolvedWeights) -> str:
    """Digest of the files that decide how text becomes tokens; the random models' tokenizer has none."""
    if weights.folder is None:
        return "bytes"
    present = {name: sha256_of(path) for name in TOKENIZER_FILES if (path := weights.folder / name).is_file()}
    if not present:
        raise RunError(f"weights {weights.folder}: no tokenizer; expected {' or '.join(TOKENIZER_FILES)}")
    return digest_of(present)


def load_tokenizer(weights: ResolvedWeights, *, of_words: bool = False) -> Any:
    """The model's own tokenizer, or one of single bytes for random weights.

    Args:
        weights: Where the model's files are.
        of_words: Whether it will be given words, not texts: GPT-2's and RoBERTa's want a space before each then.

    Raises:
        RunError: If the files cannot be read.
    """
    if weights.folder is None:
        return _byte_tokenizer()
    from transformers import AutoTokenizer

    spaced = {"add_prefix_space": True} if of_words else {}
    try:
        return AutoTokenizer.from_pretrained(str(weights.folder), local_files_only=True, **spaced)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise RunError(f"{weights.folder}: cannot load the tokenizer: {' '.join(str(error).split())[:300]}") from error


BYTE_VOCABULARY = 256 + 4


def _byte_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    symbols = [*special.values(), *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    made: Any = PreTrainedTokenizerFast
    return made(tokenizer_object=tokenizer, **special)
