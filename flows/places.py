"""Errors of places: a full disk, a folder without permission. No clip is to blame, and trying again does not help."""

from __future__ import annotations

import errno

from configs.errors import RunError

PLACES = {
    errno.EACCES: "no permission; choose another place, or change its permissions",
    errno.EPERM: "no permission; choose another place, or change its permissions",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.ENOSPC: "no space left on the device; free some, or choose another place",
    errno.EDQUOT: "the disk quota is used up; free some, or choose another place",
    errno.EFBIG: "a file may not be as large there, by the file system or `ulimit -f`",
    errno.ENOTDIR: "not a folder",
    errno.EISDIR: "a folder, expected a file",
    errno.ENAMETOOLONG: "the name is too long for the file system",
    errno.EMFILE: "too many open files; raise the limit with `ulimit -n 4096`",
    errno.ENFILE: "too many open files on this machine",
}
"""What the errors of a place mean, and what to do."""
OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
"""Those that are never about one clip's media."""


def place_error(error: OSError) -> str:
    """One line for a person.

    Args:
        error: One of `PLACES`.
    """
    where = error.filename2 or error.filename
    return f"{where}: {PLACES[error.errno or 0]}" if where else PLACES[error.errno or 0]


def store_unwritable(store: object, error: OSError) -> RunError:
    """The end of a run whose store cannot be written.

    Args:
        store: Folder of the store.
        error: What happened.
    """
    if isinstance(error, RunError):  # of object storage, which says all that there is to say
        return error
    why = PLACES.get(error.errno or 0) or " ".join((error.strerror or str(error)).split())  # HDF5 says it in two lines
    return RunError(f"{store}: cannot be written: {why}. What was stored before is safe; the same command resumes")


def machine_error(error: BaseException) -> RunError | None:
    """The end of a run whose machine has no space, no quota or no open files left; None for any other error.

    Args:
        error: What an extractor or a decoder raised.
    """
    if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
        return RunError(f"{place_error(error)}. What was stored before is safe; the same command resumes")
    return None
