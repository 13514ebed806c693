"""py-feat's multitask network: where its weights are, what they are, and how it is loaded. Offline.

Weights are one .safetensors file with the network's configuration in its metadata, as py-feat distributes them. They
are looked for in the ordinary Hugging Face cache, not in py-feat's own. Random weights go through the same file format
and the same loader.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from configs.errors import RunError
from configs.weights import Weights
from extractors.core.networks.random_weights import random_architecture, seeded
from extractors.core.networks.runtime import prepare
from extractors.core.networks.weights import ResolvedWeights, verify
from extractors.core.networks.weights_files import sha256_of

HUB_FILE = "face_multitask_v28.safetensors"

# The network of py-feat's checkpoints since v2.7; the class's own defaults are another, eight times as costly.
_HEADS = {"n_au": 20, "n_emotion": 7, "n_blendshape": 52, "mesh_normalized": True, "use_head_v3": True}
_FULL = _HEADS | {
    "drop_mefl": True,
    "emotion_use_au_prob": True,
    "gaze_eye_roi": True,
    "gaze_pose_6d": True,
    "gaze_bins": 180,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "full": _FULL,
    "tiny": _FULL | {"backbone": "test_convnext", "afg_channels": 64, "mefl_channels": 64},
}


def feat_module(name: str) -> Any:
    """Import a module of py-feat, such as `multitask.inference`; the first time takes some ten seconds."""
    importlib.import_module("torch")  # before py-feat, so that torch starts with the user's own number of threads
    user_set = "OMP_NUM_THREADS" in os.environ
    try:
        return importlib.import_module(f"feat.{name}")
    finally:
        # Where the user has set none, py-feat sets 1 for this process and everything it starts.
        if not user_set:
            os.environ.pop("OMP_NUM_THREADS", None)


def find_weights(weights: Weights) -> ResolvedWeights:
    """Find py-feat's checkpoint on this machine and hash it; its file is `folder / identity["file"]`.

    Args:
        weights: `local` may be the file or the folder it is in.

    Raises:
        RunError: If it is not here, is of another network, or has another hash than it should; says how to get it.
    """
    if weights.random is not None:
        random_architecture(ARCHITECTURES, weights.random.size)
        seed = {"kind": "random", "seed": weights.random.seed, "size": weights.random.size}
        return ResolvedWeights("random", None, seed, True)
    file = _local_file(weights.local) if weights.local is not None else _cached_file(weights)
    _check_heads(file)
    identity = {"file": file.name, "sha256": sha256_of(file)}
    if weights.local is not None:
        resolved = ResolvedWeights("local", file.parent, {"kind": "local"} | identity, False)
    else:
        origin = {"kind": "hub", "repo": weights.hub, "commit": file.parent.name}
        resolved = ResolvedWeights("hub", file.parent, origin | identity, False)
    verify(weights, resolved)
    return resolved


def load_network(weights: ResolvedWeights, device: str, *, compiled: bool = False) -> Any:
    """py-feat's `MultitaskModel` in float32, loaded by its own loader.

    Args:
        weights: What `find_weights` gave.
        device: A torch device, such as `cpu` or `cuda:0`.
        compiled: Whether `torch.compile` rewrites its `model` on the first call.

    Raises:
        RunError: If the file does not fit the network.
    """
    if weights.folder is not None:
        return _load(weights.folder / str(weights.identity["file"]), device, compiled)
    with tempfile.TemporaryDirectory() as folder:
        return _load(_write_random(Path(folder) / HUB_FILE, weights), device, compiled)


def _local_file(path: Path) -> Path:
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    chosen = [f for f in files if f.name == HUB_FILE] or files
    if len(chosen) != 1:
        raise RunError(f"weights: local: {path}: expected one .safetensors file of py-feat's, found {len(chosen)}")
    return chosen[0]


def _cached_file(weights: Weights) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(str(weights.hub), HUB_FILE, revision=weights.revision, local_files_only=True)
    except (OSError, ValueError) as error:
        why = f"weights {weights.hub}@{weights.revision}: {HUB_FILE} is not in the Hugging Face cache"
        raise RunError(f"{why}; fetch with `merflow weights pull --config C`, or name a file with `local:`") from error
    return Path(path)


def _check_heads(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="np") as opened:
            config = json.loads((opened.metadata() or {})["config"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunError(f"{file}: not a checkpoint of py-feat's multitask network: {error!r}") from error
    different = [f"{k} is {config.get(k)!r}, not {v!r}" for k, v in _HEADS.items() if config.get(k) != v]
    if different:
        raise RunError(f"{file}: expected py-feat's network v2.5 or later, but {', '.join(different)}")


def _load(file: Path, device: str, compiled: bool) -> Any:
    try:
        network = feat_module("multitask.inference").MultitaskModel(device=device, weights_path=str(file), amp=False)
    except RuntimeError as error:
        raise RunError(f"{file.name}: cannot load the weights: {' '.join(str(error).split())[:300]}") from error
    prepare(network.model, device, compiled=compiled)
    return network


def _write_random(file: Path, weights: ResolvedWeights) -> Path:
    from safetensors.torch import save_file

    model_v2 = feat_module("multitask.model_v2")
    config = ARCHITECTURES[weights.identity["size"]]
    settings = model_v2.ModelV2Config(**config, pretrained=False)
    model = seeded(int(weights.identity["seed"]), lambda: model_v2.MEGraphAUv2(settings))
    save_file(model.state_dict(), str(file), metadata={"config": json.dumps(config)})
    return file
