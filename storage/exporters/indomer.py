"""IndoMER's feature PKLs: a list of dicts per split and modality, every clip padded with zeros to one length.

```
video_feature/<split>_video_features.pkl      [{"video_name": "<clip>.mp4", "video_feature": (T, 673) float32}, ...]
audio_feature/<split>_audio_features.pkl      [{"audio_name": "<clip>.wav", "audio_feature": (T, 18) float32}, ...]
.../<split>_*_features.lengths.json           true number of rows of each clip
.../columns.json                              name and source of each column
videos_feature/                               the same as video_feature/: IndoMER's README uses both names
missing.json, provenance.json                 clips that were left out; where the numbers come from
```

Clips are in manifest order. Zeros are appended at the end, up to the longest clip. Rows that are not valid (no face)
become zeros with `success` 0, as OpenFace writes them. The files load with NumPy 1.24 and newer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storage.errors import RunError
from storage.exporters._base import choice, some, spec_of
from storage.exporters._openface import BLOCKS, PRESETS
from storage.exporters._padded import Modality, link_tree, write_json, write_modality
from storage.records import CLIP_ID, FeatureSpec

if TYPE_CHECKING:
    from storage.store import FeatureStore

OPTIONS = {
    "video_feature": "feature with OpenFace's columns; default action_units",
    "audio_feature": "feature of the audio PKLs; default gemaps",
    "preset": f"columns of the video PKLs: {' or '.join(PRESETS)}; default the first",
    "length": "all (one length over all splits) or per_split; default all",
    "default_split": "split of clips that have none, such as train",
    "missing": "what to do with clips that lack a feature: error or omit; default error",
}
_DEFAULTS = {"video": "action_units", "audio": "gemaps"}
_GEMAPS_WIDTH = 18


def features_of(store: FeatureStore, options: Mapping[str, str]) -> list[str]:
    """The video and the audio feature.

    Raises:
        RunError: If the store lacks one of them.
    """
    names = {kind: options.get(f"{kind}_feature", default) for kind, default in _DEFAULTS.items()}
    return [spec_of(store, name, f"; choose one with {kind}_feature=NAME").name for kind, name in names.items()]


def write(store: FeatureStore, destination: Path, options: Mapping[str, str], provenance: str) -> list[str]:
    """Write the tree; one split of one modality is in memory at a time.

    Raises:
        RunError: If an option is wrong, a clip has no split or lacks a feature and no option says what to do, or the
            video feature lacks columns.
    """
    video, audio = (store.specs[name] for name in features_of(store, options))
    modalities = [
        _video(video, choice(options, "preset", tuple(PRESETS))),
        Modality("audio", ".wav", audio, "native", (), np.arange(len(audio.columns))),
    ]
    one_length = choice(options, "length", ("all", "per_split")) == "all"
    splits = _splits(store, options.get("default_split"))
    missing = {m.kind: _missing(store, m.spec, splits) for m in modalities}
    if choice(options, "missing", ("error", "omit")) == "error":
        _refuse(missing, modalities)
    destination.mkdir()
    lines = [line for m in modalities for line in write_modality(store, destination, m, splits, one_length)]
    link_tree(destination / "video_feature", destination / "videos_feature")
    write_json(destination / "missing.json", missing)
    (destination / "provenance.json").write_text(f"{provenance}\n", encoding="utf-8")
    return [*lines, *_remarks(missing, audio)]


def _video(spec: FeatureSpec, preset: str) -> Modality:
    places = {name: i for i, name in enumerate(spec.columns)}
    absent = [name for name in BLOCKS if name not in places]
    if absent:
        raise RunError(
            f"feature {spec.name} lacks {len(absent)} of OpenFace's {len(BLOCKS)} columns: {some(absent)}; "
            f"choose another one with --opt video_feature=NAME"
        )
    return Modality("video", ".mp4", spec, preset, PRESETS[preset], np.array([places[name] for name in BLOCKS]))


def _splits(store: FeatureStore, default: str | None) -> dict[str, list[str]]:
    """Ids of each split, in manifest order."""
    splits: dict[str, list[str]] = defaultdict(list)
    for clip in store.clips():
        split = clip.split or default
        if split is None:
            raise RunError(f"clip {clip.id} has no split; --opt default_split=train puts such clips into train")
        if not CLIP_ID.fullmatch(split):
            raise RunError(f"clip {clip.id}: split {split!r} cannot be part of a file name")
        splits[split].append(clip.id)
    return dict(splits)


def _missing(store: FeatureStore, spec: FeatureSpec, splits: Mapping[str, Sequence[str]]) -> list[str]:
    return [clip_id for ids in splits.values() for clip_id in ids if not store.has(clip_id, spec.name)]


def _refuse(missing: Mapping[str, Sequence[str]], modalities: Sequence[Modality]) -> None:
    for modality in modalities:
        ids = missing[modality.kind]
        if ids:
            raise RunError(
                f"{len(ids)} clips have no {modality.spec.name}: {some(ids)}; "
                f"--opt missing=omit leaves them out of the {modality.kind} PKLs and lists them in missing.json"
            )


def _remarks(missing: Mapping[str, Sequence[str]], audio: FeatureSpec) -> list[str]:
    lines = [f"{kind}: {len(ids)} clips left out: {some(ids)}" for kind, ids in missing.items() if ids]
    if len(audio.columns) != _GEMAPS_WIDTH:
        lines.append(f"note: {audio.name} has {len(audio.columns)} columns; IndoMER's audio has 18 (GeMAPSv01b)")
    return lines
