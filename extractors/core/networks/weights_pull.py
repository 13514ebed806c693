"""`merflow weights pull`: fetch weights once. The only module of merflow that uses the network for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.errors import RunError
from configs.schema import WEIGHT_FILES, Weights
from extractors.core.networks.weights import sha256_of
from extractors.core.networks.weights_record import mismatch, record

POOLING_FILE = "1_Pooling/config.json"
SETTING_SUFFIXES = (".json", ".txt", ".model")  # the last one is a tokenizer's


def pull(weights: Weights, names: Sequence[str] = WEIGHT_FILES) -> dict[str, Any]:
    """Fetch a Hugging Face repository's weights into the local cache and record what came.

    Args:
        weights: What to fetch.
        names: Names that the weights file may have; the first that the repository holds is fetched.

    Returns:
        `repo`, `revision`, `commit` and `files` (SHA-256 by name); empty for `local` and `random`, which have
        nothing to fetch.

    Raises:
        RunError: If the repository, its weights or the network are not there, or what came is not what the record
            or `weights` say.
    """
    if weights.hub is None:
        return {}
    revision = weights.revision
    for name in names:
        folder = _download(weights.hub, revision, name)
        if (folder / name).is_file():
            break
        revision = folder.name  # a branch may move between two downloads
    else:
        raise RunError(f"weights {weights.hub}@{weights.revision}: the repository holds no {' or '.join(names)}")
    if (folder / "modules.json").is_file():  # a sentence encoder: how token vectors become one
        _download(weights.hub, folder.name, POOLING_FILE, nested=True)
    settings = [p.name for p in folder.iterdir() if p.suffix in SETTING_SUFFIXES]
    fetched = [n for n in (name, POOLING_FILE, *settings) if (folder / n).is_file()]
    files = {n: sha256_of(folder / n) for n in sorted(set(fetched))}
    if weights.sha256 not in {None, files[name]}:
        raise mismatch(f"{weights.hub}@{weights.revision}", name, str(weights.sha256), files[name])
    pulled = {"repo": weights.hub, "revision": weights.revision, "commit": folder.name, "files": files}
    record(pulled)
    return pulled


def _download(repo: str, revision: str, file: str, *, nested: bool = False) -> Path:
    """Fetch a file and, but for one in a folder of the repository, the settings beside it."""
    from huggingface_hub import snapshot_download

    patterns = [file] if nested else [*(f"*{suffix}" for suffix in SETTING_SUFFIXES), file]
    ignored = None if nested else ["*/*"]
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, ignore_patterns=ignored))
    except (OSError, ValueError) as error:
        raise RunError(f"weights {repo}@{revision}: {' '.join(str(error).split())}") from error
