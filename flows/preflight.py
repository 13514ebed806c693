"""What must be right before a run begins to work; `merflow doctor` asks the same.

Each check raises an error of one line that says what to do, or gives a line that says what it found.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from configs.paths import is_remote
from extractors.core.extractor import Extractor
from flows.job import versions
from flows.machine import visible_gpus
from flows.places import PLACES
from flows.plan import Plan, crop_roots
from flows.publisher import RESERVE_BYTES
from storage.atomic import temporary_name
from storage.manifest import Manifest
from storage.manifest_files import parquet_languages
from storage.released_crops import find_crops, names_of
from storage.remote import is_folder
from storage.store.files import free_bytes, remove, write_small
from storage.store.store import FeatureStore
from storage.store.survey import Survey
from storage.wording import counted, size_of

VIDEO_ROWS, OTHER_ROWS = 30.0, 100.0
"""Rows in a second where a feature does not say: a video's frames, and anything else's."""
_ROW_BYTES = 17  # two times and a flag
_CLIP_BYTES = 200  # id, digests, generation and offsets
_FIRST_CLIPS, _SOME_CLIPS = 100, 10


def check_place(path: Path) -> str:
    """Refuse a store where nothing can be written.

    Args:
        path: Folder of the store; it need not exist.

    Raises:
        RunError: If it cannot be written.
    """
    folder = nearest_folder(path)
    try:
        if is_remote(folder):
            probe = folder / temporary_name()
            write_small(probe, "")
            remove(probe)
        else:
            with tempfile.NamedTemporaryFile(prefix=".tmp-", dir=folder):
                pass
    except OSError as error:
        why = PLACES.get(error.errno or 0) or error.strerror
        raise RunError(f"{folder}: cannot be written: {why}") from error
    return f"{folder} can be written"


def check_space(path: Path, needed: int = 0) -> str:
    """Refuse to begin what will not fit.

    Args:
        path: Folder of the store; it need not exist.
        needed: Bytes that a run will write.

    Raises:
        RunError: If there is less space than that and a reserve.
    """
    folder = nearest_folder(path)
    if is_remote(folder):
        return f"{folder}: object storage, whose space nobody knows"
    free = free_bytes(folder)
    if free < needed + RESERVE_BYTES:
        reserve = f"{size_of(RESERVE_BYTES)} of reserve"
        wants = f"about {size_of(needed)} and {reserve}" if needed else f"at least {reserve}"
        raise RunError(
            f"{folder}: {size_of(free)} free, the run needs {wants}; free some space, choose another place, or fewer "
            f"clips or features (--limit, --features)"
        )
    return f"{folder}: {size_of(free)} free" + (f", the run needs about {size_of(needed)}" if needed else "")


def estimated_bytes(extractors: Iterable[Extractor[Any]], plan: Plan, survey: Survey) -> int:
    """Bytes that a run will write if every clip succeeds: stores are not compressed, so it is rows times width.

    Args:
        extractors: Of the run.
        plan: What each clip misses.
        survey: Of the store.
    """
    seconds = np.nan_to_num(survey.columns.seconds[plan.rows])
    total = 0.0
    for number, extractor in enumerate(extractors):
        spec = extractor.spec
        mine = seconds[plan.missing[:, number]]
        per_row = len(spec.columns) * np.dtype(spec.dtype).itemsize + _ROW_BYTES
        rate = 1 / spec.hop if spec.hop else VIDEO_ROWS if spec.modality == "video" else OTHER_ROWS
        rows = len(mine) if spec.level == "utterance" else float(mine.sum()) * rate
        total += rows * per_row + len(mine) * _CLIP_BYTES
    return int(total)


def check_media(manifest: Manifest, clips: npt.NDArray[np.int64], store: Path | None = None) -> str:
    """Refuse to work without the media: recording every clip as failed would be wrong.

    Args:
        manifest: The clips.
        clips: (n,) places of those that a run is about, ascending.
        store: Folder of the store, where there is one: `merflow relocate` corrects it.

    Raises:
        RunError: If a media folder is not there.
    """
    seen: set[Path] = set()
    for clip in manifest.take(clips):
        root = manifest.root_of(clip)
        if root in seen:
            continue
        seen.add(root)
        if not is_folder(root):
            name = clip.root or next(iter(manifest.roots))
            correct = "" if store is None else f", or say where it is now: merflow relocate {store} {name}=PATH"
            raise RunError(
                f"{root}: the media folder {name!r} does not exist; move it back, give --root {name}=PATH{correct}"
            )
        if len(seen) == len(manifest.roots):
            break
    return ", ".join(f"{root} is there" for root in sorted(seen)) or "no clip needs any"


def check_crops(extractors: Sequence[Extractor[Any]], manifest: Manifest, clips: npt.NDArray[np.int64]) -> str:
    """Refuse to work without the released crops, or where they are looked for in a wrong place.

    Args:
        extractors: Of the run.
        manifest: The clips.
        clips: (n,) places of those that the run is about, ascending.

    Raises:
        RunError: If a folder of crops is not there, or has none of the first clips, be they ten or more.
    """
    roots = sorted(set(crop_roots(extractors).values()))
    for root in roots:
        if not root.is_dir():
            raise RunError(f"{root}: no such folder of released crops; move it back, or correct `root:`")
        first = clips[:_FIRST_CLIPS]
        if len(first) >= _SOME_CLIPS and not any(find_crops(root, clip) for clip in manifest.take(first)):
            one = names_of(next(manifest.take(first[:1])))[0]
            raise RunError(
                f"{root}: has no crops of the first {len(first)} clips; expected {one}/{one}.npy or a folder of "
                f"images; correct `root:`"
            )
    return ", ".join(f"{root} is there" for root in roots) or "no feature needs any"


def check_versions(store: FeatureStore, extractors: Sequence[Extractor[Any]]) -> str:
    """Refuse to complete a feature with other versions of libraries than it was begun with.

    Args:
        store: The store.
        extractors: Of the run.

    Raises:
        RunError: Names the library and both versions.
    """
    for extractor in extractors:
        now = versions(extractor.libraries)
        for then in store.versions(extractor.feature):
            for name in sorted(then.keys() & now.keys()):
                if then[name] != now[name]:
                    raise RunError(
                        f"{store.path}: feature {extractor.feature} was made with {name} {then[name]}, this machine "
                        f"has {now[name]}; install that version, use a new store, or give --allow-mixed-versions"
                    )
    return "the store's features were begun with this machine's versions"


def language_remarks(
    extractors: Iterable[Extractor[Any]], manifest: Manifest, rows: npt.NDArray[np.int64]
) -> list[str]:
    """A line for each feature whose model was trained on other languages than the clips are in.

    Args:
        extractors: Of the run.
        manifest: The store's.
        rows: Numbers of the clips of the run.
    """
    models = {e.feature: e.languages for e in extractors if e.languages}
    if not models:
        return []
    counts = parquet_languages(manifest.path, rows)
    remarks = []
    for feature, known in models.items():
        others = {name: n for name, n in counts.items() if name.lower().split("-")[0] not in known}
        if others:
            listed = ", ".join(f"{name}: {counted(n, 'clip')}" for name, n in sorted(others.items(), key=_most_first))
            remarks.append(f"{feature}: its model is for {', '.join(sorted(known))}; other languages: {listed}")
    return remarks


def _most_first(counts: tuple[str, int]) -> tuple[int, str]:
    return -counts[1], counts[0]


def check_devices(extractors: Iterable[Extractor[Any]]) -> str:
    """Refuse to work for weeks on the CPU beside a GPU that this torch cannot use.

    Args:
        extractors: Of the run.

    Raises:
        RunError: If there are GPUs and torch sees none of them.
    """
    gpus = visible_gpus()
    networks = sorted(e.feature for e in extractors if e.weights is not None)
    if not gpus:
        return "no GPU: networks run on the CPU"
    if networks:
        import torch

        if not torch.cuda.is_available():
            raise RunError(
                f"{len(gpus)} GPUs, but torch {torch.__version__} cannot use them, and {', '.join(networks)} would "
                f"take long; install the CUDA build of torch, or set CUDA_VISIBLE_DEVICES= to use the CPU"
            )
    return f"GPUs for networks: {len(gpus)}"


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    if is_remote(path):
        return path
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.is_dir())
