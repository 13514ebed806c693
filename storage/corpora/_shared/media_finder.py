"""From what a corpus says about a media file to the file itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from configs.errors import RunError
from configs.paths import as_path, is_remote
from storage.media_files import leaves_root
from storage.remote import names_below
from storage.vocabulary.media_suffixes import MEDIA_SUFFIXES

_JUNK = {"__MACOSX", "Thumbs.db"}
ABSENT = "no such file"
_MEDIA = frozenset(MEDIA_SUFFIXES)


class MediaFinder:
    """Finds the files of one media folder.

    Args:
        root: The media folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._inside = f"{root.absolute().as_posix()}/"
        self._files = dict.fromkeys(media_files(root), False)  # and whether a row names it

    def find(self, value: str, suffixes: Iterable[str]) -> tuple[str, str | None]:
        """Find one file.

        Args:
            value: A URL, a path relative to the media folder, an absolute path, or the end of a path that occurs once
                in the folder (`clip_1.mp4` for `videos/clip_1.mp4`); the suffix may be left out.
            suffixes: Suffixes that count where it is left out.

        Returns:
            The path to keep, relative to the media folder where it lies inside, and what is wrong: None, or why the
            file was not found. A path that was not found is kept as it was given.
        """
        if value in self._files:
            self._files[value] = True
            return value, None
        if "://" in value:
            return value, None
        path = PurePosixPath(value.replace("\\", "/").removeprefix(self._inside))
        if leaves_root(str(path)):
            above = os.path.commonpath([self._inside, os.path.normpath(PurePosixPath(self._inside, path))])
            return value, f"outside of the media folder {self._root}; a folder that holds it is {above} (media=FOLDER)"
        if str(path) in self._files or (self._root / path).is_file():
            return self._use(str(path)), None
        close = self._ending(path, suffixes)
        if len(close) == 1:
            return self._use(close[0]), None
        return value, f"{len(close)} files match: {', '.join(close[:3])}" if close else ABSENT

    def find_folder(self, value: str) -> tuple[str, str | None]:
        """Find a folder of images; the same as `find` otherwise.

        Args:
            value: Its path, relative to the media folder or absolute.
        """
        path = value.replace("\\", "/").removeprefix(self._inside).rstrip("/")
        return (path, None) if (self._root / path).is_dir() else (value, "no such folder")

    def _ending(self, path: PurePosixPath, suffixes: Iterable[str]) -> list[str]:
        """Files whose path ends like another one."""
        has_suffix = path.suffix.lower() in _MEDIA
        stem = path.stem if has_suffix else path.name
        found = []
        for file in map(PurePosixPath, self._by_stem.get(stem, ())):
            same = file.name == path.name if has_suffix else file.suffix.lower() in suffixes
            if same and file.parts[-len(path.parts) : -1] == path.parts[:-1]:
                found.append(str(file))
        return found

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """Files by their name without the suffix; made only where a row does not give an exact path."""
        found: dict[str, list[str]] = {}
        for file in self._files:
            found.setdefault(PurePosixPath(file).stem, []).append(file)
        return found

    def _use(self, path: str) -> str:
        if path in self._files:
            self._files[path] = True
        return path

    def unused(self) -> list[str]:
        """Media files that were never found, sorted."""
        return [name for name, is_used in self._files.items() if not is_used]


def find_media_folder(beside: Path, media: str | None) -> Path:
    """The media folder that an option `media` names.

    Args:
        beside: Folder of the corpus; the media folder where the option is not given.
        media: Value of the option: relative to that folder, or else to the current one.

    Raises:
        RunError: If there is no such folder.
    """
    given = as_path(media or "")
    candidates = [given] if is_remote(given) else [beside / given, given]
    for folder in candidates:
        if folder.is_dir():
            return folder
    looked = " and ".join(dict.fromkeys(str(candidate.absolute()) for candidate in candidates))
    raise RunError(f"media={media}: no such folder; looked for {looked}")


def media_files(root: Path) -> list[str]:
    """Media files under a folder, sorted by their parts, as paths relative to it.

    Links are followed. Hidden files, `__MACOSX` and what operating systems leave behind are not media.
    """
    return sorted((p for p in walk_files(root) if os.path.splitext(p)[1].lower() in _MEDIA), key=lambda p: p.split("/"))  # noqa: PTH122


def other_files(root: Path) -> Counter[str]:
    """How many files under a folder are not media, by their suffix (`no suffix` where they have none)."""
    suffixes = (PurePosixPath(p).suffix.lower() for p in walk_files(root))
    return Counter(suffix or "no suffix" for suffix in suffixes if suffix not in _MEDIA)


def walk_files(root: Path) -> Iterator[str]:
    """Files under a folder that are not junk, as paths relative to it; links are followed, each folder once."""
    if is_remote(root):
        yield from (name for name in names_below(root) if all(map(is_wanted, name.split("/"))))
        return
    visited: set[str] = set()
    above = len(str(root).rstrip("/")) + 1
    for folder, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        inner[:] = [] if real in visited else [n for n in inner if is_wanted(n)]
        if real not in visited:
            visited.add(real)
            prefix = f"{folder}/"[above:] if folder != str(root) else ""
            yield from (prefix + n for n in names if is_wanted(n))


def is_wanted(name: str) -> bool:
    """Whether a file or folder of this name is not hidden, and no junk of an operating system."""
    return not name.startswith(".") and name not in _JUNK
