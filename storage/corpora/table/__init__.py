"""A table with one clip per row: CSV (comma, semicolon or tab), JSONL, or a JSON list of objects.

Options name the column of each field (`id=sample_id`; empty for none; `split==train` says the same of every row;
`id=dia{Dialogue_ID}_utt{Utterance_ID}` is made of several) and the media folder (`media=videos`). Fields without an
option are found by well-known names, without regard to case, `_`, `-` and blanks, and the report says which columns
were used and which not. Columns that end in `_label` or `_sentiment`, or are called `sentiment`, become further labels.
A folder of images is a clip where `frame_rate` says how many make a second. Without an id a clip is named after its
media file and its segment. What does not fit together is in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from configs.errors import RunError
from storage.corpora._shared.cell_values import number, seconds
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.columns import Columns, Reader, choose_columns
from storage.corpora._shared.corpus import Corpus, CorpusOptions
from storage.corpora._shared.media_finder import MediaFinder, find_media_folder
from storage.corpora._shared.table_file import TableFile
from storage.corpora.table.presets import PRESETS
from storage.face_points import PointedFace, read_pointed_face
from storage.vocabulary.indomer_files import ANNOTATION_COLUMNS
from storage.vocabulary.media_suffixes import AUDIO_SUFFIXES, MEDIA_SUFFIXES, VIDEO_SUFFIXES

_LOOKED_AT = 20
_NO_COLUMNS = {"media", "corpus", "label_map", "encoding", "preset", "series", "about"}
_DIMENSIONS = ("valence", "arousal", "dominance")
_PLAIN = {"split": "split", "speaker": "speaker", "group": "group", "language": "language", "label": "label_raw"}


def _whole(text: str, name: str) -> int:
    return int(number(text, name))


_READ: dict[str, Callable[[str, str], float | PointedFace]] = {
    "start": seconds,
    "end": seconds,
    "audio_track": _whole,
    "video_track": _whole,
    "audio_channel": _whole,
    "frame_rate": number,
    "main_face": read_pointed_face,
}


class TableOptions(CorpusOptions):
    """Options of the reader `table`: the column of each field, and the media folder.

    Attributes:
        id: Column of the clip's name; empty to name clips after their files. A text with columns in braces, such as
            `dia{Dialogue_ID}_utt{Utterance_ID}`, makes it of several; so it does for every field.
        file: Column of the media file, video or audio, by name or path; its suffix may be left out.
        video: Column of the video file.
        audio: Column of the audio file; the video's own audio without one.
        text: Column of the transcript.
        label: Column of the label.
        split: Column of the split; `split==train` says the same of every row.
        speaker: Column of the speaker.
        start: Column of the time at which the clip starts in its media: seconds, or `00:00:01.5`.
        end: Column of the time at which it ends.
        group: Column of what must not be divided between train and test.
        language: Column of the spoken language.
        audio_track: Column of the audio track, from 0; `audio_track==1` says the same of every row.
        video_track: Column of the video track, from 0.
        audio_channel: Column of the audio channel, from 0.
        valence: Column of the valence.
        arousal: Column of the arousal.
        dominance: Column of the dominance.
        frame_rate: Column of the images a second, where `video` names folders of images; `frame_rate==25` says the
            same of every row.
        main_face: Column that points out the face that matters: `x,y` or `x1,y1,x2,y2`, in pixels or fractions of the
            frame, and perhaps `@` and the seconds at which it is there.
        series: Columns with paths of what was recorded beside the media, as `name:COLUMN` divided by commas, such as
            `eeg:EEG file,gsr:GSR file`.
        about: Columns to keep as they are, divided by commas.
        encoding: How the table's bytes are to be read, such as `gb18030`; found out where not given.
        preset: A corpus that is read as a table but for a detail, from its folder; other columns need not be named.
        media: Media folder, relative to the table's folder or else to the current one; the table's folder by default.
    """

    id: str | None = None
    file: str | None = None
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
    frame_rate: str | None = None
    main_face: str | None = None
    series: str | None = None
    about: str | None = None
    encoding: str | None = None
    preset: Literal["unidata", "nexdata", "eev", "multilingual_valence"] | None = None
    media: str | None = None


class TableCorpus(Corpus[TableOptions]):
    """Rows of a table as clips."""

    name = "table"
    Options = TableOptions

    def __init__(self, source: Path, options: TableOptions) -> None:
        super().__init__(source, options)
        self._preset = None if options.preset is None else PRESETS[options.preset](source)
        if self._preset is not None:
            self.modalities = self._preset.modalities

    @cached_property
    def _table(self) -> TableFile:
        return TableFile.open(self.source, self.options.encoding)

    @cached_property
    def _columns(self) -> Columns:
        stated = self.options.model_dump(exclude_unset=True, exclude=_NO_COLUMNS)
        return choose_columns(self._table.columns, stated, str(self.source))

    @cached_property
    def root(self) -> Path:
        """The media folder.

        Raises:
            RunError: If there is none.
        """
        beside = self.source.parent if self._preset is None else self._preset.root
        return find_media_folder(beside, self.options.media)

    def check(self) -> None:
        """Read the header and look for the media folder.

        Raises:
            RunError: If the table cannot be read, a column or the media folder does not exist, or no column names
                media or text.
        """
        if not self.source.exists():
            raise RunError(f"{self.source}: no such file or folder")
        _ = self.root
        if self._preset is not None:
            self._preset.check()
            return
        columns, source = self._columns, self.source
        _ = self._kept
        if not self._has_media and "text" not in columns.known:
            raise RunError(
                f"{source}: no column names media or text; give video=COLUMN, audio=COLUMN, text=COLUMN or "
                f"media=FOLDER; columns: {', '.join(self._table.columns)}"
            )

    @cached_property
    def _kept(self) -> dict[str, dict[str, str]]:
        """Columns by name of what is kept as it is written, by the field of the clip.

        Raises:
            RunError: If there is no such column.
        """
        pairs = {"series": self.options.series, "about": self.options.about}
        kept: dict[str, dict[str, str]] = {}
        for field, text in pairs.items():
            for pair in (text or "").split(",") if text else ():
                name, colon, column = (part.strip() for part in pair.partition(":"))
                chosen = column if colon else name
                if chosen not in self._table.columns or (field == "series" and not colon):
                    form = "name:COLUMN" if field == "series" else "COLUMN"
                    known = ", ".join(self._table.columns)
                    raise RunError(f"{self.source}: {field}={pair.strip()}: expected {form}; columns: {known}")
                kept.setdefault(field, {})[name] = chosen
        return kept

    @property
    def _has_media(self) -> bool:
        return bool({"file", "video", "audio"} & self._columns.known) or self._id_names_media

    @cached_property
    def _id_names_media(self) -> bool:
        """Whether the ids are names of media files: as told, by their suffixes, or because such files are there."""
        if "id" not in self._columns.known or {"file", "video", "audio"} & self._columns.known:
            return False
        rows = islice(self._table.rows(), _LOOKED_AT)
        first = [name for _, cells in rows if (name := self._columns.cell(cells, "id"))]
        if self.options.media is not None or any(name.lower().endswith(MEDIA_SUFFIXES) for name in first):
            return True
        if "text" in self._columns.known:
            return False  # a table of texts: its folder is not searched, which may be large
        finder = MediaFinder(self.root)
        return any(finder.find(name, s)[1] is None for name in first for s in (VIDEO_SUFFIXES, AUDIO_SUFFIXES))

    def finder(self) -> MediaFinder | None:
        """None for a table of texts: then its folder is not searched, which may be large."""
        return MediaFinder(self.root) if self._preset is not None or self._has_media else None

    def notes(self) -> Iterator[str]:
        """The columns in use and those that are not, and what is unusual about the file."""
        if self._preset is not None:
            yield from self._preset.notes()
            return
        yield f"columns used: {self._columns}"
        kept = {column for names in self._kept.values() for column in names.values()}
        ignored = [column for column in self._columns.ignored if column not in kept]
        if ignored:
            yield f"columns ignored: {', '.join(ignored)}"
        if self.options.encoding is None and self._table.encoding != "utf-8-sig":
            yield f"not UTF-8: read as {self._table.encoding}"
        if tuple(self._table.columns) == ANNOTATION_COLUMNS:
            yield "IndoMER's own table: --corpus indomer repairs its damaged texts and adds splits"

    def rows(self) -> Iterator[CorpusRow]:
        """One row per row of the table.

        Raises:
            RunError: If a row cannot be read, or a number in it is not one.
        """
        if self._preset is not None:
            yield from self._preset.rows()
            return
        known, cell = self._columns.known, self._columns.reader
        numbers = {name: (cell(name), read) for name, read in _READ.items() if name in known}
        dimensions = {name: cell(name) for name in _DIMENSIONS if name in known}
        plain = {to: cell(name) for name, to in _PLAIN.items() if name in known}
        written = self._columns.exact_reader("text")
        identity, video, audio, file = cell("id"), cell("video"), cell("audio"), cell("file")
        has_id, has_files, has_audio = "id" in known, bool({"video", "audio"} & known), "audio" in known
        for line, cells in self._table.rows():
            try:
                fields = self._fields(cells, numbers, dimensions, plain, written)
            except ValueError as error:
                raise RunError(f"{self.source}: row {line}: {error}") from error
            name = (identity(cells) or "") if has_id else None
            frames = video(cells)
            track = audio(cells) if has_audio else frames
            media = file(cells)
            if self._id_names_media:
                media, name = name, _without_suffix(name or "")
            yield CorpusRow(f"row {line}", name, None, frames, track, None if has_files else media, fields, cells)

    def _fields(
        self,
        cells: Mapping[str, str],
        numbers: Mapping[str, tuple[Reader, Callable[[str, str], float | PointedFace]]],
        dimensions: Mapping[str, Reader],
        plain: Mapping[str, Reader],
        written: Reader,
    ) -> dict[str, Any]:
        fields: dict[str, Any] = {to: read(cells) for to, read in plain.items()}
        for name, (read, value_of) in numbers.items():
            text = read(cells)
            fields[name] = None if text is None else value_of(text, name)
        fields["text"] = written(cells)
        if self._columns.labels:
            fields["labels"] = self._columns.label_cells(cells)
        for field, kept in self._kept.items():
            fields[field] = {name: cells[column] for name, column in kept.items() if cells[column]}
        if dimensions:
            found = {name: read(cells) for name, read in dimensions.items()}
            fields["dimensions"] = {name: number(text, name) for name, text in found.items() if text is not None}
        return fields


def _without_suffix(name: str) -> str:
    return name.rpartition(".")[0] if name.lower().endswith(MEDIA_SUFFIXES) else name
