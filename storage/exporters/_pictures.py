"""Pictures in exports: storage opens no media, a `PictureReader` that is handed in does."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

from storage.errors import ClipError, RunError

if TYPE_CHECKING:
    from collections.abc import Generator

    from storage.exporters import PictureReader, Rgb
    from storage.records import Clip


def reader_for(reader: PictureReader | None, option: str) -> PictureReader:
    """The reader.

    Raises:
        RunError: If none was handed in.
    """
    if reader is None:
        raise RunError(f"option {option}: needs the clips' media and nothing was given to read them with (reader=)")
    return reader


def pictures_at(reader: PictureReader, clip: Clip, root: Path, wanted: Collection[int]) -> Iterator[tuple[int, Rgb]]:
    """Some pictures of a clip by their number from 0, in order; decodes no further than the last one wanted.

    Raises:
        RunError: If the media cannot be read or has fewer pictures; names the clip.
    """
    left = set(wanted)
    try:
        with closing(cast("Generator[Rgb]", reader.pictures(clip, root))) as pictures:
            for index, picture in enumerate(pictures if left else ()):
                if index in left:
                    left.discard(index)
                    yield index, picture
                if not left:
                    return
    except ClipError as error:
        raise RunError(f"clip {clip.id}, pictures: expected media that can be read, got {error.message}") from error
    if left:
        raise RunError(f"clip {clip.id}, pictures: expected picture {max(left)} and those before, got fewer")


def write_png(path: Path, picture: Rgb) -> None:
    """Write an RGB picture without loss."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, format="PNG")
