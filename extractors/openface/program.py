"""One clip through an outside program: its frames as a file, a private folder, a time limit.

Programs run without a shell, in a process group of their own that is ended as a whole.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from configs.errors import RunError
from extractors.core.media.clip_media import Media
from extractors.core.media.orientation import Display
from storage.errors import ClipError
from storage.media_files import is_images

# Its input ends when the process that holds the other end does, however that ends.
_WHEN_ALONE = 'read -r _ && exit; kill -TERM -"$1"; sleep 1; kill -KILL -"$1"; rm -rf -- "$2"'
_GRACE = 5.0  # seconds between asking a program to end and making it


def find_program(name: str, how_to_get: str) -> str:
    """Absolute path of a program.

    Args:
        name: Path or name.
        how_to_get: What to do if it is not there, for the message.

    Raises:
        RunError: If there is none that can be run, with `how_to_get`.
    """
    path = shutil.which(name)
    if path is None:
        raise RunError(f"no program {name} on this machine. {how_to_get}")
    return str(Path(path).absolute())  # links are kept: a virtual environment's Python is one


def run(command: Sequence[str], folder: Path, limit: float) -> tuple[int, str]:
    """Run a program in a folder of its own.

    Args:
        command: Program and arguments.
        folder: Where it runs.
        limit: Seconds after which it is stopped.

    Returns:
        Its exit status and the end of what it printed.

    Raises:
        ClipError: `program_failed` if it cannot be started or takes longer than `limit` seconds. Whatever happens, it
            and all that it started have ended.
    """
    log, program = folder / "log.txt", Path(command[0]).name
    options: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with log.open("wb") as printed:
        try:
            process = subprocess.Popen(command, stdout=printed, start_new_session=True, **options)
        except OSError as error:
            raise ClipError("program_failed", f"{program}: cannot be started: {error.strerror}") from error
        try:
            with _leash(process.pid, folder):
                status = process.wait(limit)
        except subprocess.TimeoutExpired:
            raise ClipError("program_failed", f"{program}: not done after {limit:g} s (time_limit)") from None
        finally:
            _end_group(process)
    return status, " ".join(log.read_text(errors="replace")[-400:].split()) or "it printed nothing"


@contextmanager
def _leash(group: int, folder: Path) -> Iterator[None]:
    """End a program, and remove its folder, should this process die before it: a shell waits for that.

    A killed process cannot clean up, and only Linux can tie two processes together, to a thread at that.
    """
    command = ["/bin/sh", "-c", _WHEN_ALONE, "merflow", str(group), str(folder)]
    shell = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        with suppress(OSError):
            shell.communicate(b"done\n")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a program's whole group: politely first, so that a container's client can stop its container."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_GRACE)
        except (ProcessLookupError, PermissionError):  # the latter is macOS's word for a group that has ended
            return
        except subprocess.TimeoutExpired:
            continue


def clip_file(media: Media, scratch: Path) -> Path:
    """A video file in `scratch` whose frames are the clip's.

    It is a copy of the clip's file, so that the program's own decoder sees what it would see without merflow. Where
    the clip is a part of its file, is cropped, or must be turned upright, it is the clip's frames, losslessly coded.

    Args:
        media: The clip's media.
        scratch: Folder for scratch files, empty.

    Raises:
        ClipError: If the clip has no frames.
    """
    clip, source = media.clip, media.video_path
    media.frame_times()  # raises what is wrong with the clip
    is_stored = next(media.frames()).display == Display(clip.crop)
    if (
        source is None
        or is_images(source)
        or clip.start
        or clip.end is not None
        or clip.crop is not None
        or not is_stored
    ):
        return _write_frames(media, scratch / "clip.avi")
    return Path(shutil.copyfile(source, scratch / f"clip{source.suffix}"))


def _write_frames(media: Media, path: Path) -> Path:
    times = media.frame_times()
    rate = Fraction(len(times) / float(times[-1, 1] - times[0, 0])).limit_denominator(1001)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=rate)
        stream.width, stream.height = next(media.frames()).size
        stream.pix_fmt = "bgr0"
        for frame in media.frames():
            coded = av.VideoFrame.from_ndarray(frame.rgb(), format="rgb24")
            coded.pts = frame.index
            coded.time_base = 1 / rate
            out.mux(stream.encode(coded))
        out.mux(stream.encode(None))
    return path
