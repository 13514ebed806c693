"""Corpora that fit the reader `table` but for a detail: where their tables and files lie, what their columns mean."""

from __future__ import annotations

import csv
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar

from configs.errors import RunError
from storage.corpora._shared.cell_values import number
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.table_file import TableFile
from storage.corpora._shared.tree import Tree, open_text, read_text
from storage.media_files import is_lfs_pointer
from storage.wording import counted


class Preset(ABC):
    """How one corpus is read.

    Args:
        source: Folder or file of the corpus.

    Attributes:
        modalities: What the corpus has.
    """

    modalities: ClassVar[frozenset[str]] = frozenset({"audio", "text"})

    def __init__(self, source: Path) -> None:
        self.source = source
        self.root = source if source.is_dir() else source.parent
        self.tree = Tree(self.root)

    @abstractmethod
    def rows(self) -> Iterator[CorpusRow]:
        """What the corpus says of each clip."""

    def notes(self) -> Iterator[str]:
        """What a person should know of it."""
        yield from ()

    def require(self, found: object, expected: str) -> None:
        """Refuse a place without what the corpus consists of.

        Args:
            found: What was found; anything empty is refused.
            expected: What was looked for, for people.

        Raises:
            RunError: If nothing was found.
        """
        if not found:
            raise RunError(f"{self.source}: expected {expected} in it or below, found none")

    @abstractmethod
    def check(self) -> None:
        """Look for what rows will be read from.

        Raises:
            RunError: If it is not there.
        """


class Unidata(Preset):
    """UniData SER: one sentence of one speaker in four emotions, which is the group.

    `files/<set>/{euphoric,joyfully,sad,surprised}.wav`, and a table with `set_id`, text, gender, age and country.
    """

    @cached_property
    def _files(self) -> list[tuple[str, re.Match[str]]]:
        return list(self.tree.matching(r"files/(?P<set>[^/]+)/(?P<emotion>[a-z]+)(?P<copy>\(\d+\))?\.wav"))

    def check(self) -> None:
        """Look for the files."""
        self.require(self._files, "files/<set_id>/joyfully.wav")

    @cached_property
    def _sets(self) -> dict[str, Mapping[str, str]]:
        path = self.tree.first(r"[^/]*\.csv")
        if path is None:
            return {}
        table = TableFile.open(path)
        column = next((c for c in table.columns if re.sub(r"[\s_-]", "", c).lower() in {"setid", "set"}), None)
        if column is None:
            raise RunError(f"{path}: expected a column set_id, got {', '.join(table.columns)}")
        return {cells[column]: {c.strip().lower(): text for c, text in cells.items()} for _, cells in table.rows()}

    def rows(self) -> Iterator[CorpusRow]:
        """One row per file."""
        for path, found in self._files:
            said = self._sets.get(found["set"], {})
            fields = {
                "text": said.get("text") or None,
                "speaker": found["set"],
                "group": found["set"],
                "label_raw": found["emotion"],
                "about": {name: said[name] for name in ("gender", "age", "country") if said.get(name)},
            }
            yield CorpusRow(path, f"{found['set']}_{PurePosixPath(path).stem}", audio=path, fields=fields)

    def notes(self) -> Iterator[str]:
        """Sets that the table lacks."""
        without = {found["set"] for _, found in self._files} - self._sets.keys()
        if without:
            yield f"{counted(len(without), 'set')} not in the table: no text, such as {min(without)}"


class Nexdata(Preset):
    """Nexdata English SER: `T0001G0003S00001.wav` with its transcript in `T0001G0003S00001.txt`.

    Its sample has no emotion labels. Marks in the transcripts stay as they are written.
    """

    @cached_property
    def _files(self) -> list[str]:
        return [path for path, _ in self.tree.matching(r"T\d+G\d+S\d+\.wav")]

    def check(self) -> None:
        """Look for the files."""
        self.require(self._files, "T0001G0003S00001.wav")

    def _transcript(self, path: str) -> Path:
        return self.root / PurePosixPath(path).with_suffix(".txt")

    def rows(self) -> Iterator[CorpusRow]:
        """One row per recording."""
        for path in self._files:
            beside = self._transcript(path)
            said = read_text(beside).strip() if beside.is_file() else None
            fields = {"text": said or None, "language": "en"}
            yield CorpusRow(path, PurePosixPath(path).stem, audio=path, fields=fields)

    def notes(self) -> Iterator[str]:
        """Recordings without a transcript, and marks in transcripts."""
        without = [path for path in self._files if not self._transcript(path).is_file()]
        if without:
            yield f"{counted(len(without), 'recording')} without a transcript, such as {without[0]}"
        there = [self._transcript(path) for path in self._files if path not in without]
        marked = sum("{" in read_text(path) for path in there)
        if marked:
            yield f"{counted(marked, 'transcript')} with marks in braces, kept as they are written"


class Eev(Preset):
    """EEV: what viewers showed while they watched videos, six times a second, for 15 expressions.

    Only the ids of the videos are published; a file `<id>.mp4` of your own is taken where it is there. The table is
    each clip's series `expression`: its time is in microseconds, although its header says milliseconds, and a row of
    zeros means that no face was found.
    """

    modalities = frozenset({"audio", "video"})

    @cached_property
    def _tables(self) -> list[tuple[str, Path]]:
        if self.source.is_file():
            return [(self.source.stem.lower(), self.source)]
        return [
            (match["split"].lower(), self.root / p)
            for p, match in self.tree.matching(r"(?P<split>train|val|test)\.csv")
        ]

    def check(self) -> None:
        """Look for tables that were fetched."""
        self.require(self._tables, "train.csv, val.csv or test.csv")
        if all(is_lfs_pointer(path) for _, path in self._tables):
            raise RunError(
                f"{self._tables[0][1]}: a git-LFS pointer, not the file; run `git lfs pull` in its repository"
            )

    @cached_property
    def _videos(self) -> dict[str, str]:
        return {match["id"]: path for path, match in self.tree.matching(r"(?P<id>[\w-]{11})\.(?:mp4|mkv|webm)")}

    @cached_property
    def _counts(self) -> dict[Path, tuple[dict[str, int], int]]:
        """Of each table that was fetched: rows by video, and how many rows are all zeros. They are large: read once."""
        return {path: _count_rows(path) for _, path in self._tables if not is_lfs_pointer(path)}

    def rows(self) -> Iterator[CorpusRow]:
        """One row per video."""
        for split, path in self._tables:
            for video, count in self._counts.get(path, ({}, 0))[0].items():
                fields = {
                    "split": split,
                    "series": {"expression": path.relative_to(self.root).as_posix()},
                    "about": {"expression_rate": "6 Hz", "expression_rows": str(count), "label_of": "viewer"},
                }
                file = self._videos.get(video)
                yield CorpusRow(f"{path.name}: {video}", video, video=file, audio=file, fields=fields)

    def notes(self) -> Iterator[str]:
        """Tables that were not fetched, and what the numbers mean."""
        for _, path in self._tables:
            if path not in self._counts:
                yield f"{path.name}: a git-LFS pointer, left out; run `git lfs pull` in its repository"
                continue
            counts, zeros = self._counts[path]
            yield f"{path.name}: {counted(len(counts), 'video')}, {counted(zeros, 'row')} of zeros (no face found)"
            without = sum(video not in self._videos for video in counts)
            if without:
                yield f"{path.name}: {counted(without, 'video')} without a file <id>.mp4 here; only ids are published"
        yield "times of the table are microseconds, although its header says milliseconds"


def _count_rows(path: Path) -> tuple[dict[str, int], int]:
    """Rows by video of a table of EEV, and how many rows are all zeros."""
    counts: dict[str, int] = {}
    zeros = 0
    with open_text(path) as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if not header or header[0] != "Video ID":
            raise RunError(f"{path}: expected the columns Video ID, Timestamp (milliseconds), ..., got {header[:3]}")
        for row in filter(None, rows):
            counts[row[0]] = counts.get(row[0], 0) + 1
            zeros += all(float(cell or 0) == 0 for cell in row[2:]) if len(row) > 2 else 0
    return counts, zeros


_VALENCE_COLUMNS = ("file", "emotion", "valence", "language", "locale", "speaker", "gender", "dataset")


class MultilingualValence(Preset):
    """The collection of multilingual valence corpora: `<C>_data_files.tsv` without a header.

    Eight columns: file, emotion code, valence (-1, 0, 1), language, locale, speaker, gender, dataset. Licences of its
    corpora still hold.
    """

    modalities = frozenset({"audio"})

    @cached_property
    def _tables(self) -> list[Path]:
        if self.source.is_file():
            return [self.source]
        return [self.root / path for path, _ in self.tree.matching(r"[^/]+_data_files\.tsv")]

    def check(self) -> None:
        """Look for the tables."""
        self.require(self._tables, "<corpus>_data_files.tsv")

    def rows(self) -> Iterator[CorpusRow]:
        """One row per line."""
        for table in self._tables:
            for line, text in enumerate(read_text(table).splitlines(), 1):
                cells = text.split("\t")
                if len(cells) != len(_VALENCE_COLUMNS):
                    raise RunError(f"{table}: row {line}: expected {len(_VALENCE_COLUMNS)} cells, got {len(cells)}")
                yield self._row(f"{table.name} row {line}", dict(zip(_VALENCE_COLUMNS, cells, strict=True)))

    @staticmethod
    def _row(where: str, cells: Mapping[str, str]) -> CorpusRow:
        try:
            dimensions = {"valence": number(cells["valence"], "valence")} if cells["valence"].strip() else {}
        except ValueError as error:
            raise RunError(f"{where}: {error}") from error
        fields = {
            "language": cells["language"] or None,
            "speaker": cells["speaker"] or None,
            "group": cells["speaker"] or None,
            "label_raw": cells["emotion"] or None,
            "dimensions": dimensions,
            "scales": {"valence": "-1, 0 or 1"} if dimensions else {},
            "about": {name: cells[name] for name in ("locale", "gender", "dataset") if cells[name]},
        }
        name = cells["file"].rpartition(".")[0].strip("/").replace("/", ".")
        return CorpusRow(where, name, audio=cells["file"], fields=fields, cells=cells)


PRESETS: dict[str, type[Preset]] = {
    "unidata": Unidata,
    "nexdata": Nexdata,
    "eev": Eev,
    "multilingual_valence": MultilingualValence,
}
