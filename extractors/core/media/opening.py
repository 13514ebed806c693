"""Opening a media file: what is refused before FFmpeg sees it, and what FFmpeg may not do with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer

from extractors.core.media.formats import media_demuxers
from storage.errors import ClipError
from storage.media_files import is_lfs_pointer


def check_readable(path: Path) -> None:
    """Refuse, with a reason of its own, what FFmpeg would only call invalid data.

    Raises:
        ClipError: `missing_file`, `empty_file` or `lfs_pointer`.
    """
    if not path.is_file():
        raise ClipError("missing_file", f"{path}: no such file", stage="open")
    if path.stat().st_size == 0:
        raise ClipError("empty_file", f"{path.name}: zero bytes", stage="open")
    if is_lfs_pointer(path):
        raise ClipError("lfs_pointer", f"{path.name}: a git-LFS pointer, not media", stage="open")


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a media file, and nothing else that may be named in it; every error of FFmpeg becomes a ClipError.

    Raises:
        ClipError: Why the file cannot be opened or decoded.
    """
    check_readable(path)
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(media_demuxers())}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            yield container
    except ClipError:
        raise
    except Exception as error:  # PyAV raises many kinds: whatever it is, this file cannot be read
        raise undecodable(path, error) from error


def undecodable(path: Path, error: Exception, what: str = "") -> ClipError:
    """The error of a file or stream that FFmpeg cannot open or decode.

    Args:
        path: The file.
        error: What PyAV raised.
        what: Which part of the file.

    Raises:
        MemoryError: Python's own: that is not the file's.
    """
    if type(error) is MemoryError:
        raise error
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if reason.startswith("Error number"):  # FFmpeg's own words are in its log only
        reason = "FFmpeg cannot decode it"
    if isinstance(error, av.error.MemoryError):  # not that there is none: the file claims sizes that nobody has
        reason = "asks for more memory than there can be"
    if isinstance(error, av.error.ArgumentError) and not what:
        reason = "not a media file"  # its demuxer is not one of those that may open files
    return ClipError("undecodable", f"{path.name}: {what}{reason}", stage="decode")
