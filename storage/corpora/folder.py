"""A folder of clips: every media file below it is a clip.

A video and an audio file of the same name in the same folder are one clip with its own audio file; a video alone
brings its own audio; an audio file alone has no video. A clip's id is its file name without the suffix; in an inner
folder its path, with `.` for `/`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions, InPlaceCorpus
from storage.corpora._shared.media_finder import media_files, other_files
from storage.vocabulary.media_suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES


def _often_first(counted: tuple[str, int]) -> tuple[int, str]:
    return -counted[1], counted[0]


class FolderOptions(CorpusOptions):
    """Options of the reader `folder`.

    Attributes:
        audio_track: Audio track of every file, from 0; FFmpeg's choice where not given.
        video_track: Video track of every file, from 0; FFmpeg's choice where not given.
    """

    audio_track: int | None = None
    video_track: int | None = None


class FolderCorpus(InPlaceCorpus[FolderOptions]):
    """Media files as clips, without labels."""

    name = "folder"
    Options = FolderOptions

    def default_name(self) -> str:
        """The folder's name."""
        return self.source.absolute().name

    @cached_property
    def _files(self) -> list[str]:
        return media_files(self.source)

    def check(self) -> None:
        """Look for media.

        Raises:
            RunError: If the source is not a folder, or holds no media.
        """
        source = self.source
        if not source.is_dir():
            raise RunError(f"{source}: expected a folder of clips, found {'a file' if source.exists() else 'nothing'}")
        if not self._files:
            others = ", ".join(f"{count} {suffix}" for suffix, count in other_files(source).most_common(5)) or "no file"
            raise RunError(f"{source}: no media files (such as .mp4 or .wav) in it and below; found {others}")

    def notes(self) -> Iterator[str]:
        """Which files are not media."""
        others = other_files(self.source)
        if others:
            counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items(), key=_often_first))
            yield f"not media, left out: {counts}"

    def rows(self) -> Iterator[CorpusRow]:
        """One row per video, and per audio file without a video of its name."""
        groups: dict[str, list[str]] = defaultdict(list)
        for file in self._files:
            groups[os.path.splitext(file)[0]].append(file)  # noqa: PTH122  # a path object costs ten times as much
        self.report.extra.clear()
        for name, group in groups.items():
            yield from self._rows_of(name, group)

    def _rows_of(self, name: str, group: list[str]) -> Iterator[CorpusRow]:
        """Rows of the files of one name in one folder."""
        videos = [f for f in group if _suffix(f) in VIDEO_SUFFIXES]
        audios = sorted(set(group) - set(videos), key=lambda f: (AUDIO_SUFFIXES.index(_suffix(f)), f))
        if not videos:
            yield from (self._row(name, None, audio) for audio in audios)
            return
        first = PurePosixPath(videos[0]).name
        self.report.extra += [f"{a}: {first} has its audio from {PurePosixPath(audios[0]).name}" for a in audios[1:]]
        yield from (self._row(name, video, audios[0] if audios else video) for video in videos)

    def _row(self, name: str, video: str | None, audio: str) -> CorpusRow:
        fields = {
            track: chosen
            for track in ("audio_track", "video_track")
            if (chosen := getattr(self.options, track)) is not None
        }
        stem = name.rpartition("/")[2]
        return CorpusRow(video or audio, name.replace("/", "."), stem, video=video, audio=audio, fields=fields)


def _suffix(file: str) -> str:
    return os.path.splitext(file)[1].lower()  # noqa: PTH122
