"""The trees that MERTools reads: `NAME-UTT` and `NAME-FRA` folders of npy, the label npz, transcripts, face crops.

```
features/<NAME>-UTT/<clip>.npy     (D,) float32: mean of the valid rows
features/<NAME>-FRA/<clip>.npy     (T, D) float32: zeros in rows that are not valid
label.npz                          train_corpus, val_corpus, test_corpus (or test1_corpus, ..., or whole_corpus):
                                   {clip: {"emo": word or number, "val": number}} in an array of one object
classes.json                       what the numbers of `emo` mean, with emo=index
transcription.csv                  name,chinese,english; in both columns where a text is in neither or nobody knows;
                                   transcription-engchi-polish.csv for edition=mer2024 and mer2026
openface_face/<clip>/<clip>.npy    (N, 112, 112, 3) uint8 BGR, with faces=true
missing.json, provenance.json      clips that were left out; where the numbers come from
```

NAME is joined with `_` for openSMILE's sets and a few networks, as MERTools' own scripts do. A row that is not valid (a
frame without a face) keeps its place, so that rows stay in step with the frames; MERTools' own sign of failure is
zeros, too. Face crops are upright squares around the stored boxes of the frames with a face, not aligned as
OpenFace's are. MERTools: github.com/zeroQiaoba/MERTools; npz and npy load with NumPy 1.24 and newer.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from storage.exporters._shared.arrays import as_dtype, filled, pooled, window_order
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.files import write_json, write_npy, write_records
from storage.exporters._shared.frames import frames_at, require_reader
from storage.exporters._shared.labels import UnlabelledRule, check_label_map, word_of
from storage.exporters._shared.legacy_pickle import dump_npz
from storage.exporters._shared.selection import abbreviate, clips_without, refuse_missing
from storage.exporters._shared.validation import NOT_TEXT
from storage.exporters.mertools.layout import FACE_SIDE, FACES, FEATURES, NO_LABELS, NO_VALENCE
from storage.exporters.mertools.options import MertoolsOptions, Sources, corpora_of, find_sources
from storage.exporters.mertools.validate import validate_tree
from storage.vocabulary.face_columns import BOX
from storage.wording import counted, having

if TYPE_CHECKING:
    from storage.clip import Clip
    from storage.exporters._shared.frames import FrameReader
    from storage.records import Features, FeatureSpec
    from storage.store.store import FeatureStore


class MertoolsExporter(Exporter[MertoolsOptions]):
    """One npy per clip, feature and level, the label npz, transcripts and, if asked for, face crops."""

    name = "mertools"
    Options = MertoolsOptions

    @cached_property
    def _sources(self) -> Sources:
        return find_sources(self.store, self.options)

    def features(self) -> list[str]:
        """Features to export, and the one with the face boxes if crops are asked for.

        Raises:
            RunError: If the store lacks a feature, or an option does not fit it.
        """
        return self._sources.features

    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write the trees, one clip in memory at a time.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Raises:
            RunError: If a clip lacks something and no option says what to do.
        """
        store, options, sources = self.store, self.options, self._sources
        corpora = corpora_of(store, options)
        if options.missing == "error":
            refuse_missing(clips_without(store, sources.features), options.missing, "leaves them out")
        labels = _Labels(store, options)
        if options.labels_file != NO_LABELS:
            labels.check()
        destination.mkdir()
        without: dict[str, list[str]] = defaultdict(list)
        kept = {clip.id: clip for clip in store.clips() if self._write_clip(destination, clip, without)}
        folders = ", ".join(sources.folders.values())
        lines = [f"{counted(len(kept), 'clip')}, {' and '.join(options.written_levels)}: {folders}"]
        if options.labels_file != NO_LABELS:
            lines += _write_labels(destination, labels, corpora, kept, without)
        lines += [*_write_transcript(destination / options.transcript, kept.values()), *sources.remarks]
        write_records(destination, without, provenance)
        absent = (f"{what}: {having(len(ids), 'clip')} none: {abbreviate(ids)}" for what, ids in without.items())
        return [*lines, *absent]

    def write_frames(self, destination: Path, reader: FrameReader | None) -> list[str]:
        """Write the face crops, if asked for, one clip in memory at a time; none for a clip without a face.

        Args:
            destination: The trees.
            reader: Decodes clips.

        Raises:
            RunError: If nothing was given to read media with, or a clip's media cannot be read.
        """
        faces = self._sources.faces
        if faces is None:
            return []
        store, reader = self.store, require_reader(reader, "faces")
        places = [faces.columns.index(name) for name in BOX]
        kept, faceless = _kept(destination), []
        manifest = store.manifest
        for clip in (clip for clip in store.clips() if clip.id in kept):
            features = store.get(clip.id, faces.name) if store.has(clip.id, faces.name) else None
            rows = [] if features is None else np.flatnonzero(features.valid).tolist()
            boxes = {} if features is None else {row: features.values[row, places] for row in rows}
            frames = frames_at(reader, clip, manifest.root_of(clip), boxes)
            crops = [reader.face(frame, boxes[row], FACE_SIDE) for row, frame in frames]
            if crops:
                write_npy(destination / FACES / clip.id / f"{clip.id}.npy", np.stack(crops)[..., ::-1])
            else:
                faceless.append(clip.id)
        remark = f"; no face: {abbreviate(faceless)}" if faceless else ""
        return [f"{FACES}: {counted(len(kept) - len(faceless), 'clip')}{remark}"]

    @staticmethod
    def validate(path: Path) -> Iterator[str]:
        """Re-read the trees; see `validate_tree`."""
        return validate_tree(path)

    def _write_clip(self, folder: Path, clip: Clip, without: dict[str, list[str]]) -> bool:
        """Write a clip's npy; False if it is left out."""
        store, missing, folders = self.store, self.options.missing, self._sources.folders
        available = {name: store.get(clip.id, name) for name in folders if store.has(clip.id, name)}
        absent = [name for name in folders if name not in available or not available[name].valid.any()]
        if absent and missing == "error":
            raise RunError(
                f"clip {clip.id}, feature {absent[0]}: expected a valid row, got none; "
                f"--opt missing=omit leaves such clips out, missing=zeros writes zeros"
            )
        for name in absent:
            without[name].append(clip.id)
        if absent and missing == "omit":
            return False
        for name, stem in folders.items():
            spec, features = store.specs[name], None if name in absent else available.pop(name)
            for level in self.options.written_levels:
                if level == "UTT" or spec.level == "frame":
                    path = folder / FEATURES / f"{stem}{level}" / f"{clip.id}.npy"
                    write_npy(
                        path, as_dtype(_rows(features, spec, level), self.options.dtype, f"clip {clip.id}, {name}")
                    )
        return True


def _rows(features: Features | None, spec: FeatureSpec, level: str) -> npt.NDArray[np.float32]:
    """(D,) or (T, D) values, in the order of the script that is re-enacted; zeros, (D,) or (1, D), without any."""
    width = len(spec.columns)
    if features is None:
        return np.zeros(width if level == "UTT" else (1, width), np.float32)
    vector = pooled(features) if level == "UTT" else filled(features)
    if level == "FRA" and "script_order" in spec.recipe and vector is not None:
        return vector[window_order(features.times)]
    return np.zeros(width, np.float32) if vector is None else vector


class _Labels:
    """What the label npz says of each clip."""

    def __init__(self, store: FeatureStore, options: MertoolsOptions) -> None:
        self.options, self._store = options, store
        self._rule = UnlabelledRule(options)
        self._map = check_label_map(options.labels, options.classes)
        names = sorted({name for clip in store.clips() for name in clip.dimensions})
        self.has_val = options.val in names
        if "val" in options.model_fields_set and not self.has_val:
            available = ", ".join(names) or "none"
            raise RunError(f"option val: no clip has the dimension {options.val!r}; dimensions: {available}")

    def check(self) -> None:
        """Refuse clips without a label, or without a number where others have one, that no option allows."""
        unlabelled = [clip for clip in self._store.clips() if self._own(clip) is None]
        number = f" and a number of {self.options.val}" if self.has_val else ""
        self._rule.refuse(unlabelled, f"one of {', '.join(self.options.classes)}{number}")

    def of(self, clip: Clip) -> dict[str, object] | None:
        """Its entry; None if it is left out."""
        own = self._own(clip)
        if own is None and not self._rule.is_left_out(clip):
            word = self._rule.of(clip)
            if self.options.emo != "zero" and word not in self.options.classes:
                raise RunError(f"option unlabelled: expected one of {', '.join(self.options.classes)}; got {word!r}")
            return {"emo": self._coded(word), "val": float(clip.dimensions.get(self.options.val, NO_VALENCE))}
        return own

    def _own(self, clip: Clip) -> dict[str, object] | None:
        options = self.options
        word = word_of(clip, options.classes, self._map)
        if (word is None and options.emo != "zero") or (self.has_val and options.val not in clip.dimensions):
            return None
        return {"emo": self._coded(word or ""), "val": float(clip.dimensions.get(options.val, NO_VALENCE))}

    def _coded(self, word: str) -> str | int:
        if self.options.emo == "zero":
            return 0
        return self.options.classes.index(word) if self.options.emo == "index" else word


def _write_labels(
    folder: Path,
    labels: _Labels,
    corpora: Mapping[str, Sequence[str]],
    kept: Mapping[str, Clip],
    without: dict[str, list[str]],
) -> list[str]:
    options = labels.options
    members: dict[str, dict[str, dict[str, object]]] = {}
    for corpus, ids in corpora.items():
        members[corpus] = {}
        for clip_id in ids:
            entry = labels.of(kept[clip_id]) if clip_id in kept else None
            if entry is not None:
                members[corpus][clip_id] = entry
            elif clip_id in kept:
                without["label"].append(clip_id)
        if not members[corpus]:
            raise RunError(
                f"{corpus}: no clip is left, and MERTools' loader stops at an empty corpus; "
                f"--opt unlabelled=LABEL keeps clips without a label, splits= says what each split is"
            )
    with (folder / options.labels_file).open("wb") as file:
        dump_npz(members, file)
    if options.emo == "index":
        write_json(folder / "classes.json", {"emo": list(options.classes)})
    lines = [f"{options.labels_file}: " + ", ".join(f"{corpus} {len(found)}" for corpus, found in members.items())]
    if not labels.has_val:
        lines.append(
            f"{options.labels_file}: no clip has the dimension {options.val}, so val is {NO_VALENCE:g} throughout"
        )
    return lines


def _write_transcript(path: Path, clips: Collection[Clip]) -> list[str]:
    """Texts in the column of their language; in both columns where it is neither, or nobody knows."""
    texts = {clip.id: clip.text or "" for clip in clips}
    if not any(texts.values()):
        return [f"{path.name}: not written, no clip has a text"]
    codes = {clip.id: (clip.language or "").split("-")[0].lower() for clip in clips}
    rows = [[name, *(_text(text, codes[name], code) for code in ("zh", "en"))] for name, text in texts.items()]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["name", "chinese", "english"], *rows])
    unknown = [name for name, text in texts.items() if text and codes[name] not in {"zh", "en"}]
    note = f"; {counted(len(unknown), 'clip')} in another or no known language, in both columns" if unknown else ""
    return [f"{path.name}: {sum(map(bool, texts.values()))} texts{note}"]


def _text(text: str, language: str, column: str) -> str:
    """A text in one column, as pandas will read it: a word that it takes for no text gets a space."""
    shown = text if language == column or language not in {"zh", "en"} else ""
    return f"{shown} " if shown and shown in NOT_TEXT else shown


def _kept(folder: Path) -> set[str]:
    """Clips that have npy files."""
    return {path.stem for path in (folder / FEATURES).glob("*/*.npy")}
