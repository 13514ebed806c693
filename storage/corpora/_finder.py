"""From what a table says about a media file to the file itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from storage.corpora._base import MEDIA_SUFFIXES, media_files

ABSENT = "no such file"


class MediaFinder:
    """Finds the files of one media folder.

    Args:
        root: The media folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, PurePosixPath] = {str(p): p for p in media_files(root)}
        self._by_name: dict[str, list[PurePosixPath]] = defaultdict(list)
        for path in self._known.values():
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
        if str(path) in self._known or (self._root / path).is_file():
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
        return [name for name in self._known if name not in self._used]


def _ends(file: PurePosixPath, wanted: PurePosixPath) -> bool:
    return file.parts[-len(wanted.parts) : -1] == wanted.parts[:-1]
