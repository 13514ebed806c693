"""From what a corpus says to clips: media found, ids made, rows that cannot be clips reported. Rows stream through.

An id is made of the clip's own row alone. A row whose id an earlier row has is reported and not taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from configs.errors import RunError
from storage.clip import Clip
from storage.corpora._shared.ids import safe_id, segment_name
from storage.corpora._shared.media_finder import ABSENT, MediaFinder
from storage.corpora._shared.report import IngestReport
from storage.media_files import is_image
from storage.vocabulary.media_suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from storage.wording import counted

Rows = Callable[[], Iterator["CorpusRow"]]


@dataclass(slots=True)
class CorpusRow:
    """What a corpus says about one clip, as the corpus spells it.

    Attributes:
        where: Where it says so, for messages, such as `row 3`.
        name: The corpus's own name for the clip; None where it has none: then the media file's, with the segment.
        source_id: What exports may call the clip; the name where not given.
        video: The video file: an exact path, or what a `MediaFinder` can find.
        audio: The audio file, likewise; often the video.
        media: One name for both, where the corpus has no others.
        fields: Other fields of `Clip`, by name; `label` is made of `label_raw`.
        cells: The row as it is written, to say in what a repeated one differs.
    """

    where: str
    name: str | None
    source_id: str | None = None
    video: str | None = None
    audio: str | None = None
    media: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    cells: Mapping[str, str] = field(default_factory=dict)


class _Media(NamedTuple):
    video: str | None
    audio: str | None
    problems: list[str]


_NOTHING = _Media(None, None, [])


class ClipBuilder:
    """Builds clips of rows.

    Args:
        source: The corpus, for messages.
        finder: Finds media files; None where rows give exact paths.
        normalise: Gives the label in merflow's vocabulary for the corpus's own.
        report: What does not fit together is added to it.
        lacks: Modalities that the corpus has none of.
    """

    def __init__(
        self,
        source: str,
        finder: MediaFinder | None,
        normalise: Callable[[str | None], str | None],
        report: IngestReport,
        lacks: tuple[str, ...] = (),
    ) -> None:
        self._lacks = {"lacks": lacks} if lacks else {}
        self._source, self._finder, self._report = source, finder, report
        self._normalise = lru_cache(1024)(normalise)  # a million rows have some ten labels

    def build(self, rows: Rows) -> Iterator[Clip]:
        """The clips, each once, in order.

        Args:
            rows: Gives the rows; called a second time where ids repeat, to say which rows these repeat.

        Raises:
            RunError: If a row has no name and no media.
        """
        unknown_labels: Counter[str] = Counter()
        seen: set[int] = set()  # of 64 bits each: a million ids would take three times the memory
        repeats: list[tuple[str, CorpusRow]] = []
        for row in rows():
            media = self._media(row)
            name = self._name(row, media)
            clip_id = safe_id(name)
            key = hash(clip_id)
            if key in seen:
                repeats.append((clip_id, row))
                continue
            clip = self._clip(row, clip_id, row.source_id or name, media)
            if clip is None:
                continue
            seen.add(key)
            self._report.missing += media.problems
            if clip.label_raw is not None and clip.label is None:
                unknown_labels[clip.label_raw] += 1
            yield clip
        self._report_repeats(rows, repeats)
        self._report.extra += self._finder.unused() if self._finder else []
        self._report.unknown_labels += [f"{raw}: {counted(n, 'clip')}" for raw, n in unknown_labels.most_common()]

    def _name(self, row: CorpusRow, media: _Media) -> str:
        name = row.name
        if name is None:
            part = (row.fields.get(key) for key in ("start", "end", "audio_channel", "audio_track"))
            stem = PurePosixPath(media.video or media.audio or "").stem
            name = segment_name(stem, *part) if stem else ""
        if not name:
            raise RunError(
                f"{self._source}: {row.where}: no id: neither an id nor the name of a media file; give the column of "
                f"the id (id=COLUMN), or several of them (id={{A}}_{{B}})"
            )
        return name

    def _clip(self, row: CorpusRow, clip_id: str, source_id: str, media: _Media) -> Clip | None:
        """The clip of a row; None, and a line in the report, where it cannot be one."""
        raw = row.fields.get("label_raw")
        label = self._normalise(raw)
        fields = {**self._lacks, **row.fields} if self._lacks else row.fields
        try:
            return Clip(clip_id, video=media.video, audio=media.audio, source_id=source_id, label=label, **fields)
        except ValueError as error:
            self._report.refused.append(f"{row.where}: {error}")
            return None

    def _media(self, row: CorpusRow) -> _Media:
        """The files that a row names, and a line for each that is not there."""
        if self._finder is None:
            return _Media(row.video, row.audio, [])
        if row.media is not None:
            return self._media_of_one_name(row, row.media, self._finder)
        if row.video is None and row.audio is None:
            return _NOTHING
        finder, problems = self._finder, list[str]()
        of_images = row.fields.get("frame_rate") is not None

        def look(name: str | None, find: Callable[[str], tuple[str, str | None]]) -> str | None:
            if name is None:
                return None
            path, problem = find(name)
            problems.extend([f"{row.where}: {name}: {problem}"] if problem else [])
            return path

        video = look(row.video, finder.find_folder if of_images else lambda name: finder.find(name, VIDEO_SUFFIXES))
        own = None if of_images or is_image(video) else video
        audio = own if row.audio == row.video else look(row.audio, lambda name: finder.find(name, AUDIO_SUFFIXES))
        return _Media(video, audio, problems)

    @staticmethod
    def _media_of_one_name(row: CorpusRow, name: str, finder: MediaFinder) -> _Media:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in AUDIO_SUFFIXES:
            audio, problem = finder.find(name, AUDIO_SUFFIXES)
            return _Media(None, audio, [f"{row.where}: {name}: {problem}"] if problem else [])
        (video, no_video), (audio, no_audio) = (finder.find(name, s) for s in (VIDEO_SUFFIXES, AUDIO_SUFFIXES))
        problems = [f"{row.where}: {name}: {no_video}"] if no_video and (no_audio or no_video != ABSENT) else []
        if no_video == ABSENT and not no_audio:
            return _Media(None, audio, problems)
        own = None if is_image(video) else video
        return _Media(video, own if no_audio else audio, problems)

    def _report_repeats(self, rows: Rows, repeats: list[tuple[str, CorpusRow]]) -> None:
        """Say of each row that was not taken which one it repeats, and in what it differs."""
        if not repeats:
            return
        wanted, firsts = {clip_id for clip_id, _ in repeats}, {}
        for row in rows():
            clip_id = safe_id(self._name(row, self._media(row)))
            if clip_id in wanted and clip_id not in firsts:
                firsts[clip_id] = row
        for clip_id, row in repeats:
            first = firsts[clip_id]
            mine, other = ({**r.cells, **_shown(r)} for r in (row, first))
            differing = [name for name in mine if mine[name] != other.get(name)]
            how = f"with another {', '.join(differing)}" if differing else "identical"
            self._report.duplicates.append(f"{clip_id}: {row.where} repeats {first.where}, {how}; not taken")


def _shown(row: CorpusRow) -> dict[str, Any]:
    """What tells rows apart that are no rows of a table."""
    return {} if row.cells else {"video": row.video, "audio": row.audio}
