"""IndoMER: 1,944 Indonesian clips of 207 videos, with emotion, sentiment, and the sentiment of each modality.

The repository holds labels only: `Annotations.csv`, and the splits `7_Class/7_class_{train,val}.json` and
`3_Class/3_class_{train,val}.json` (also spelt `7_class/train.json`, as its README has them). Media lie in a folder of
one's own, at any depth. A clip's split and text come from the split files; 15 texts that are damaged in
`Annotations.csv` (GBK punctuation read as Latin-1) are whole there, and are repaired where only the table has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import Corpus, CorpusOptions
from storage.corpora._shared.media_finder import find_media_folder
from storage.vocabulary.indomer_files import (
    ANNOTATIONS,
    CLASSES,
    Row,
    parse_annotations,
    parse_split_json,
    repaired,
    split_json_name,
)
from storage.wording import counted

SPLITS = ("train", "val")
_VIDEO = re.compile(r"clip_(\d+)_.+_\d+")
_SPLIT_FILE = r"[37]_class/(?:[37]_class_)?(?:train|val)\.json"
_MODALITIES = ("audio", "text", "video")


class IndomerOptions(CorpusOptions):
    """Options of the reader `indomer`.

    Attributes:
        media: Folder of the .mp4 and .wav files, at any depth, relative to the corpus or else to the current folder;
            the corpus itself by default.
        order: Whose order the clips have: that of the 7-class or the 3-class split files, or of Annotations.csv.
            Exports keep it, so that a split file can be written again byte for byte.
        audio: `wav` takes the audio of the .wav files, `video` that of the .mp4 files.
    """

    media: str | None = None
    order: Literal["7", "3", "annotations"] = "7"
    audio: Literal["wav", "video"] = "wav"


class IndomerCorpus(Corpus[IndomerOptions]):
    """Clips of all splits, each with every label that the repository has for it."""

    name = "indomer"
    Options = IndomerOptions
    title = "IndoMER"
    citation = "the authors of github.com/yanxm01/INDOMER"
    signs = (rf"(?:annotations\.csv|{_SPLIT_FILE})",)
    expected_clips: ClassVar[Mapping[str, int]] = {"train": 1588, "val": 356}
    labels: ClassVar[Mapping[str, str]] = {
        "netral": "neutral",
        "kebahagiaan": "happy",
        "kesedihan": "sad",
        "kemarahan": "angry",
        "jijik": "disgust",
        "ketakutan": "fear",
        "surprise": "surprise",
    }
    licence = "no licence file in the repository; ask its authors before you publish anything made of it"

    @cached_property
    def root(self) -> Path:
        """The media folder.

        Raises:
            RunError: If there is none.
        """
        return find_media_folder(self._base, self.options.media)

    @cached_property
    def _base(self) -> Path:
        """The folder with the label files: the corpus itself, or one inside it."""
        names = (
            ANNOTATIONS,
            *(f"{classes}_Class" for classes in CLASSES),
            *(f"{classes}_class" for classes in CLASSES),
        )
        if any((self.source / name).exists() for name in names):
            return self.source
        table, split = self.tree.first(r"annotations\.csv"), self.tree.first(_SPLIT_FILE)
        inner = table.parent if table is not None else None if split is None else split.parent.parent
        return inner or self.source

    def check(self) -> None:
        """Look for the label files and the media folder.

        Raises:
            RunError: If the source is not a folder that holds at least one of the label files, or there is no media
                folder.
        """
        if not self.source.is_dir():
            raise RunError(f"{self.source}: expected the folder of IndoMER's repository, with {ANNOTATIONS}")
        if not self._annotations and not any(self._splits.values()):
            names = ", ".join([ANNOTATIONS, *(split_json_name(classes, SPLITS[0]) for classes in CLASSES)])
            raise RunError(f"{self.source}: expected IndoMER's label files ({names}, ...), found none")
        _ = self.root

    def rows(self) -> Iterator[CorpusRow]:
        """One row per clip that any label file names."""
        for clip_id in self._ordered():
            yield self._row(clip_id)

    @cached_property
    def _annotations(self) -> dict[str, Row]:
        """Rows of `Annotations.csv` by clip, as they are written."""
        path = self._base / ANNOTATIONS
        if not path.is_file():
            return {}
        try:
            rows = parse_annotations(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        except RunError as error:
            raise RunError(f"{path}: {error}") from error
        return {row["video_name"].removesuffix(".mp4"): row for row in rows}

    @cached_property
    def _splits(self) -> dict[str, dict[str, tuple[str, Row]]]:
        """Split and item of each clip, by class set: `{"7": {clip: (split, item)}, "3": ...}`."""
        splits: dict[str, dict[str, tuple[str, Row]]] = {classes: {} for classes in CLASSES}
        for classes, items in splits.items():
            for split in SPLITS:
                items |= {item["sample_id"]: (split, item) for item in self._split_items(classes, split)}
        return splits

    def _split_items(self, classes: str, split: str) -> list[Row]:
        names = [split_json_name(classes, split), f"{classes}_class/{split}.json", f"{classes}_Class/{split}.json"]
        path = next((self._base / name for name in names if (self._base / name).is_file()), None)
        if path is None:
            return []
        try:
            return parse_split_json(path.read_bytes())
        except RunError as error:
            raise RunError(f"{path}: {error}") from error

    def _ordered(self) -> list[str]:
        """Every clip once, in the order that the option asks for; those that its files lack at the end."""
        orders: dict[str, Mapping[str, Any]] = {**self._splits, "annotations": self._annotations}
        first = orders.pop(self.options.order)
        return list(dict.fromkeys([*first, *(clip_id for order in orders.values() for clip_id in order)]))

    def _row(self, clip_id: str) -> CorpusRow:
        seven, three = (self._splits[classes].get(clip_id, ("", {})) for classes in ("7", "3"))
        table = self._annotations.get(clip_id, {})
        text = seven[1].get("text") or three[1].get("text") or repaired(table.get("text", ""))
        sentiment = seven[1].get("sentiment_label") or three[1].get("label") or table.get("sentiment")
        modalities = {m: three[1].get(f"{m}_label") or table.get(f"{m}_sentiment") for m in _MODALITIES}
        labels = {"sentiment": sentiment, **modalities}
        video = _VIDEO.fullmatch(clip_id)
        fields = {
            "split": seven[0] or three[0] or None,
            "text": text or None,
            "language": "id",
            "group": video[1] if video else None,
            "label_raw": seven[1].get("label") or table.get("emotion"),
            "labels": {name: word for name, word in labels.items() if word},
        }
        audio = f"{clip_id}.wav" if self.options.audio == "wav" else f"{clip_id}.mp4"
        return CorpusRow(f"clip {clip_id}", clip_id, video=f"{clip_id}.mp4", audio=audio, fields=fields)

    def notes(self) -> Iterator[str]:
        """Clips without a split, texts that were repaired, and what the label files say differently."""
        in_split = {clip_id for items in self._splits.values() for clip_id in items}
        without = [clip_id for clip_id in self._annotations if clip_id not in in_split]
        if without:
            yield f"{counted(len(without), 'clip')} of {ANNOTATIONS} in no split file: no split"
        damaged = [i for i, row in self._annotations.items() if repaired(row["text"]) != row["text"]]
        if damaged:
            yield f"{counted(len(damaged), 'text')} of {ANNOTATIONS} had GBK punctuation read as Latin-1, repaired"
        for clip_id, differing in self._contradictions():
            yield f"clip {clip_id}: {differing} differs between the label files; the split's counts"

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        """Clips whose label files contradict each other, and in what."""
        for clip_id, row in self._annotations.items():
            seven, three = (self._splits[classes].get(clip_id, ("", {}))[1] for classes in ("7", "3"))
            pairs = {
                "text": (seven.get("text") or three.get("text"), repaired(row["text"])),
                "emotion": (seven.get("label"), row["emotion"]),
                "sentiment": (seven.get("sentiment_label") or three.get("label"), row["sentiment"]),
                **{f"{m} label": (three.get(f"{m}_label"), row[f"{m}_sentiment"]) for m in _MODALITIES},
            }
            for what, (in_split, in_table) in pairs.items():
                if in_split and in_split != in_table:
                    yield clip_id, what
