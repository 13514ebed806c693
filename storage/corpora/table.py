"""A table with one clip per row: CSV (comma or tab), JSONL, or a JSON list of objects.

Options name the column of each field (`id=sample_id`; empty for none; `split==train` says the same of every row) and
the media folder (`media=videos`). Fields without an option are found by well-known names, and the report says which
columns were used. Columns that end in `_label` or `_sentiment`, or are called `sentiment`, become further labels. No
row is dropped unless it repeats another one; what does not fit together is in the report.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.columns import FIELDS, Columns, choose_columns
from storage.corpora._shared.corpus import Corpus, CorpusOptions
from storage.corpora._shared.media_finder import MediaFinder, find_media_folder
from storage.corpora._shared.table_file import TableFile
from storage.vocabulary.indomer_files import ANNOTATION_COLUMNS

_WHOLE_NUMBERS = ("audio_track", "video_track", "audio_channel")
_NUMBERS = ("start", "end", *_WHOLE_NUMBERS)
_DIMENSIONS = ("valence", "arousal", "dominance")


class TableOptions(CorpusOptions):
    """Options of the reader `table`: the column of each field, and the media folder.

    Attributes:
        id: Column of the clip's name; empty to name clips after their files.
        video: Column of the video file.
        audio: Column of the audio file; the video's own audio without one.
        text: Column of the transcript.
        label: Column of the label.
        split: Column of the split.
        speaker: Column of the speaker.
        start: Column of the second at which the clip starts in its media.
        end: Column of the second at which it ends.
        group: Column of what must not be divided between train and test.
        language: Column of the spoken language.
        audio_track: Column of the audio track, from 0; `audio_track==1` says the same of every row.
        video_track: Column of the video track, from 0.
        audio_channel: Column of the audio channel, from 0.
        valence: Column of the valence.
        arousal: Column of the arousal.
        dominance: Column of the dominance.
        media: Media folder, relative to the table's folder or else to the current one; the table's folder by default.
    """

    id: str | None = None
    video: str | None = None
    audio: str | None = None
    text: str | None = None
    label: str | None = None
    split: str | None = None
    speaker: str | None = None
    start: str | None = None
    end: str | None = None
    group: str | None = None
    language: str | None = None
    audio_track: str | None = None
    video_track: str | None = None
    audio_channel: str | None = None
    valence: str | None = None
    arousal: str | None = None
    dominance: str | None = None
    media: str | None = None


class TableCorpus(Corpus[TableOptions]):
    """Rows of a table as clips."""

    name = "table"
    Options = TableOptions

    @cached_property
    def _table(self) -> TableFile:
        return TableFile.open(self.source)

    @cached_property
    def _columns(self) -> Columns:
        stated = self.options.model_dump(exclude_unset=True, exclude={"media", "corpus"})
        return choose_columns(self._table.columns, stated, str(self.source))

    @cached_property
    def root(self) -> Path:
        """The media folder.

        Raises:
            RunError: If there is none.
        """
        return find_media_folder(self.source.parent, self.options.media)

    def check(self) -> None:
        """Read the header and look for the media folder.

        Raises:
            RunError: If the table cannot be read, a column or the media folder does not exist, or no column names
                media or text.
        """
        columns, source = self._columns, self.source
        _ = self.root
        if not self._has_media and "text" not in columns.fields:
            raise RunError(
                f"{source}: no column names media or text; give video=COLUMN, audio=COLUMN, text=COLUMN or media=FOLDER"
            )

    @property
    def _has_media(self) -> bool:
        return bool({"video", "audio"} & self._columns.fields.keys()) or self.options.media is not None

    def finder(self) -> MediaFinder | None:
        """None for a table of texts: then its folder is not searched, which may be large."""
        return MediaFinder(self.root) if self._has_media else None

    def notes(self) -> Iterator[str]:
        """The columns in use, and what is unusual about the file."""
        yield f"columns used: {self._columns}"
        if self._table.encoding != "utf-8-sig":
            yield f"not UTF-8: read as {self._table.encoding}"
        if tuple(self._table.columns) == ANNOTATION_COLUMNS:
            yield "IndoMER's own table: --corpus indomer repairs its damaged texts and adds splits"

    def rows(self) -> Iterator[CorpusRow]:
        """One row per row of the table.

        Raises:
            RunError: If a row cannot be read, or a number in it is not one.
        """
        for line, cells in self._table.rows():
            try:
                yield self._row(line, cells)
            except ValueError as error:
                raise RunError(f"{self.source}: row {line}: {error}") from error

    def _row(self, line: int, cells: Mapping[str, str]) -> CorpusRow:
        columns = self._columns
        cell = {name: columns.cell(cells, name) for name in FIELDS}
        numbers = {name: _number(cell, name) for name in (*_NUMBERS, *_DIMENSIONS)}
        has_files = bool({"video", "audio"} & columns.fields.keys())
        video = cell["video"] if has_files else None
        audio = cell["audio"] if "audio" in columns.fields else video
        fields: dict[str, Any] = {
            "start": numbers["start"],
            "end": numbers["end"],
            **{name: None if (number := numbers[name]) is None else int(number) for name in _WHOLE_NUMBERS},
            "text": columns.exact(cells, "text"),
            "label_raw": cell["label"],
            "labels": columns.label_cells(cells),
            "dimensions": {name: numbers[name] for name in _DIMENSIONS if numbers[name] is not None},
            **{name: cell[name] for name in ("split", "speaker", "group", "language")},
        }
        names = (cell["id"] or "",) if "id" in columns.fields else ()
        media = cell["id"] if not has_files else None
        return CorpusRow(f"row {line}", names, None, video, audio, media, fields, cells)


def _number(cell: Mapping[str, str | None], name: str) -> float | None:
    text = cell[name]
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a number, got {text!r}")
    return value
