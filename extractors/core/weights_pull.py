"""`merflow weights pull`: fetch weights once. The only module of merflow that uses the network for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.schema import Weights
from extractors.core.weights import WEIGHT_FILES, sha256_of
from extractors.core.weights_record import mismatch, record
from storage.errors import RunError

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
    fetched = [p for p in sorted(folder.iterdir()) if p.name == name or p.suffix in SETTING_SUFFIXES]
    files = {p.name: sha256_of(p) for p in fetched}
    if weights.sha256 not in {None, files[name]}:
        raise mismatch(f"{weights.hub}@{weights.revision}", name, str(weights.sha256), files[name])
    pulled = {"repo": weights.hub, "revision": weights.revision, "commit": folder.name, "files": files}
    record(pulled)
    return pulled


def _download(repo: str, revision: str, weights_file: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = [*(f"*{suffix}" for suffix in SETTING_SUFFIXES), weights_file]
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except (OSError, ValueError) as error:
        raise RunError(f"weights {repo}@{revision}: {' '.join(str(error).split())}") from error
