"""Face crops that a corpus releases beside its media: where a clip's lie, and whether they still are what they were."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from storage.clip import Clip
from storage.identity import hash64

IMAGES = (".bmp", ".png", ".jpg", ".jpeg")
_BLOCK = 16 << 10


def names_of(clip: Clip) -> list[str]:
    """What a clip's crops may be called: its id, or the corpus's own name for it."""
    return [name for name in dict.fromkeys((clip.id, clip.source_id)) if name and "/" not in name]


def find_crops(root: Path, clip: Clip) -> Path | None:
    """The array or the folder of images with a clip's crops; None if there is none.

    Args:
        root: Folder with one entry for each clip.
        clip: The clip.
    """
    for name in names_of(clip):
        for path in (root / name / f"{name}.npy", root / f"{name}.npy", root / f"{name}_aligned", root / name):
            if path.is_file() or (path.is_dir() and path.name != path.parent.name):
                return path
    return None


def crops_digest(root: Path, clip: Clip) -> int:
    """64 bits that tell a clip's crops from those that replace them; 0 where the root is not there.

    Looks at the size of each file and at three blocks of 16 KiB: the first, the middle and the last one (of a folder,
    of its first, middle and last image). Reading all of them would take as long as a run.

    Args:
        root: Folder with one entry for each clip.
        clip: The clip.
    """
    path = find_crops(root, clip)
    if path is None:
        return hash64("none") if root.is_dir() else 0
    try:
        if path.is_file():
            return _digest([path])
        return _digest(sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGES))
    except OSError:
        return 0


def _digest(files: list[Path]) -> int:
    sizes = [file.stat().st_size for file in files]
    found = hashlib.blake2b(digest_size=8)
    if len(files) == 1:
        places: Iterable[tuple[int, int]] = ((0, 0), (0, (sizes[0] - _BLOCK) // 2), (0, sizes[0] - _BLOCK))
    else:
        found.update(repr([file.name for file in files]).encode("utf-8", "surrogateescape"))
        places = ((which, 0) for which in sorted({0, len(files) // 2, len(files) - 1} if files else ()))
    found.update(repr(sizes).encode())
    for which, offset in places:
        with files[which].open("rb") as file:
            file.seek(max(0, offset))
            found.update(file.read(_BLOCK))
    return int.from_bytes(found.digest(), "big") or 1
