"""A table with one clip per row: CSV (comma or tab), JSONL, or a JSON list of objects.

Options name the column of each field (`id=sample_id`; empty for none; `split==train` says the same of every row) and
the media folder (`media=videos`). Fields
without an option are found by well-known names, and the report says which columns were used. Columns that end in
`_label` or `_sentiment`, or are called `sentiment`, become further labels. No row is dropped unless it repeats
another one; what does not fit together is in the report. The damaged texts of IndoMER's `Annotations.csv` are repaired.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from storage.corpora._base import (
    AUDIO_SUFFIXES,
    VIDEO_SUFFIXES,
    Ingested,
    IngestReport,
    check_options,
    safe_id,
    unique_ids,
)
from storage.corpora._columns import FIELDS, Columns, choose_columns
from storage.corpora._finder import ABSENT, MediaFinder
from storage.corpora._labels import normalise
from storage.corpora._rows import Table, read_table
from storage.errors import RunError
from storage.indomer_files import ANNOTATION_COLUMNS, repaired
from storage.records import Clip


def read(source: Path, options: Mapping[str, str]) -> Ingested:
    """Read a table.

    Args:
        source: The table file.
        options: Column of each field (`storage.corpora._columns.FIELDS`); `media`, the media folder, relative to the
            table's folder or else to the current one, default the table's folder; `corpus`, the corpus's name,
            default the file's.

    Raises:
        RunError: If the table cannot be read, a column or the media folder does not exist, a number is not one, or
            one id names different media. One line that says where.
    """
    check_options(options, [*FIELDS, "media", "corpus"], "corpus table")
    table = read_table(source)
    columns = choose_columns(table.columns, options, str(source))
    report = IngestReport(options.get("corpus") or source.stem, notes=[f"columns used: {columns}"])
    if table.encoding != "utf-8-sig":
        report.notes.append(f"not UTF-8: read as {table.encoding}")
    root = _media_root(source, options.get("media"))
    drafts = _Drafts(source, columns, _finder(source, root, columns, options), report)
    kept = list(_distinct(drafts.of(_repaired(table, report)), drafts))
    ids = unique_ids([drafts.names(d) for d in kept], [str(drafts.key(d)) for d in kept], report)
    clips = [replace(d.clip, id=clip_id) for clip_id, d in zip(ids, kept, strict=True)]
    drafts.finish(clips)
    return Ingested(root, clips, report)


def _repaired(table: Table, report: IngestReport) -> list[tuple[int, dict[str, str]]]:
    """The table's rows; those of IndoMER's own table with their texts whole."""
    if tuple(table.columns) != ANNOTATION_COLUMNS:
        return table.rows
    rows = [(line, cells | {"text": repaired(cells["text"])}) for line, cells in table.rows]
    damaged = sum(new != old for new, old in zip(rows, table.rows, strict=True))
    if damaged:
        report.notes.append(f"{damaged} texts had GBK punctuation read as Latin-1 and were repaired")
    return rows


def _media_root(source: Path, media: str | None) -> Path:
    candidates = [source.parent / (media or ""), Path(media or "")]
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise RunError(f"media={media}: no such folder; looked for {' and '.join(str(c.absolute()) for c in candidates)}")


def _finder(source: Path, root: Path, columns: Columns, options: Mapping[str, str]) -> MediaFinder | None:
    """None for a table of texts: then its folder is not searched, which may be large."""
    if {"video", "audio"} & columns.fields.keys() or "media" in options:
        return MediaFinder(root)
    if "text" in columns.fields:
        return None
    raise RunError(
        f"{source}: no column names media or text; give video=COLUMN, audio=COLUMN, text=COLUMN or media=FOLDER"
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    line: int
    cells: Mapping[str, str]
    clip: Clip  # without its final id


class _Drafts:
    """Makes clips of rows; keeps the report."""

    def __init__(self, source: Path, columns: Columns, finder: MediaFinder | None, report: IngestReport) -> None:
        self._source, self._columns, self._finder, self._report = source, columns, finder, report

    def of(self, rows: Iterable[tuple[int, dict[str, str]]]) -> Iterator[_Draft]:
        for line, cells in rows:
            try:
                yield _Draft(line, cells, self._clip(line, cells))
            except ValueError as error:
                raise RunError(f"{self._source}: row {line}: {error}") from error

    def _clip(self, line: int, cells: Mapping[str, str]) -> Clip:
        cell = {name: self._columns.cell(cells, name) for name in FIELDS}
        video, audio = self._media(line, cell)
        source_id = cell["id"] if "id" in self._columns.fields else PurePosixPath(video or audio or "").stem
        if not source_id:
            raise ValueError("no id: neither an id nor the name of a media file")
        channel = _number(cell, "audio_channel")
        dimensions = {name: _number(cell, name) for name in ("valence", "arousal", "dominance")}
        return Clip(
            safe_id(source_id),
            video=video,
            audio=audio,
            start=_number(cell, "start"),
            end=_number(cell, "end"),
            audio_channel=None if channel is None else int(channel),
            text=self._columns.exact(cells, "text"),
            split=cell["split"],
            speaker=cell["speaker"],
            group=cell["group"],
            language=cell["language"],
            label_raw=cell["label"],
            label=normalise(cell["label"]),
            labels=self._columns.label_cells(cells),
            dimensions={name: value for name, value in dimensions.items() if value is not None},
            source_id=source_id,
        )

    def _media(self, line: int, cell: Mapping[str, str | None]) -> tuple[str | None, str | None]:
        if not {"video", "audio"} & self._columns.fields.keys():
            return self._media_by_id(line, cell["id"])
        video = self._found(line, cell["video"], VIDEO_SUFFIXES)
        if "audio" not in self._columns.fields:
            return video, video
        return video, self._found(line, cell["audio"], AUDIO_SUFFIXES)

    def _media_by_id(self, line: int, name: str | None) -> tuple[str | None, str | None]:
        if self._finder is None or name is None:
            return None, None
        (video, no_video), (audio, no_audio) = (self._finder.find(name, s) for s in (VIDEO_SUFFIXES, AUDIO_SUFFIXES))
        if no_video and (no_audio or no_video != ABSENT):
            self._report.missing.append(f"row {line}: {name}: {no_video}")
        if no_video == ABSENT and not no_audio:
            return None, audio
        return video, video if no_audio else audio

    def _found(self, line: int, name: str | None, suffixes: tuple[str, ...]) -> str | None:
        if name is None or self._finder is None:
            return None
        path, problem = self._finder.find(name, suffixes)
        if problem:
            self._report.missing.append(f"row {line}: {name}: {problem}")
        return path

    def key(self, draft: _Draft) -> object:
        """What tells a row from all others: its id, or its media and segment in a table without ids."""
        return draft.clip.source_id if "id" in self._columns.fields else _media_of(draft.clip)

    def names(self, draft: _Draft) -> list[str]:
        """Ids to try: the table's, or without one the file's name, its path, and its path with the segment."""
        clip = draft.clip
        if "id" in self._columns.fields:
            return [clip.source_id or ""]
        path = str(PurePosixPath(clip.video or clip.audio or "").with_suffix("")).replace("/", "__")
        end = "end" if clip.end is None else f"{clip.end:g}"
        return [clip.source_id or "", path, f"{path}_{clip.start or 0:g}-{end}"]

    def repeated(self, first: _Draft, again: _Draft) -> None:
        """Report a row that repeats another one's id.

        Raises:
            RunError: If they name different media.
        """
        name = again.clip.source_id
        if _media_of(first.clip) != _media_of(again.clip):
            raise RunError(
                f"{self._source}: id {name!r} in rows {first.line} and {again.line} names different media; "
                f"choose another column with id=COLUMN, or id= to name clips after their files"
            )
        differing = [c for c in again.cells if again.cells[c] != first.cells.get(c)]
        how = f"with another {', '.join(differing)}" if differing else "identical"
        self._report.duplicates.append(
            f"{name}: row {again.line} repeats row {first.line}, {how}; the first one counts"
        )

    def finish(self, clips: Iterable[Clip]) -> None:
        """Report files without a row and labels without a counterpart."""
        self._report.extra += self._finder.unused() if self._finder else []
        unknown = Counter(c.label_raw for c in clips if c.label_raw is not None and c.label is None)
        self._report.unknown_labels += [f"{raw}: {count} clips" for raw, count in unknown.most_common()]


def _distinct(drafts: Iterable[_Draft], reader: _Drafts) -> Iterator[_Draft]:
    seen: dict[object, _Draft] = {}
    for draft in drafts:
        first = seen.setdefault(reader.key(draft), draft)
        if first is draft:
            yield draft
        else:
            reader.repeated(first, draft)


def _media_of(clip: Clip) -> tuple[object, ...]:
    return clip.video, clip.audio, clip.start, clip.end, clip.audio_channel


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
