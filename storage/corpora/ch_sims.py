"""CH-SIMS v2 and v1, and CMU-MOSI and MOSEI as MMSA ships them: sentiment scores of each modality and of all together.

Tree: `meta.csv` or `label.csv` with the columns `video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode`
and `Raw/<video_id>/<clip_id>.mp4`. Version 1 has `metadata/sentiment/label_{M,T,A,V}.csv`,
`metadata/{train,val,test}_index.csv` (row numbers) and a transcript file instead.
Labels: scores (-1..1 in SIMS, -3..3 in MOSI and MOSEI, told apart by their range) are dimensions `sentiment`,
`sentiment_text`, `sentiment_audio`, `sentiment_video`; the word of `annotation` is `labels["sentiment"]`. There are no
emotions.
Splits: as `mode` says. Clips of one source video are spread over the splits (128 of 145 in test of v2), so that the
official split leaks scenes and speakers: the source video is the group, and `merflow split` reports it.
Quirks: ids keep their zeros (`0001`, `00001`, `00001_1`); in version 1 clip numbers are printed with four digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from configs.errors import RunError
from storage.corpora._shared.cell_values import number, number_or_none
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import Corpus, CorpusOptions
from storage.corpora._shared.media_finder import MediaFinder
from storage.corpora._shared.table_file import TableFile
from storage.vocabulary.media_suffixes import VIDEO_SUFFIXES

_TABLE = r"(?:meta|label)\.csv"
_V1 = r"metadata/sentiment/label_m\.csv"
_SCORES = {
    "label": "sentiment",
    "label_T": "sentiment_text",
    "label_A": "sentiment_audio",
    "label_V": "sentiment_video",
}
_V2_CLIPS = {"train": 2722, "valid": 647, "test": 1034}
_V2_SIGN = "aqgy"
_KEYS = ("video_id", "clip_id")


class ChSimsCorpus(Corpus[CorpusOptions]):
    """Clips with their text and sentiment scores."""

    name = "ch_sims"
    Options = CorpusOptions
    title = "CH-SIMS"
    citation = "Yu et al., CH-SIMS, ACL 2020; Liu et al., Make Acoustic and Visual Cues Matter: CH-SIMS v2.0, ICMI 2022"
    licence = "open links, no licence stated (github.com/thuiar/ch-sims-v2); MOSI and MOSEI have their own terms"
    signs = (rf"(?:{_TABLE}|{_V1})", r"raw/[^/]+/[^/]+\.(?:mp4|mkv|avi)")

    def check(self) -> None:
        """Look for the table.

        Raises:
            RunError: If it is not there, or lacks a column.
        """
        if not self.source.is_dir():
            raise RunError(f"{self.source}: expected the folder of CH-SIMS, with meta.csv or label.csv")
        if not self._is_v1 and self._path is None:
            raise RunError(f"{self.source}: expected meta.csv, label.csv or metadata/sentiment/label_M.csv, found none")
        lacking = [name for name in (*_KEYS, "label") if name not in self._table.columns]
        if lacking:
            raise RunError(f"{self._table.path}: no column {lacking[0]}; columns: {', '.join(self._table.columns)}")

    @cached_property
    def _path(self) -> Path | None:
        return self.tree.first(_TABLE)

    @cached_property
    def _is_v1(self) -> bool:
        return self._path is None and self.tree.first(_V1) is not None

    @cached_property
    def _table(self) -> TableFile:
        return TableFile.open(self._path or self.source / str(self.tree.first(_V1)))

    def finder(self) -> MediaFinder:
        """Finds clips by their folder and name."""
        return MediaFinder(self.source)

    @cached_property
    def _scale(self) -> str:
        """The scale of the scores: that of MOSI and MOSEI where one is beyond 1."""
        rows = (cells.get("label", "") for _, cells in self._table.rows())
        return "-3..3" if any(abs(number_or_none(text) or 0.0) > 1 for text in rows) else "-1..1"

    @cached_property
    def _other_scores(self) -> dict[str, dict[tuple[str, str], str]]:
        """Scores of version 1 that lie in tables of their own."""
        found: dict[str, dict[tuple[str, str], str]] = {}
        for column in ("label_T", "label_A", "label_V") if self._is_v1 else ():
            path = self.tree.first(rf"metadata/sentiment/{column}\.csv")
            if path is not None:
                rows = TableFile.open(path).rows()
                found[column] = {(c.get("video_id", ""), c.get("clip_id", "")): c.get("label", "") for _, c in rows}
        return found

    @cached_property
    def _splits(self) -> dict[int, str]:
        """Split by row number of version 1."""
        found: dict[int, str] = {}
        for split, name in (("train", "train"), ("valid", "val"), ("test", "test")):
            path = self.tree.first(rf"metadata/{name}_index\.csv") if self._is_v1 else None
            if path is not None:
                words = path.read_text(encoding="utf-8-sig").replace(",", "\n").split()
                found |= {int(word): split for word in words if word.isdigit()}
        return found

    @cached_property
    def _transcripts(self) -> dict[tuple[str, str], str]:
        """Texts of version 1."""
        path = self.tree.first(r".*transcript.*\.csv") if self._is_v1 else None
        if path is None:
            return {}
        texts: dict[tuple[str, str], str] = {}
        for _, cells in TableFile.open(path).rows():
            text = next((cells[name] for name in ("text", "transcript", "sentence") if cells.get(name)), "")
            texts[cells.get("video_id", ""), cells.get("clip_id", "")] = text
        return texts

    def rows(self) -> Iterator[CorpusRow]:
        """One row per row of the table.

        Raises:
            RunError: If a score is no number.
        """
        for index, (line, cells) in enumerate(self._table.rows()):
            try:
                yield self._row(index, line, cells)
            except ValueError as error:
                raise RunError(f"{self._table.path}: row {line}: {error}") from error

    def _row(self, index: int, line: int, cells: Mapping[str, str]) -> CorpusRow:
        video, clip = (cells[name].strip() for name in _KEYS)
        key = video, clip
        scores = dict(cells) | {column: of.get(key, "") for column, of in self._other_scores.items()}
        given = {name: scores.get(column, "").strip() for column, name in _SCORES.items()}
        dimensions = {name: number(text, name) for name, text in given.items() if text}
        printed = f"{int(clip):04d}" if self._is_v1 and clip.isdigit() else clip
        annotation = cells.get("annotation", "").strip()
        fields: dict[str, Any] = {
            "split": cells.get("mode", "").strip() or self._splits.get(index),
            "text": cells.get("text") or self._transcripts.get(key) or None,
            "group": video,
            "labels": {"sentiment": annotation} if annotation else {},
            "dimensions": dimensions,
            "scales": dict.fromkeys(dimensions, self._scale),
        }
        name = f"{video}_{printed}"
        return CorpusRow(f"row {line}", name, media=f"{video}/{printed}{self._suffix}", fields=fields, cells=cells)

    @cached_property
    def _suffix(self) -> str:
        """Suffix of the clips, so that a name with a dot is found too."""
        clips = (PurePosixPath(path).suffix for path, _ in self.tree.matching(r"raw/[^/]+/[^/]+"))
        return next((suffix for suffix in clips if suffix.lower() in VIDEO_SUFFIXES), ".mp4")

    def expected(self) -> Mapping[str, int]:
        """Those of version 2, whose video names only it has."""
        videos = (cells.get("video_id", "") for _, cells in self._table.rows())
        return _V2_CLIPS if any(video.startswith(_V2_SIGN) for video in videos) else {}

    expected_clips: ClassVar[Mapping[str, int]] = _V2_CLIPS

    def notes(self) -> Iterator[str]:
        """The scale of the scores."""
        yield f"scores are taken to be on the scale {self._scale}"
