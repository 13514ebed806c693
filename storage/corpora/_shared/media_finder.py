"""From what a corpus says about a media file to the file itself."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from configs.errors import RunError
from storage.vocabulary.media_suffixes import MEDIA_SUFFIXES

_JUNK = {"__MACOSX", "Thumbs.db"}
ABSENT = "no such file"


class MediaFinder:
    """Finds the files of one media folder.

    Args:
        root: The media folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, PurePosixPath] = {str(p): p for p in media_files(root)}
        self._by_name: dict[str, list[PurePosixPath]] = defaultdict(list)
        for path in self._files.values():
            self._by_name[path.name].append(path)
            self._by_name[path.stem].append(path)
        self._used: set[str] = set()

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
        if "://" in value:
            return value, None
        path = PurePosixPath(value.replace("\\", "/"))
        if path.is_relative_to(self._root.absolute().as_posix()):
            path = path.relative_to(self._root.absolute().as_posix())
        if str(path) in self._files or (self._root / path).is_file():
            return self._use(path), None
        has_suffix = path.suffix.lower() in MEDIA_SUFFIXES
        close = [
            p
            for p in self._by_name.get(path.name, [])
            if _ends(p, path) and (has_suffix or p.suffix.lower() in suffixes)
        ]
        if len(close) == 1:
            return self._use(close[0]), None
        return value, f"{len(close)} files match: {', '.join(map(str, close[:3]))}" if close else ABSENT

    def _use(self, path: PurePosixPath) -> str:
        self._used.add(str(path))
        return str(path)

    def unused(self) -> list[str]:
        """Media files that were never found, sorted."""
        return [name for name in self._files if name not in self._used]


def find_media_folder(beside: Path, media: str | None) -> Path:
    """The media folder that an option `media` names.

    Args:
        beside: Folder of the corpus; the media folder where the option is not given.
        media: Value of the option: relative to that folder, or else to the current one.

    Raises:
        RunError: If there is no such folder.
    """
    candidates = [beside / (media or ""), Path(media or "")]
    for folder in candidates:
        if folder.is_dir():
            return folder
    looked = " and ".join(str(candidate.absolute()) for candidate in candidates)
    raise RunError(f"media={media}: no such folder; looked for {looked}")


def _ends(file: PurePosixPath, wanted: PurePosixPath) -> bool:
    return file.parts[-len(wanted.parts) : -1] == wanted.parts[:-1]


def media_files(root: Path) -> list[PurePosixPath]:
    """Media files under a folder, sorted, as paths relative to it.

    Links are followed. Hidden files, `__MACOSX` and what operating systems leave behind are not media.
    """
    paths = [p for p in _walk(root) if PurePosixPath(p).suffix.lower() in MEDIA_SUFFIXES]
    return sorted(PurePosixPath(p) for p in paths)


def other_files(root: Path) -> Counter[str]:
    """How many files under a folder are not media, by their suffix (`no suffix` where they have none)."""
    suffixes = (PurePosixPath(p).suffix.lower() for p in _walk(root))
    return Counter(suffix or "no suffix" for suffix in suffixes if suffix not in MEDIA_SUFFIXES)


def _walk(root: Path) -> Iterator[str]:
    visited: set[str] = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        inner[:] = [] if real in visited else [n for n in inner if _is_wanted(n)]
        if real not in visited:
            visited.add(real)
            yield from (Path(folder, n).relative_to(root).as_posix() for n in names if _is_wanted(n))


def _is_wanted(name: str) -> bool:
    return not name.startswith(".") and name not in _JUNK
