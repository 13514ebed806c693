"""A folder of clips: every media file below it is a clip.

A video and an audio file of the same name in the same folder are one clip with its own audio file; a video alone
brings its own audio; an audio file alone has no video. A clip's id is its file name without the suffix, or its path
where two of them are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import Corpus, CorpusOptions
from storage.corpora._shared.media_finder import AUDIO_SUFFIXES, MEDIA_SUFFIXES, VIDEO_SUFFIXES, media_files


class FolderOptions(CorpusOptions):
    """Options of the reader `folder`."""


class FolderCorpus(Corpus[FolderOptions]):
    """Media files as clips, without labels."""

    name = "folder"
    Options = FolderOptions

    def default_name(self) -> str:
        """The folder's name."""
        return self.source.absolute().name

    @cached_property
    def _files(self) -> list[PurePosixPath]:
        return media_files(self.source)

    def finder(self) -> None:
        """None: rows give exact paths."""
        return

    def check(self) -> None:
        """Look for media.

        Raises:
            RunError: If the source is not a folder, or holds no media.
        """
        source = self.source
        if not source.is_dir():
            raise RunError(f"{source}: expected a folder of clips, found {'a file' if source.exists() else 'nothing'}")
        if not self._files:
            raise RunError(f"{source}: no media files; looked for {' '.join(MEDIA_SUFFIXES)} in it and below")

    def rows(self) -> Iterator[CorpusRow]:
        """One row per video, and per audio file without a video of its name."""
        groups: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
        for file in self._files:
            groups[file.with_suffix("")].append(file)
        self.report.extra.clear()
        for group in groups.values():
            yield from self._rows_of(group)

    def _rows_of(self, group: list[PurePosixPath]) -> Iterator[CorpusRow]:
        """Rows of the files of one name in one folder."""
        videos = [f for f in group if f.suffix.lower() in VIDEO_SUFFIXES]
        audios = sorted(set(group) - set(videos), key=lambda f: (AUDIO_SUFFIXES.index(f.suffix.lower()), f))
        if not videos:
            yield from (_row(audio, None, str(audio)) for audio in audios)
            return
        self.report.extra += [f"{audio}: {videos[0].name} has its audio from {audios[0].name}" for audio in audios[1:]]
        yield from (_row(video, str(video), str(audios[0] if audios else video)) for video in videos)


def _row(file: PurePosixPath, video: str | None, audio: str) -> CorpusRow:
    path = str(file)
    names = (file.stem, path.removesuffix(file.suffix).replace("/", "__"), path.replace("/", "__"))
    return CorpusRow(path, names, key=path, video=video, audio=audio)
