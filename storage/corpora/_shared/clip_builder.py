"""From what a corpus says to clips: media found, ids unique, repeated rows reported. Rows stream through.

Rows are read twice: once for names only, since an id depends on whether another row claims it too, then to build the
clips. What is kept between are names, not rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from configs.errors import RunError
from storage.clip import Clip
from storage.corpora._shared.ids import unique_ids
from storage.corpora._shared.media_finder import ABSENT, MediaFinder
from storage.corpora._shared.report import IngestReport
from storage.vocabulary.media_suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from storage.wording import counted

Rows = Callable[[], Iterator["CorpusRow"]]


@dataclass(frozen=True, slots=True)
class CorpusRow:
    """What a corpus says about one clip, as the corpus spells it.

    Attributes:
        where: Where it says so, for messages, such as `row 3`.
        names: Names that the id is made of: the corpus's own first, then more precise ones for where it is not unique.
            Rows of one first name are the same clip, and the first row counts. Without any, the clip is named after
            its media file, and rows of the same media and segment are the same clip.
        key: What tells the row from all others where its first name does not.
        video: The video file: an exact path, or what a `MediaFinder` can find.
        audio: The audio file, likewise; often the video.
        media: One name for both, where the corpus has no others.
        fields: Other fields of `Clip`, by name; `label` is made of `label_raw`.
        cells: The row as it is written, to say in what a repeated one differs.
    """

    where: str
    names: tuple[str, ...]
    key: Hashable = None
    video: str | None = None
    audio: str | None = None
    media: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    cells: Mapping[str, str] = field(default_factory=dict)


class ClipBuilder:
    """Builds clips of rows.

    Args:
        source: The corpus, for messages.
        finder: Finds media files; None where rows give exact paths.
        normalise: Gives the label in merflow's vocabulary for the corpus's own.
        report: What does not fit together is added to it.
    """

    def __init__(
        self,
        source: str,
        finder: MediaFinder | None,
        normalise: Callable[[str | None], str | None],
        report: IngestReport,
    ) -> None:
        self._source, self._finder, self._normalise, self._report = source, finder, normalise, report

    def build(self, rows: Rows) -> Iterator[Clip]:
        """The clips, each once, in order.

        Args:
            rows: Gives the rows; called twice.

        Raises:
            RunError: If a row cannot be a clip, or rows of one id name different media.
        """
        names, repeats = self._survey(rows)
        ids = dict(zip(names, unique_ids(list(names.values()), list(map(str, names)), self._report), strict=True))
        unknown_labels: Counter[str] = Counter()
        firsts: dict[Hashable, tuple[CorpusRow, Clip]] = {}
        for row in rows():
            media = self._media(row)
            identity = _identity(row, media)
            if identity not in ids:
                self._report_repeat(*firsts[identity], row, media)
                continue
            clip = self._clip(row, ids.pop(identity), names.pop(identity)[0], media)
            self._report.missing += media.problems
            if identity in repeats:
                firsts[identity] = row, clip
            if clip.label_raw is not None and clip.label is None:
                unknown_labels[clip.label_raw] += 1
            yield clip
        self._report.extra += self._finder.unused() if self._finder else []
        self._report.unknown_labels += [f"{raw}: {counted(n, 'clip')}" for raw, n in unknown_labels.most_common()]

    def _survey(self, rows: Rows) -> tuple[dict[Hashable, tuple[str, ...]], set[Hashable]]:
        """Names of each distinct row, and the identities that occur more than once."""
        names: dict[Hashable, tuple[str, ...]] = {}
        repeats: set[Hashable] = set()
        for row in rows():
            media = self._media(row)
            own = row.names or _names_of_media(row, media)
            if not own[0]:
                raise RunError(f"{self._source}: {row.where}: no id: neither an id nor the name of a media file")
            identity = _identity(row, media)
            if identity in names:
                repeats.add(identity)
            names.setdefault(identity, own)
        return names, repeats

    def _clip(self, row: CorpusRow, clip_id: str, source_id: str, media: _Media) -> Clip:
        raw = row.fields.get("label_raw")
        fields = {"source_id": source_id, "label": self._normalise(raw)} | dict(row.fields)
        try:
            return Clip(clip_id, video=media.video, audio=media.audio, **fields)
        except ValueError as error:
            raise RunError(f"{self._source}: {row.where}: {error}") from error

    def _media(self, row: CorpusRow) -> _Media:
        """The files that a row names, and a line for each that is not there."""
        if self._finder is None:
            return _Media(row.video, row.audio, [])
        if row.media is not None:
            return self._media_of_one_name(row, row.media, self._finder)
        problems: list[str] = []

        def find(name: str | None, suffixes: tuple[str, ...], finder: MediaFinder) -> str | None:
            if name is None:
                return None
            path, problem = finder.find(name, suffixes)
            problems.extend([f"{row.where}: {name}: {problem}"] if problem else [])
            return path

        video = find(row.video, VIDEO_SUFFIXES, self._finder)
        audio = video if row.audio == row.video else find(row.audio, AUDIO_SUFFIXES, self._finder)
        return _Media(video, audio, problems)

    @staticmethod
    def _media_of_one_name(row: CorpusRow, name: str, finder: MediaFinder) -> _Media:
        (video, no_video), (audio, no_audio) = (finder.find(name, s) for s in (VIDEO_SUFFIXES, AUDIO_SUFFIXES))
        problems = [f"{row.where}: {name}: {no_video}"] if no_video and (no_audio or no_video != ABSENT) else []
        if no_video == ABSENT and not no_audio:
            return _Media(None, audio, problems)
        return _Media(video, video if no_audio else audio, problems)

    def _report_repeat(self, first: CorpusRow, clip: Clip, again: CorpusRow, media: _Media) -> None:
        name = str(clip.source_id)
        other = self._clip(again, clip.id, name, media)
        if _media_of(clip) != _media_of(other):
            raise RunError(
                f"{self._source}: id {name!r} in {first.where} and {again.where} names different media; "
                f"choose another column with id=COLUMN, or id= to name clips after their files"
            )
        self._report.missing += media.problems
        differing = [c for c in again.cells if again.cells[c] != first.cells.get(c)]
        how = f"with another {', '.join(differing)}" if differing else "identical"
        self._report.duplicates.append(f"{name}: {again.where} repeats {first.where}, {how}; the first one counts")


class _Media(NamedTuple):
    video: str | None
    audio: str | None
    problems: list[str]


def _identity(row: CorpusRow, media: _Media) -> Hashable:
    if row.key is not None:
        return row.key
    return row.names[0] if row.names else (media.video, media.audio, *_segment(row))


def _segment(row: CorpusRow) -> tuple[Any, Any, Any]:
    return row.fields.get("start"), row.fields.get("end"), row.fields.get("audio_channel")


def _names_of_media(row: CorpusRow, media: _Media) -> tuple[str, ...]:
    """The file's name, its path, and its path with the segment."""
    file = PurePosixPath(media.video or media.audio or "")
    path = str(file.with_suffix("")).replace("/", "__") if file.name else ""
    start, end, _ = _segment(row)
    return file.stem, path, f"{path}_{start or 0:g}-{'end' if end is None else f'{end:g}'}"


def _media_of(clip: Clip) -> tuple[object, ...]:
    return clip.video, clip.audio, clip.start, clip.end, clip.audio_channel
