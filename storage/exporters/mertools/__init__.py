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
from storage.exporters._shared.arrays import filled, pooled
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.files import write_json, write_npy, write_records
from storage.exporters._shared.frames import frames_at, require_reader
from storage.exporters._shared.labels import require_labels, word_of
from storage.exporters._shared.legacy_pickle import dump_npz
from storage.exporters._shared.selection import abbreviate, clips_without, refuse_missing
from storage.exporters.mertools.layout import FACE_SIDE, FACES, FEATURES, NO_VALENCE, TRANSCRIPT
from storage.exporters.mertools.options import MertoolsOptions, Sources, corpora_of, find_sources
from storage.exporters.mertools.validate import validate_tree
from storage.vocabulary.face_columns import BOX
from storage.wording import counted, having

if TYPE_CHECKING:
    from storage.clip import Clip
    from storage.exporters._shared.frames import FrameReader
    from storage.records import Features


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
        if options.labels == "error" and options.emo != "zero":
            require_labels(store, options.classes, "--opt labels=omit leaves them out of the npz")
        destination.mkdir()
        without: dict[str, list[str]] = defaultdict(list)
        kept = {clip.id: clip for clip in store.clips() if self._write_clip(destination, clip, without)}
        folders = ", ".join(sources.folders.values())
        lines = [f"{counted(len(kept), 'clip')}, {' and '.join(options.written_levels)}: {folders}"]
        if options.labels != "none":
            lines += _write_labels(destination, options, corpora, kept, without)
        lines += [*_write_transcript(destination, kept.values()), *sources.remarks]
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
        for clip in (clip for clip in store.clips() if clip.id in kept):
            features = store.get(clip.id, faces.name) if store.has(clip.id, faces.name) else None
            rows = [] if features is None else np.flatnonzero(features.valid).tolist()
            boxes = {} if features is None else {row: features.values[row, places] for row in rows}
            frames = frames_at(reader, clip, store.manifest.root, boxes)
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
    options: MertoolsOptions,
    corpora: Mapping[str, Sequence[str]],
    kept: Mapping[str, Clip],
    without: dict[str, list[str]],
) -> list[str]:
    labels: dict[str, dict[str, dict[str, object]]] = {}
    for corpus, ids in corpora.items():
        labels[corpus] = {}
        for clip_id in ids:
            emotion = _emotion(kept[clip_id], options) if clip_id in kept else None
            if emotion is not None:
                valence = kept[clip_id].dimensions.get(options.val, NO_VALENCE)
                labels[corpus][clip_id] = {"emo": emotion, "val": float(valence)}
            elif clip_id in kept:
                without["label"].append(clip_id)
    with (folder / options.labels_file).open("wb") as file:
        dump_npz(labels, file)
    if options.emo == "index":
        write_json(folder / "classes.json", {"emo": list(options.classes)})
    return [f"{options.labels_file}: " + ", ".join(f"{corpus} {len(members)}" for corpus, members in labels.items())]


def _emotion(clip: Clip, options: MertoolsOptions) -> str | int | None:
    if options.emo == "zero":
        return 0
    word = word_of(clip, options.classes)
    return options.classes.index(word) if word is not None and options.emo == "index" else word


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


def _kept(folder: Path) -> set[str]:
    """Clips that have npy files."""
    return {path.stem for path in (folder / FEATURES).glob("*/*.npy")}
