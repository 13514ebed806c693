"""Word times of clips, read from what forced aligners and speech recognisers write.

A folder (or one file) of TextGrids (Praat, MFA), CTM (NIST, Kaldi), JSON (whisperX, Whisper, MFA, or a list of rows)
and tables (CSV, TSV). A file belongs to the media file or the clip that it is named after; where rows name it (the
first field of a CTM, a column `clip_id`, `clip`, `name`, `id`, `file` or `utterance`), to that one. Times are
seconds, from the start of what is named: those of a media file are moved to each clip that is a segment of it.

A word without times, as whisperX leaves numbers, or of no length, has no place in time: it is left out and counted.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from configs.errors import RunError
from storage.clip import Clip, Word
from storage.identity import audio_segment
from storage.wording import counted

_FILES = (".textgrid", ".json")  # one media file or clip each
_TABLES = (".ctm", ".csv", ".tsv")
_KEPT = 256  # files whose words are in memory
_SILENCE = {"", "<eps>", "sil", "<sil>", "sp", "<p:>"}
_CLIP = ("clip_id", "clip", "name", "id", "file", "utterance", "utterance_id", "video")
_WORD = ("word", "text", "label", "token")
_START = ("start", "begin", "start_time", "onset")
_END = ("end", "stop", "end_time", "offset")


class _Row(NamedTuple):
    name: str | None
    text: str
    start: float | None
    end: float | None


class WordFiles:
    """The files that hold words, looked through once.

    Args:
        source: A folder, searched with all it holds, or one file.

    Attributes:
        files: The file of each name that has one of its own.
        tables: Rows by name, of files with rows of several names.

    Raises:
        RunError: If it is not there, holds no file of words, or a table cannot be read.
    """

    def __init__(self, source: Path) -> None:
        if not source.exists():
            raise RunError(f"option words: {source}: no such file or folder")
        paths = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
        kept = [path for path in paths if path.suffix.lower() in (*_FILES, *_TABLES)]
        if not kept:
            raise RunError(f"option words: {source}: expected .TextGrid, .ctm, .json, .csv or .tsv files, got none")
        self.files: dict[str, Path] = {}
        for path in (path for path in kept if path.suffix.lower() in _FILES):
            if (other := self.files.setdefault(path.stem, path)) != path:
                raise RunError(f"option words: {other} and {path}: expected one file for {path.stem}, got two")
        self.tables: dict[str, list[_Row]] = defaultdict(list)
        for path in kept:
            if path.suffix.lower() in _TABLES:
                self._read_table(path)

    def _read_table(self, path: Path) -> None:
        try:
            for row in _of_table(path):
                self.tables[row.name or path.stem].append(row)
        except (OSError, ValueError, KeyError, IndexError, csv.Error) as error:
            raise RunError(f"option words: {path}: {' '.join(str(error).split())}") from error


class WordTimes:
    """The words of all clips of a corpus, in one reading of it.

    Args:
        words: The files that hold them.
    """

    def __init__(self, words: WordFiles) -> None:
        self._words = words
        self._unused = dict.fromkeys((*words.files, *words.tables))
        self._counts: Counter[str] = Counter()
        self._problems: dict[str, str] = {}
        self._read = lru_cache(_KEPT)(self._of_own_file)  # segments of one file come one after another

    def of(self, clip: Clip) -> tuple[Word, ...]:
        """A clip's words in order of start, in seconds from its start; none where nobody says."""
        media = {PurePosixPath(path).stem for path in clip.media.values()}
        own = [name for name in (clip.id, clip.source_id) if name is not None]
        for name in (*sorted(media), *own, *(PurePosixPath(name).stem for name in own)):
            rows = self._rows(name)
            if rows is not None:
                self._counts["clips"] += 1
                return tuple(self._placed(rows, audio_segment(clip) if name in media else (None, None)))
        self._counts["without"] += 1
        return ()

    def notes(self) -> Iterator[str]:
        """What a person should know once all clips were asked for, a line each."""
        without = f"; {counted(self._counts['without'], 'clip')} without" if self._counts["without"] else ""
        yield f"word times of {counted(self._counts['clips'], 'clip')}{without}"
        if self._counts["untimed"]:
            yield f"{counted(self._counts['untimed'], 'word')} without times or length, left out"
        yield from self._problems.values()
        unused = list(self._unused)
        if unused:
            named = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
            yield f"words of {counted(len(unused), 'name')} that no clip or media file has: {named}"

    def _rows(self, name: str) -> list[_Row] | None:
        rows = self._words.tables.get(name)
        if rows is None and name in self._words.files:
            rows = self._read(name)
        if rows is not None or name in self._problems:
            self._unused.pop(name, None)
        return rows

    def _of_own_file(self, name: str) -> list[_Row] | None:
        path = self._words.files[name]
        try:
            return [row for row in _of_file(path) if row.name in {None, name}]
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            self._problems[name] = f"{path.name}: words cannot be read: {said[:200]}"
            return None

    def _placed(self, rows: Iterable[_Row], segment: tuple[float | None, float | None]) -> list[Word]:
        """Words with their times in a segment of what the rows are about; those of other segments are left out."""
        begin, end = segment[0] or 0.0, math.inf if segment[1] is None else segment[1]
        placed = []
        for row in rows:
            if row.text in _SILENCE:
                continue
            if row.start is None or row.end is None or not row.end > row.start:
                self._counts["untimed"] += 1
            elif begin <= (row.start + row.end) / 2 < end:
                start, stop = max(row.start, begin) - begin, min(row.end, end) - begin
                placed.append(Word(row.text, round(start, 6), round(stop, 6)))
        return sorted(placed, key=lambda word: word[1:])


def _of_file(path: Path) -> Iterator[_Row]:
    return _of_textgrid(path) if path.suffix.lower() == ".textgrid" else _of_json(path)


def _of_textgrid(path: Path) -> Iterator[_Row]:
    from praatio import textgrid
    from praatio.data_classes.interval_tier import IntervalTier
    from praatio.utilities.errors import PraatioException

    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    except PraatioException as error:
        raise ValueError(str(error)) from error
    tiers = {
        name: tier for name, tier in zip(grid.tierNames, grid.tiers, strict=True) if isinstance(tier, IntervalTier)
    }
    chosen = [name for name in tiers if name.lower().rpartition(" - ")[2] in {"word", "words"}]
    if not chosen and len(tiers) == 1:
        chosen = list(tiers)
    if not chosen:
        raise ValueError(f"expected a tier of words, got the tiers {', '.join(grid.tierNames) or 'none'}")
    for name in chosen:
        yield from (_Row(None, e.label.strip(), float(e.start), float(e.end)) for e in tiers[name].entries)


def _of_json(path: Path) -> Iterator[_Row]:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    if isinstance(content, list):
        for row in content:
            yield _of_mapping(row)
        return
    if "tiers" in content:  # MFA
        tiers = {k: v for k, v in content["tiers"].items() if k.lower().rpartition(" - ")[2] in {"word", "words"}}
        if not tiers:
            raise ValueError(f"expected a tier of words, got the tiers {', '.join(content['tiers']) or 'none'}")
        for tier in tiers.values():
            yield from (_Row(None, str(label).strip(), float(a), float(b)) for a, b, label in tier["entries"])
        return
    words = [word for segment in content.get("segments", ()) for word in segment.get("words", ())]
    words = words or content.get("words") or content.get("word_segments") or []
    if not words and "segments" not in content:
        raise ValueError("expected tiers (MFA), segments with words (whisperX), or a list of rows")
    for word in words:
        yield _of_mapping(word)


def _of_mapping(row: Mapping[str, Any]) -> _Row:
    lower = {str(key).strip().lower(): value for key, value in row.items() if key is not None}
    name = next((str(lower[key]) for key in _CLIP if lower.get(key) not in {None, ""}), None)
    text = next((lower[key] for key in _WORD if key in lower), None)
    if text is None:
        raise KeyError(f"expected a column {' or '.join(_WORD)}, got {', '.join(lower) or 'nothing'}")
    start, end = (_seconds(next((lower[k] for k in keys if k in lower), None)) for keys in (_START, _END))
    return _Row(name and PurePosixPath(name).stem if name and "/" in name else name, str(text).strip(), start, end)


def _seconds(value: object) -> float | None:
    return None if value is None or str(value).strip() == "" else float(str(value))


def _of_table(path: Path) -> Iterator[_Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix.lower() == ".ctm":
            for line in file:
                if line.strip() and not line.startswith(";;"):
                    name, _, start, seconds, word, *_ = line.split()
                    yield _Row(name, word, float(start), float(start) + float(seconds))
            return
        for row in csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","):
            yield _of_mapping(row)
