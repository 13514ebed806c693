"""Corpora that say everything in the names of their files: one pattern, and a clip of the files of one name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import ClassVar, Generic, NamedTuple

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import InPlaceCorpus, OptionsT
from storage.corpora._shared.tree import path_pattern
from storage.vocabulary.media_suffixes import AUDIO_SUFFIXES, IMAGE_SUFFIXES, MEDIA_SUFFIXES, VIDEO_SUFFIXES


class NamedFile(NamedTuple):
    """A file whose name says what it is.

    Attributes:
        path: Relative to the corpus.
        parts: The groups of the pattern, as they are written.
    """

    path: str
    parts: dict[str, str]

    @property
    def suffix(self) -> str:
        """In small letters, with the dot."""
        return PurePosixPath(self.path).suffix.lower()


class FilesOfClip(NamedTuple):
    """The files of one clip.

    Attributes:
        name: Of the clip.
        files: Its files, those with the shortest paths first.
    """

    name: str
    files: Sequence[NamedFile]


class NamedFiles(InPlaceCorpus[OptionsT], Generic[OptionsT]):
    """A corpus that is read from the names of its files.

    Attributes:
        pattern: Of a whole path, without leading folders and without regard to case; its groups say what a file is.
        example: A path of that pattern, for messages.
        suffixes: Of the files that count.
    """

    pattern: ClassVar[str]
    example: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = MEDIA_SUFFIXES

    @classmethod
    def fits(cls, paths: Sequence[str]) -> bool:
        """Whether most of a folder's media have names of this pattern.

        Args:
            paths: Some of its files, relative to it.
        """
        media = [path for path in paths if path.lower().endswith((*MEDIA_SUFFIXES, *IMAGE_SUFFIXES))]
        named = sum(map(bool, map(path_pattern(cls.pattern).fullmatch, media)))
        return named > 0 and named * 2 > len(media)

    def check(self) -> None:
        """Look for files of the pattern.

        Raises:
            RunError: If the source is not a folder, or has none.
        """
        if not self.source.is_dir():
            found = "a file" if self.source.exists() else "nothing"
            raise RunError(f"{self.source}: expected the folder of {self.title}, found {found}")
        if not self._named:
            raise RunError(f"{self.source}: no file of {self.title}, such as {self.example}, in it and below")

    @cached_property
    def _named(self) -> dict[str, list[NamedFile]]:
        """The files by their clip's name, those with the shortest paths first."""
        named: dict[str, list[NamedFile]] = {}
        for path, found in self.tree.matching(self.pattern):
            if path.lower().endswith(self.suffixes):
                file = NamedFile(path, {name: part or "" for name, part in found.groupdict().items()})
                named.setdefault(self.name_of(file), []).append(file)
        for files in named.values():
            files.sort(key=lambda file: (file.path.count("/"), file.path))
        return named

    @abstractmethod
    def name_of(self, file: NamedFile) -> str:
        """The name of the clip that a file belongs to."""

    @abstractmethod
    def row(self, clip: FilesOfClip) -> CorpusRow | None:
        """What the corpus says of one clip; None where it is left out on purpose, which a note says."""

    def rows(self) -> Iterator[CorpusRow]:
        """One row per name."""
        for name, files in self._named.items():
            row = self.row(FilesOfClip(name, files))
            if row is not None:
                yield row

    def left_over(self) -> Iterable[str]:
        """Media files whose names are not of the pattern."""
        known = {file.path for files in self._named.values() for file in files}
        for path in self.tree.files:
            if path not in known and path.lower().endswith(self.suffixes):
                yield f"{path}: not a name such as {PurePosixPath(self.example).name}"

    def notes(self) -> Iterator[str]:
        """Files that are there twice."""
        for name, files in self._named.items():
            for kind in dict.fromkeys(file.suffix for file in files):
                same = [file.path for file in files if file.suffix == kind and not self.is_other_view(file, files)]
                for path in same[1:]:
                    self.report.duplicates.append(f"{name}: {path} repeats {same[0]}; not taken")
        yield from ()

    def is_other_view(self, file: NamedFile, files: Sequence[NamedFile]) -> bool:
        """Whether a file is not a second copy of one of its clip's, but shows something else.

        Args:
            file: The file.
            files: All files of its clip.
        """
        return False


def video_of(files: Sequence[NamedFile]) -> str | None:
    """The video of a clip's files; None if there is none."""
    return next((file.path for file in files if file.suffix in VIDEO_SUFFIXES), None)


def audio_of(files: Sequence[NamedFile]) -> str | None:
    """The audio file of a clip's files, WAV before the others; None if there is none."""
    audio = [file for file in files if file.suffix in AUDIO_SUFFIXES]
    return min(audio, key=lambda file: AUDIO_SUFFIXES.index(file.suffix)).path if audio else None
