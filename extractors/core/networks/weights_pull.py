"""`merflow weights pull`: fetch weights once. The only module of merflow that uses the network for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.errors import RunError
from configs.weights import WEIGHT_FILES, Weights
from extractors.core.networks.languages import CARD
from extractors.core.networks.weights_files import INDEX_FILES, sha256_of, shards_of, weights_sha256
from extractors.core.networks.weights_record import mismatch, record
from extractors.core.networks.weights_url import Progress, fetch

POOLING_FILE = "1_Pooling/config.json"
SETTING_SUFFIXES = (".json", ".txt", ".model", ".yaml")  # `.model` is a tokenizer's


def pull(weights: Weights, names: Sequence[str] = WEIGHT_FILES, progress: Progress | None = None) -> dict[str, Any]:
    """Fetch a Hugging Face repository's weights into the local cache, or a file by its address, and record what came.

    Gated repositories want a token (`HF_TOKEN`), mirrors are named by `HF_ENDPOINT`; what broke off is resumed.

    Args:
        weights: What to fetch.
        names: Names that the weights file may have; the first that the repository holds is fetched, else the shards
            that an index names.
        progress: Called with the bytes that are here, and all of them, of a file that is fetched by its address.

    Returns:
        `repo`, `revision`, `commit` and `files` (SHA-256 by name); empty for `local` and `random`, which have
        nothing to fetch.

    Raises:
        RunError: If the repository, its weights or the network are not there, or what came is not what the record
            or `weights` say.
    """
    if weights.url is not None:
        path = fetch(weights, progress)
        return {"repo": weights.url, "commit": "", "files": {path.name: weights.sha256}}
    if weights.hub is None:
        return {}
    revision = weights.revision
    for name in (*names, *INDEX_FILES):
        folder = _download(weights.hub, revision, name)
        if (folder / name).is_file():
            break
        revision = folder.name  # a branch may move between two downloads
    else:
        raise RunError(f"weights {weights.hub}@{weights.revision}: the repository holds no {' or '.join(names)}")
    shards = shards_of(folder / name) if name in INDEX_FILES else []
    for shard in shards:
        _download(weights.hub, folder.name, shard, nested=True)
    if (folder / "modules.json").is_file():  # a sentence encoder: how token vectors become one
        _download(weights.hub, folder.name, POOLING_FILE, nested=True)
    settings = [p.name for p in folder.iterdir() if p.suffix in SETTING_SUFFIXES]
    fetched = [n for n in (name, *shards, POOLING_FILE, *settings) if (folder / n).is_file()]
    files = {n: sha256_of(folder / n) for n in sorted(set(fetched))}
    digest = weights_sha256(folder / name)
    if weights.sha256 not in {None, digest}:
        raise mismatch(f"{weights.hub}@{weights.revision}", name, str(weights.sha256), digest)
    pulled = {"repo": weights.hub, "revision": weights.revision, "commit": folder.name, "files": files}
    record(pulled)
    return pulled


def _download(repo: str, revision: str, file: str, *, nested: bool = False) -> Path:
    """Fetch a file and, but for one in a folder of the repository, the settings beside it."""
    from huggingface_hub import snapshot_download

    patterns = [file] if nested else [*(f"*{suffix}" for suffix in SETTING_SUFFIXES), CARD, file]
    ignored = None if nested else ["*/*"]
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, ignore_patterns=ignored))
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        gated = type(error).__name__ == "GatedRepoError" or "gated repo" in said.lower()
        hint = "; accept its terms on its page, and set HF_TOKEN to a token of that account" if gated else ""
        raise RunError(f"weights {repo}@{revision}: {said[:300]}{hint}") from error


def bytes_needed(weights: Weights, names: Sequence[str] = WEIGHT_FILES) -> int | None:
    """How large a repository's weights are; None where nobody says, or they are here.

    Args:
        weights: What would be fetched.
        names: Names that the weights file may have.
    """
    from huggingface_hub import HfApi

    if weights.hub is None:
        return None
    try:
        found = HfApi().model_info(weights.hub, revision=weights.revision, files_metadata=True, timeout=30)
    except (OSError, ValueError):
        return None
    sizes = {file.rfilename: file.size or 0 for file in found.siblings or ()}
    single = next((sizes[name] for name in names if name in sizes), None)
    if single is not None:
        return single
    return sum(size for name, size in sizes.items() if name.endswith((".safetensors", ".bin"))) or None
