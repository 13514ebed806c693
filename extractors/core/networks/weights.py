"""Where a model's weights are, what exactly they are, and how they become a model. Offline at run time.

`resolve` finds and hashes, `load_model` builds; neither ever uses the network (`weights_pull.py` does). A file that
differs from the record of what was pulled stops the run. Weights are read as safetensors, or by torch's unpickler for
tensors only (`weights_only`): a file cannot run code.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from configs.errors import RunError
from configs.weights import WEIGHT_FILES, RandomWeights, Weights
from extractors.core.networks.random_weights import random_architecture, seeded
from extractors.core.networks.weights_files import (
    INDEX_FILES,
    find_weights_file,
    read_json,
    sha256_of,
    url_path,
    weights_sha256,
)
from extractors.core.networks.weights_record import check_recorded, mismatch, recorded_files

SETTING_FILES = ("config.json", "preprocessor_config.json")
_HINT = "; fetch with `merflow weights pull --config C`, or name a folder with `local:`"


@dataclass(frozen=True, slots=True)
class ResolvedWeights:
    """Weights that are on this machine, or a seed that makes some.

    Attributes:
        kind: `hub`, `local` or `random`.
        folder: Folder of the weights file, `identity["file"]`; in Hugging Face's layout unless the identity names
            another format. None for random.
        identity: Goes into `FeatureSpec.weights`: equal identities mean equal weights. No path of this machine.
        synthetic: True for random.
    """

    kind: Literal["hub", "local", "random"]
    folder: Path | None
    identity: Mapping[str, Any]
    synthetic: bool


def resolve(
    weights: Weights, needs: Sequence[str] = SETTING_FILES, names: Sequence[str] = WEIGHT_FILES
) -> ResolvedWeights:
    """Find weights on this machine and hash them.

    Args:
        weights: Where they should come from.
        needs: Files that the folder must hold beside the weights.
        names: Names that the weights file may have, the preferred one first.

    Raises:
        RunError: What is missing, and how to get it; or the file that does not have the hash it should have.
    """
    if weights.random is not None:
        return _random(weights)
    if weights.url is not None:
        path = url_path(weights)
        if not path.is_file():
            raise RunError(f"weights {weights.url}: not on this machine{_HINT}")
        resolved = _single_file(path, weights.format)
    elif weights.local is not None:
        is_folder = weights.format == "hf"
        resolved = _local(weights.local, needs, names) if is_folder else _single_file(weights.local, weights.format)
    else:
        resolved = _hub(str(weights.hub), weights.revision, needs, names)
    verify(weights, resolved)
    return resolved


def verify(weights: Weights, resolved: ResolvedWeights) -> None:
    """Compare files with what `weights` and the record of `merflow weights pull` say; for `hub` and `local`.

    Args:
        weights: What the configuration says.
        resolved: What was found on this machine.

    Raises:
        RunError: The file that differs, what was expected, what was found.
    """
    folder, file = resolved.folder or Path(), str(resolved.identity["file"])
    if weights.sha256 not in {None, resolved.identity["sha256"]}:
        what = f"{weights.hub}@{weights.revision}" if weights.hub else str(weights.local or weights.url)
        raise mismatch(what, file, str(weights.sha256), str(resolved.identity["sha256"]))
    if weights.hub is not None:
        recorded = recorded_files(weights.hub, folder.name)
        used = [n for n in recorded if (n == file or n not in (*WEIGHT_FILES, *INDEX_FILES)) and (folder / n).is_file()]
        check_recorded(weights.hub, folder.name, {n: sha256_of(folder / n) for n in used})


def model_settings(
    weights: ResolvedWeights,
    model_types: Sequence[str],
    architectures: Mapping[str, Mapping[str, Any]],
    keys: Sequence[str],
    usual: Callable[[dict[str, Any]], dict[str, Any]] = lambda settings: settings,
) -> dict[str, Any]:
    """A model's settings without loading its weights: its `config.json`, or the architecture a seed will fill.

    Args:
        weights: The weights.
        model_types: What `config.json` may say that it is, such as `hubert`; one of these.
        architectures: Settings by size, for random weights.
        keys: Settings that must be there.
        usual: Gives the settings under their usual names, with those that this kind of model does not state.

    Raises:
        RunError: If `config.json` is of another model, lacks a setting or is not JSON.
    """
    if weights.folder is None:
        return dict(random_architecture(architectures, str(weights.identity["size"])))
    path = weights.folder / "config.json"
    settings = read_json(path)
    if settings.get("model_type") not in model_types:
        expected = " or ".join(map(repr, model_types))
        raise RunError(f"{path}: expected model_type {expected}, got {settings.get('model_type')!r}")
    settings = usual(settings)
    missing = [key for key in keys if key not in settings]
    if missing:
        raise RunError(f"{path}: no setting {', '.join(missing)}")
    return settings


# Parts of checkpoints that other tasks use: heads, decoders, poolers, and what belongs to pre-training only.
HEADS = (
    "classifier", "cls", "decoder", "encoder_to_decoder", "head", "label_embs_concat", "lm_head", "logit_bias",
    "logit_scale", "mask_token", "masked_spec_embed", "pooler", "project_hid", "project_q", "projector",
    "qa_outputs", "quantizer", "score", "text_model", "text_projection", "visual_projection",
)  # fmt: skip


def load_model(
    weights: ResolvedWeights,
    model_class: Any,
    settings: Mapping[str, Any],
    unused: Sequence[str] = (),
    changed: Mapping[str, Any] | None = None,
) -> Any:
    """Build a transformers model in float32 on the CPU, with every parameter from the weights file or the seed.

    Args:
        weights: The weights.
        model_class: Class of `transformers`, such as `HubertModel`.
        settings: What `model_settings` gave; used for random weights.
        unused: Parameters that the file may lack because inference never reads them.
        changed: Settings that part of a larger model takes from the larger one's.

    Raises:
        RunError: If the file is damaged, or holds other parameters or shapes than `config.json` makes: transformers
            alone would fill what the file lacks with random numbers, and leave out what it has too much.
    """
    if weights.folder is None:
        return seeded(weights.identity["seed"], lambda: model_class(model_class.config_class(**settings)))
    model, info = _from_pretrained(model_class, weights.folder, changed or {})
    missing = sorted(set(info["missing_keys"]) - set(unused))
    if missing:
        raise RunError(f"{weights.folder}: the weights lack {len(missing)} parameters, first {missing[0]}")
    prefix = f"{model.base_model_prefix}."
    extra = sorted(key for key in info["unexpected_keys"] if not _is_head(key.removeprefix(prefix)))
    if extra:
        raise RunError(
            f"{weights.folder}: config.json does not fit the weights: it has no place for {len(extra)} of their "
            f"parameters, first {extra[0]}"
        )
    if info["mismatched_keys"]:
        key, found, expected = min(info["mismatched_keys"])
        raise RunError(
            f"{weights.folder}: config.json does not fit the weights: {key} is {tuple(found)} in the file, "
            f"{tuple(expected)} by config.json ({len(info['mismatched_keys'])} such)"
        )
    return model


def _is_head(key: str) -> bool:
    return key.split(".", 1)[0] in HEADS or key.endswith(".position_ids") or key == "position_ids"


def load_scaler(weights: ResolvedWeights, scaler_class: Any, defaults: Mapping[str, Any]) -> Any:
    """Build what scales a model's input: by the folder's `preprocessor_config.json`, or by defaults for random weights.

    Args:
        weights: The weights.
        scaler_class: Class of `transformers`, such as `Wav2Vec2FeatureExtractor`.
        defaults: Settings for random weights.
    """
    if weights.folder is None:
        return scaler_class(**defaults)
    return scaler_class.from_pretrained(str(weights.folder), local_files_only=True)


def _random(weights: Weights) -> ResolvedWeights:
    random = weights.random or RandomWeights()
    if weights.sha256 is not None:
        raise RunError("weights: sha256 is for `hub` and `local`; random weights are known by their seed")
    return ResolvedWeights("random", None, {"kind": "random", "seed": random.seed, "size": random.size}, True)


def _single_file(path: Path, layout: str) -> ResolvedWeights:
    if not path.is_file():
        raise RunError(f"weights: local: {path} is not a file; format {layout} is a single checkpoint file")
    identity = {"kind": "local", "format": layout, "file": path.name, "sha256": sha256_of(path)}
    return ResolvedWeights("local", path.parent, identity, False)


def _local(folder: Path, needs: Sequence[str], names: Sequence[str]) -> ResolvedWeights:
    if not folder.is_dir():
        raise RunError(f"weights: local: {folder} is not a folder; expected one in Hugging Face's layout")
    file = _check_complete(folder, needs, names, str(folder))
    identity = {"kind": "local", "file": file.name, "sha256": weights_sha256(file)}
    return ResolvedWeights("local", folder, identity | _settings_of(folder, needs), False)


def _hub(repo: str, revision: str, needs: Sequence[str], names: Sequence[str]) -> ResolvedWeights:
    from huggingface_hub import snapshot_download

    try:
        # Asking for one file only: the cache also counts files that `pull` leaves out as missing.
        snapshot = snapshot_download(repo, revision=revision, local_files_only=True, allow_patterns=list(needs[:1]))
    except (OSError, ValueError) as error:
        raise RunError(f"weights {repo}@{revision}: not in the Hugging Face cache{_HINT}") from error
    folder = Path(snapshot)
    file = _check_complete(folder, needs, names, f"{repo}@{revision}", _HINT)
    # The commit, not the branch that was asked for: the same weights must give the same digest.
    identity = {"kind": "hub", "repo": repo, "commit": folder.name, "file": file.name, "sha256": weights_sha256(file)}
    return ResolvedWeights("hub", folder, identity | _settings_of(folder, needs), False)


def _settings_of(folder: Path, needs: Sequence[str]) -> dict[str, str]:
    """What the setting files hold: someone may have edited them, also in the cache of a hub commit."""
    settings = "".join(sha256_of(folder / name) for name in needs)
    return {"settings_sha256": hashlib.sha256(settings.encode()).hexdigest()}


def _check_complete(folder: Path, needs: Sequence[str], names: Sequence[str], what: str, hint: str = "") -> Path:
    missing = [name for name in needs if not (folder / name).is_file()]
    file = find_weights_file(folder, names)
    if missing or file is None:
        missing += [] if file else [" or ".join(names)]
        raise RunError(f"weights {what}: {', '.join(missing)} missing{hint}")
    return file


def _from_pretrained(model_class: Any, folder: Path, changed: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    import torch
    from safetensors import SafetensorError

    broken = (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError)
    with quiet_transformers():
        try:
            model, info = model_class.from_pretrained(
                str(folder),
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # named by `load_model`, in one line
                **changed,
            )
        except broken as error:
            raise RunError(f"{folder}: cannot load the weights: {' '.join(str(error).split())[:300]}") from error
    return model, info


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bar, and no report of parameters that other heads of the same checkpoint use."""
    from transformers.utils import logging

    log: Any = logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
