"""MER2023, MER2024 and MER2026, and the labels that MERR lays over their unlabelled clips: Mandarin films and series.

Tree of MER2023: `train/`, `test1/`, `test2/`, `test3/` beside `train-label.csv`, `test1-label.csv`, ...; or
`mer2023train/{train,test3}/`, `test1/`, `test2/` and `test-labels/`. MER2024: `video-labeled/`, `label-disdim.csv`.
MER2026: `track1_train.csv`. MERR: `MERR_coarse_grained.{txt,json}` or `MERR_fine_grained.{txt,json}`, at any depth;
transcripts: `transcription_en_all.csv`, or another table with a `name` and a `sentence` column (`text=FILE`).
Labels: `discrete` is the label, `valence` a dimension (absent in test3). A clip without a human label has MERR's, which
a machine made: `about["label_by"]` says so; where both are there, MERR's is `labels["merr"]`.
Splits: as the tables say; clips of MERR alone have none. Further clips of the folder come with `unlabelled=true`.
Quirks: clips are matched by their exact name with any suffix; MERR uses nine label words (`doubt` has no counterpart).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from configs.errors import RunError
from configs.paths import as_path
from storage.corpora._shared.cell_values import number
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions, InPlaceCorpus
from storage.corpora._shared.media_finder import find_media_folder
from storage.corpora._shared.table_file import TableFile
from storage.corpora._shared.tree import Tree, read_text
from storage.vocabulary.media_suffixes import AUDIO_SUFFIXES, MEDIA_SUFFIXES, VIDEO_SUFFIXES
from storage.wording import counted

_TABLES = r"(?:(?P<split>train|test[123])-label|label-disdim|track\d_train)\.csv"
_TRANSCRIPTS = r"(?:transcription|subtitle)\w*\.csv"
_SENTENCE = ("sentence", "english", "text", "transcription", "chinese", "subtitle")
_MERR_CLIPS = {"coarse": 28618, "fine": 4487}
_MER2023_CLIPS = {"train": 3373, "test1": 411, "test2": 412, "test3": 834}


class MerrOptions(CorpusOptions):
    """Options of the reader `merr`.

    Attributes:
        merr: Which of MERR's lists counts.
        text: Table of transcripts, relative to the corpus or else to the current folder; found by its name by default.
        unlabelled: Whether clips that no list names are taken too.
        media: Folder of the clips, at any depth, relative to the corpus or else to the current folder; the corpus
            itself by default.
    """

    merr: Literal["coarse", "fine", "none"] = "coarse"
    text: str | None = None
    unlabelled: bool = False
    media: str | None = None


class MerrCorpus(InPlaceCorpus[MerrOptions]):
    """Labelled clips of the challenges, and those that MERR labels."""

    name = "merr"
    Options = MerrOptions
    title = "MER / MERR"
    citation = "Lian et al., MER 2023, ACM MM 2023; Cheng et al., Emotion-LLaMA, NeurIPS 2024"
    licence = "EULA of the challenge; no redistribution, label files included; MERR: research EULA"
    signs = (
        r"(?:(?:train|test[123])-label\.csv|label-disdim\.csv|track\d_train\.csv|merr_(?:coarse|fine)_grained\..*)",
    )
    expected_clips: ClassVar[Mapping[str, int]] = _MER2023_CLIPS
    labels: ClassVar[Mapping[str, str]] = {
        "neutral": "neutral",
        "angry": "angry",
        "happy": "happy",
        "sad": "sad",
        "worried": "worried",
        "surprise": "surprise",
        "fear": "fear",
        "contempt": "contempt",
    }

    @cached_property
    def root(self) -> Path:
        """The media folder.

        Raises:
            RunError: If there is none.
        """
        return find_media_folder(self.source, self.options.media)

    @cached_property
    def _tables(self) -> list[tuple[str, TableFile]]:
        """The label tables with their splits."""
        found = [(match["split"] or "train", self.source / path) for path, match in self.tree.matching(_TABLES)]
        return [(split.lower(), TableFile.open(path)) for split, path in found]

    @cached_property
    def _merr(self) -> dict[str, str]:
        """MERR's label by clip; empty where a list has captions only."""
        path = self.tree.first(rf"merr_{self.options.merr}_grained\.(?:txt|json)")
        if path is None:
            return {}
        if path.suffix.lower() == ".txt":
            rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
            short = next((number for number, row in enumerate(rows, 1) if len(row) < 3), None)
            if short is not None:
                raise RunError(f"{path}: row {short}: expected NAME NUMBER LABEL")
            return {row[0]: row[2] for row in rows}
        try:
            captions = json.loads(read_text(path))
        except ValueError as error:
            raise RunError(f"{path}: {error}") from error
        if not isinstance(captions, dict):
            raise RunError(f"{path}: expected an object of clips and captions, got {type(captions).__name__}")
        return {str(name): _label_in(said) for name, said in captions.items()}

    @cached_property
    def _media(self) -> dict[str, list[str]]:
        """Media files by their name without the suffix."""
        found: dict[str, list[str]] = {}
        tree = self.tree if self.root.samefile(self.source) else Tree(self.root)
        for path in tree.files:
            if path.lower().endswith(MEDIA_SUFFIXES):
                found.setdefault(PurePosixPath(path).stem, []).append(path)
        return found

    @cached_property
    def _text_file(self) -> Path | None:
        if self.options.text is None:
            return self.tree.first(r"transcription_en_all\.csv") or self.tree.first(_TRANSCRIPTS)
        given = as_path(self.options.text)
        path = next((p for p in (self.source / given, given) if p.is_file()), None)
        if path is None:
            raise RunError(f"text={self.options.text}: no such file")
        return path

    @cached_property
    def _texts(self) -> dict[str, str]:
        path = self._text_file
        if path is None:
            return {}
        table = TableFile.open(path)
        column = next((name for name in _SENTENCE if name in table.columns), None)
        if "name" not in table.columns or column is None:
            raise RunError(f"{path}: expected the columns name and sentence, got {', '.join(table.columns)}")
        return {cells["name"]: cells[column] for _, cells in table.rows() if cells[column]}

    def check(self) -> None:
        """Look for label tables, lists and media.

        Raises:
            RunError: If the source is not a folder that holds one of them.
        """
        if not self.source.is_dir():
            raise RunError(f"{self.source}: expected the folder of MER2023 or its successors")
        for _, table in self._tables:
            if not {"name", "discrete"} <= set(table.columns):
                raise RunError(f"{table.path}: expected the columns name and discrete, got {', '.join(table.columns)}")
        if not self._tables and not self._merr:
            raise RunError(
                f"{self.source}: expected train-label.csv, label-disdim.csv, track1_train.csv or MERR's lists in it or "
                f"below, found none"
            )
        _ = self.root, self._text_file

    def rows(self) -> Iterator[CorpusRow]:
        """The labelled clips, then those of MERR, then the others where they are asked for.

        Raises:
            RunError: If a valence is no number.
        """
        for split, table in self._tables:
            for line, cells in table.rows():
                try:
                    yield self._row(cells["name"], split, f"{table.path.name} row {line}", cells)
                except ValueError as error:
                    raise RunError(f"{table.path}: row {line}: {error}") from error
        for name in self._merr:
            if name not in self._labelled:
                yield self._row(name, None, f"MERR {self.options.merr}: {name}", {})
        if self.options.unlabelled:
            for name, paths in self._media.items():
                if name not in self._labelled and name not in self._merr:
                    yield self._row(name, None, paths[0], {})

    @cached_property
    def _labelled(self) -> dict[str, None]:
        return dict.fromkeys(cells["name"] for _, table in self._tables for _, cells in table.rows())

    def _row(self, name: str, split: str | None, where: str, cells: Mapping[str, str]) -> CorpusRow:
        label, machine = cells.get("discrete") or None, self._merr.get(name) or None
        text = self._texts.get(name)
        path = self._text_file
        fields: dict[str, Any] = {"split": split, "text": text, "label_raw": label or machine}
        if text is not None and path is not None:
            fields["language"] = "en" if "_en" in path.stem or "english" in path.stem.lower() else "zh"
        if label and machine:
            fields["labels"] = {"merr": machine}
        elif machine:
            fields["about"] = {"label_by": "MERR, a machine"}
        if cells.get("valence", "").strip():
            fields["dimensions"] = {"valence": number(cells["valence"], "valence")}
            fields["scales"] = {"valence": "about -5..5"}
        files = self._files_of(name, split)
        video = next((p for p in files if p.lower().endswith(VIDEO_SUFFIXES)), None)
        audio = next((p for p in files if p.lower().endswith(AUDIO_SUFFIXES)), None)
        if video is None and audio is None:
            video = f"{split}/{name}.mp4" if split else f"{name}.mp4"
        return CorpusRow(where, name, video=video, audio=video or audio, fields=fields, cells=cells)

    def _files_of(self, name: str, split: str | None) -> list[str]:
        """A clip's files, those in the folder of its split first."""
        files = self._media.get(name, [])
        return sorted(files, key=lambda path: split not in path.lower().split("/")) if split else files

    def notes(self) -> Iterator[str]:
        """What MERR's list has, where texts come from, and clips without a file."""
        names = {**self._labelled, **self._merr}
        self.report.missing += [f"{name}: no file of this name" for name in names if name not in self._media]
        if self._merr:
            published = _MERR_CLIPS.get(self.options.merr)
            alone = sum(name not in self._labelled for name in self._merr)
            yield (
                f"MERR's {self.options.merr} list: {counted(len(self._merr), 'clip')} of the {published} published, "
                f"{alone} of them without a human label"
            )
        if self._text_file is not None:
            yield f"texts from {self._text_file.name}"
        else:
            yield "no table of transcripts found: no text (text=FILE)"

    def left_over(self) -> Iterator[str]:
        """Media that no list names."""
        if not self.options.unlabelled:
            named = self._labelled.keys() | self._merr.keys()
            yield from (path for name, paths in self._media.items() if name not in named for path in paths)

    def expected(self) -> Mapping[str, int]:
        """Those of the splits of MER2023 whose tables are there."""
        there = {split for split, table in self._tables if table.path.name.lower().endswith("-label.csv")}
        return {split: clips for split, clips in _MER2023_CLIPS.items() if split in there}


def _label_in(said: object) -> str:
    """The label among the captions of one clip; empty where there is none."""
    if isinstance(said, str):
        return said
    names = ("pseu_emotion", "emotion", "label")
    return next((str(said[name]) for name in names if said.get(name)), "") if isinstance(said, dict) else ""
