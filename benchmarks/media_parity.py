"""merflow's decoding against FFmpeg's own, on a folder of your files: every sample, and every picture counted.

    python -m benchmarks.media_parity FOLDER [--ffmpeg PATH] [--all]

Per file: the samples against those of `ffmpeg -i FILE -ac 1 -ar 16000 -c:a pcm_s16le`, after the silence that stands
for holes is taken out; the number of pictures against that of `ffmpeg -i FILE -fps_mode passthrough`; and the mean
difference of the first picture, both scaled to 64 x 64, which shows a wrong orientation or colour. A file that merflow
refuses, with its reason, or whose flags say how many pictures it leaves out, is no difference. Prints the files that
differ or are refused (`--all`: every file) and exits with 1 if any differs. Needs the program ffmpeg (not a package).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from extractors.core.media.clip_media import Media
from storage.clip import Clip
from storage.errors import ClipError

SIDE = 64
LOOK = 12.0  # mean difference of two scalers and colour converters stays below; a turned picture is far above


def main() -> None:
    """Compare every file of a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.media_parity", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ffmpeg", default="ffmpeg")
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    files = sorted(p for p in arguments.folder.rglob("*") if p.is_file())
    differing = 0
    for path in files:
        problems, notes = compare(path, arguments.ffmpeg)
        differing += bool(problems)
        if problems or notes or arguments.all:
            mark = "DIFFERS" if problems else "       "
            print(f"{mark} {path.relative_to(arguments.folder)}: {'; '.join(problems + notes) or 'equal'}")
    print(f"{len(files)} files, {differing} differ")
    sys.exit(differing > 0)


def compare(path: Path, ffmpeg: str) -> tuple[list[str], list[str]]:
    """What differs between merflow and FFmpeg for a file, and what is to be known about it.

    Args:
        path: The file.
        ffmpeg: The program.
    """
    media = Media(Clip("c", video=path.name, audio=path.name), path.parent)
    media.decode()
    problems: list[str] = []
    notes = [f"{name} {value:g}" for kind in ("audio", "video") for name, value in media.flags(kind).items()]
    for part in (_compare_sound, _compare_pictures):
        try:
            problem = part(path, ffmpeg, media)
        except ClipError as error:
            notes.append(f"{error.reason} ({error.message})")
        else:
            problems += [problem] if problem else []
    media.close()
    return problems, notes


def _compare_sound(path: Path, ffmpeg: str, media: Media) -> str | None:
    audio = media.audio()
    keep = np.ones(audio.samples.size, np.bool_)
    for begin, end in (audio.holes - audio.start) * audio.rate:
        keep[round(begin) : round(end)] = False
    ours = (audio.samples[keep] * 32_768).astype(np.int16)
    theirs = np.frombuffer(_run(ffmpeg, path, "-vn", "-ac", "1", "-ar", "16000", "-f", "s16le", "-"), np.int16)
    if ours.size != theirs.size:
        return f"{ours.size} samples, FFmpeg gives {theirs.size}"
    differs = np.flatnonzero(ours != theirs)
    if not differs.size:
        return None
    largest = int(np.abs(ours.astype(int) - theirs).max())
    return f"{differs.size} of {ours.size} samples differ, the first at {differs[0]}, by up to {largest}"


def _compare_pictures(path: Path, ffmpeg: str, media: Media) -> str | None:
    times = media.frame_times()
    look = ["-vf", f"scale={SIDE}:{SIDE}", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    raw = np.frombuffer(_run(ffmpeg, path, "-an", "-fps_mode", "passthrough", *look), np.uint8)
    theirs = raw.reshape(-1, SIDE, SIDE, 3)
    left_out = media.flags("video").get("times_not_advancing", 0)
    if len(times) + left_out != len(theirs):
        return f"{len(times)} pictures, FFmpeg gives {len(theirs)}"
    difference = np.abs(_small(next(media.frames()).rgb()) - theirs[0].astype(np.float64)).mean()
    return f"the first picture differs by {difference:.1f} on average" if difference > LOOK else None


def _small(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return np.asarray(Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float64)


def _run(ffmpeg: str, path: Path, *arguments: str) -> bytes:
    command = [ffmpeg, "-v", "quiet", "-nostdin", "-i", f"file:{path}", *arguments]
    return subprocess.run(command, capture_output=True, check=False).stdout


if __name__ == "__main__":
    main()
