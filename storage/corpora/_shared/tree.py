"""The files of a corpus, found by what their paths look like: at any depth, without regard to case, junk left out."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TextIO

from configs.errors import RunError
from configs.paths import is_remote
from storage.corpora._shared.media_finder import is_wanted, walk_files
from storage.corpora._shared.text_encoding import encoding_of
from storage.media_files import is_lfs_pointer
from storage.remote import names_below
from storage.vocabulary.media_suffixes import IMAGE_SUFFIXES, MEDIA_SUFFIXES

_MANY = (*MEDIA_SUFFIXES, *IMAGE_SUFFIXES)
_LOOKED_AT = {"folders": 40, "many": 40, "others": 400, "depth": 7, "all": 2000}


def path_pattern(pattern: str) -> re.Pattern[str]:
    """What matches whole paths that end as a pattern says, at any depth and without regard to case.

    Args:
        pattern: A regular expression for a path without the folders above.
    """
    return re.compile(rf"(?:.*/)?{pattern}", re.IGNORECASE)


class Tree:
    """A corpus's folder.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def files(self) -> list[str]:
        """Every file that is not junk, as a path relative to the folder, in the order of their parts."""
        return sorted(walk_files(self.root), key=lambda path: path.split("/"))

    def matching(self, pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
        """Files whose path ends as a pattern says, with the match.

        Args:
            pattern: A regular expression for a whole path, without the folders above.
        """
        compiled = path_pattern(pattern)
        for path in self.files:
            found = compiled.fullmatch(path)
            if found is not None:
                yield path, found

    def first(self, pattern: str) -> Path | None:
        """The file with the shortest path of those that match; None if none does.

        Args:
            pattern: As for `matching`.
        """
        found = min((path for path, _ in self.matching(pattern)), key=lambda p: (p.count("/"), p), default=None)
        return None if found is None else self.root / found

    def counterpart(self, path: str, folder: str, other: str, suffix: str) -> str:
        """Where a file's partner lies: in another folder of the same tree, under the same name.

        Args:
            path: Of the file.
            folder: Folder on its path, in any case.
            other: What that is called for the partner.
            suffix: The partner's.
        """
        swapped = re.sub(rf"(^|/){folder}/", rf"\g<1>{other}/", path, count=1, flags=re.IGNORECASE)
        return str(PurePosixPath(swapped).with_suffix(suffix))


def read_text(path: Path) -> str:
    """The text of a file of a corpus, in the encoding that it is in.

    Args:
        path: The file.

    Raises:
        RunError: If it cannot be read, or is what git-LFS leaves where the real one was not fetched.
    """
    try:
        refuse_pointer(path)
        return path.read_text(encoding=encoding_of(path))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from error


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a large file of a corpus as text, in the encoding that it is in.

    Args:
        path: The file.

    Raises:
        RunError: If it cannot be read, or is what git-LFS leaves where the real one was not fetched.
    """
    refuse_pointer(path)
    try:
        with path.open(encoding=encoding_of(path), newline="") as file:
            yield file
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from error


def refuse_pointer(path: Path) -> None:
    """Refuse a file that is only a pointer to one.

    Args:
        path: The file.

    Raises:
        RunError: Says what to do.
    """
    if is_lfs_pointer(path):
        raise RunError(f"{path}: a git-LFS pointer, not the file itself; run `git lfs pull` in its repository")


def some_files(root: Path) -> list[str]:
    """Some of a folder's files as paths relative to it, a few of each kind from each inner folder.

    It looks at a bounded number of folders, however many there are.

    Args:
        root: The folder.
    """
    found: list[str] = []
    waiting, seen = deque([("", 0)]), 0
    while waiting and seen < _LOOKED_AT["all"]:
        inner, depth = waiting.popleft()
        seen += 1
        folders, files = _entries(root / inner)
        many = [name for name in files if name.lower().endswith(_MANY)]
        others = [name for name in files if not name.lower().endswith(_MANY)]
        kept = [*islice(many, _LOOKED_AT["many"]), *islice(others, _LOOKED_AT["others"])]
        found += [f"{inner}{name}" for name in kept]
        if depth < _LOOKED_AT["depth"]:
            waiting += [(f"{inner}{name}/", depth + 1) for name in folders[: _LOOKED_AT["folders"]]]
    return found


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the other files in a folder, sorted, without junk."""
    if is_remote(folder):
        names = {name.split("/")[0]: "/" in name for name in names_below(folder)}
    else:
        _, inner, others = next(os.walk(folder), ("", [], []))  # nothing of what may not be seen
        names = dict.fromkeys(inner, True) | dict.fromkeys(others, False)
    wanted = sorted(filter(is_wanted, names))
    return [name for name in wanted if names[name]], [name for name in wanted if not names[name]]
