"""The trees that MERTools reads: `NAME-UTT` and `NAME-FRA` folders of npy, the label npz, transcripts, face crops.

```
features/<NAME>-UTT/<clip>.npy     (D,) float32: mean of the valid rows
features/<NAME>-FRA/<clip>.npy     (T, D) float32: zeros in rows that are not valid
label.npz                          train_corpus, val_corpus, test_corpus (or test1_corpus, ..., or whole_corpus):
                                   {clip: {"emo": word or number, "val": number}} in an array of one object
classes.json                       what the numbers of `emo` mean, with emo=index
transcription.csv                  name,chinese,english; name,sentence where a text is in neither or nobody knows
openface_face/<clip>/<clip>.npy    (N, 112, 112, 3) uint8 BGR, with faces=true
missing.json, provenance.json      clips that were left out; where the numbers come from
```

NAME is joined with `_` for openSMILE's sets and a few networks, as MERTools' own scripts do. A row that is not valid (a
picture without a face) keeps its place, so that rows stay in step with the pictures; MERTools' own sign of failure is
zeros, too. Face crops are upright squares around the stored boxes of the pictures with a face, not aligned as
OpenFace's are. MERTools: github.com/zeroQiaoba/MERTools; npz and npy load with NumPy 1.24 and newer.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from storage.errors import RunError
from storage.exporters._base import some, write_json
from storage.exporters._common import filled, lacking, refuse_lacking, write_records
from storage.exporters._mertools_check import FACE_SIDE, FACES, FEATURES, NO_VALENCE, TRANSCRIPT, check_tree
from storage.exporters._mertools_settings import BOXES, OPTIONS, Settings, corpora_of, settings_of
from storage.exporters._per_clip import pooled, require_labels, word_of, write_npy
from storage.exporters._pictures import pictures_at, reader_for
from storage.legacy_pickle import dump_npz

if TYPE_CHECKING:
    from storage.exporters import PictureReader
    from storage.records import Clip, Features
    from storage.store import FeatureStore

__all__ = ["OPTIONS", "check", "features_of", "write", "write_pictures"]


def features_of(store: FeatureStore, options: Mapping[str, str]) -> list[str]:
    """Features to export, and the one with the face boxes if crops are asked for.

    Raises:
        RunError: If an option is wrong or the store lacks a feature.
    """
    return settings_of(store, options).features


def write(store: FeatureStore, destination: Path, options: Mapping[str, str], provenance: str) -> list[str]:
    """Write the trees, one clip in memory at a time.

    Raises:
        RunError: If an option is wrong, or a clip lacks something and no option says what to do.
    """
    settings, corpora = settings_of(store, options), corpora_of(store, options)
    if settings.missing == "error":
        refuse_lacking(lacking(store, settings.features), options, "leaves them out")
    if settings.labels == "error" and settings.emo != "zero":
        require_labels(store, settings.classes, "--opt labels=omit leaves them out of the npz")
    destination.mkdir()
    without: dict[str, list[str]] = defaultdict(list)
    kept = {clip.id: clip for clip in store.clips() if _write_clip(store, destination, clip, settings, without)}
    lines = [f"{len(kept)} clips, {' and '.join(settings.levels)}: {', '.join(settings.folders.values())}"]
    if settings.labels != "none":
        lines += _write_labels(destination, settings, corpora, kept, without)
    lines += [*_write_transcript(destination, kept.values()), *settings.remarks]
    write_records(destination, without, provenance)
    return [*lines, *(f"{what}: {len(ids)} clips have none: {some(ids)}" for what, ids in without.items())]


def _write_clip(
    store: FeatureStore, folder: Path, clip: Clip, settings: Settings, without: dict[str, list[str]]
) -> bool:
    """Write a clip's npy; False if it is left out."""
    found = {name: store.get(clip.id, name) for name in settings.folders if store.has(clip.id, name)}
    absent = [name for name in settings.folders if name not in found or not found[name].valid.any()]
    if absent and settings.missing == "error":
        raise RunError(
            f"clip {clip.id}, feature {absent[0]}: expected a valid row, got none; "
            f"--opt missing=omit leaves such clips out, missing=zeros writes zeros"
        )
    for name in absent:
        without[name].append(clip.id)
    if absent and settings.missing == "omit":
        return False
    for name, stem in settings.folders.items():
        spec, features = store.specs[name], None if name in absent else found.pop(name)
        for level in settings.levels:
            if level == "UTT" or spec.level == "frame":
                path = folder / FEATURES / f"{stem}{level}" / f"{clip.id}.npy"
                write_npy(path, _rows(features, len(spec.columns), level))
    return True


def _rows(features: Features | None, width: int, level: str) -> npt.NDArray[np.float32]:
    """(D,) or (T, D) values; zeros, (D,) or (1, D), where there are none."""
    if features is None:
        return np.zeros(width if level == "UTT" else (1, width), np.float32)
    vector = pooled(features) if level == "UTT" else filled(features)
    return np.zeros(width, np.float32) if vector is None else vector


def _write_labels(
    folder: Path,
    settings: Settings,
    corpora: Mapping[str, Sequence[str]],
    kept: Mapping[str, Clip],
    without: dict[str, list[str]],
) -> list[str]:
    labels: dict[str, dict[str, dict[str, object]]] = {}
    for corpus, ids in corpora.items():
        labels[corpus] = {}
        for clip_id in ids:
            emotion = _emotion(kept[clip_id], settings) if clip_id in kept else None
            if emotion is not None:
                valence = kept[clip_id].dimensions.get(settings.valence, NO_VALENCE)
                labels[corpus][clip_id] = {"emo": emotion, "val": float(valence)}
            elif clip_id in kept:
                without["label"].append(clip_id)
    with (folder / settings.labels_file).open("wb") as file:
        dump_npz(labels, file)
    if settings.emo == "index":
        write_json(folder / "classes.json", {"emo": list(settings.classes)})
    return [f"{settings.labels_file}: " + ", ".join(f"{corpus} {len(members)}" for corpus, members in labels.items())]


def _emotion(clip: Clip, settings: Settings) -> str | int | None:
    if settings.emo == "zero":
        return 0
    word = word_of(clip, settings.classes)
    return settings.classes.index(word) if word is not None and settings.emo == "index" else word


def _write_transcript(folder: Path, clips: Collection[Clip]) -> list[str]:
    """Texts in the column of their language if that is Chinese or English for all of them, else in `sentence`."""
    texts = {clip.id: clip.text or "" for clip in clips}
    if not any(texts.values()):
        return [f"{TRANSCRIPT}: not written, no clip has a text"]
    languages = {clip.id: (clip.language or "").split("-")[0].lower() for clip in clips if clip.text}
    header, rows = ["name", "sentence"], [[name, text] for name, text in texts.items()]
    if set(languages.values()) <= {"zh", "en"}:
        header = ["name", "chinese", "english"]
        rows = [[name, *(text if languages.get(name) == code else "" for code in ("zh", "en"))] for name, text in rows]
    with (folder / TRANSCRIPT).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return [f"{TRANSCRIPT}: {sum(map(bool, texts.values()))} texts in {', '.join(header[1:])}"]


def write_pictures(
    store: FeatureStore, destination: Path, options: Mapping[str, str], reader: PictureReader | None
) -> list[str]:
    """Write the face crops, if asked for, one clip in memory at a time; none for a clip without a face.

    Raises:
        RunError: If nothing was given to read media with, or a clip's media cannot be read.
    """
    settings = settings_of(store, options)
    if settings.faces is None:
        return []
    given, root = reader_for(reader, "faces"), store.manifest.root
    places = [settings.faces.columns.index(name) for name in BOXES]
    kept, faceless = _kept(destination), []
    for clip in (clip for clip in store.clips() if clip.id in kept):
        features = store.get(clip.id, settings.faces.name) if store.has(clip.id, settings.faces.name) else None
        rows = [] if features is None else np.flatnonzero(features.valid).tolist()
        boxes = {} if features is None else {row: features.values[row, places] for row in rows}
        crops = [given.face(picture, boxes[row], FACE_SIDE) for row, picture in pictures_at(given, clip, root, boxes)]
        if crops:
            write_npy(destination / FACES / clip.id / f"{clip.id}.npy", np.stack(crops)[..., ::-1])
        else:
            faceless.append(clip.id)
    return [f"{FACES}: {len(kept) - len(faceless)} clips" + (f"; no face: {some(faceless)}" if faceless else "")]


def _kept(folder: Path) -> set[str]:
    """Clips that have npy files."""
    return {path.stem for path in (folder / FEATURES).glob("*/*.npy")}


def check(folder: Path) -> Iterator[str]:
    """What is wrong with an export, one line per problem: clip, field, expected, got."""
    return check_tree(folder)
