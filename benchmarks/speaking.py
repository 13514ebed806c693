"""Which face speaks: two single-speaker clips side by side, with the audio of one of them, through the real path.

    python -m benchmarks.speaking CLIPS [--lr-asd FILE] [--skip NAME] [--keep FOLDER]

For every ordered pair (A, B) of the clips in a folder it renders one video: A's faces on the left, B's on the right,
over their common length, once as they are (both speak), and once with B frozen at its first frame; the audio is A's.
The rule `speaking` then chooses the main face. Accuracy over all is how often A's score is the higher one, whatever the
margin; of the decided, how often the choice is A where the margin is at least 0.1 (1 of `lr_asd`, a network's scores).
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from configs.plugins import parse
from configs.schema import RunConfig
from extractors.core.extractor import Extractor
from extractors.core.faces.stored_tracks import decide_speaker, read_tracks
from extractors.core.media.clip_media import Media
from flows.plan import build_extractors
from storage.clip import Clip
from storage.records import Features
from storage.vocabulary.face_tracks import FACE_TRACKS, SPEAKING

RATE, HEIGHT = 25, 360
MARGINS = {"synchrony": 0.1, "lr_asd": 1.0}
CONFIG: dict[str, Any] = {"extractors": [{"name": SPEAKING}], "faces": {"main_face": {"rule": "speaking"}}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Render, extract, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--skip", default="00000727", help="Part of the name of clips without speech.")
    parser.add_argument("--lr-asd", type=Path, help="A published file of LR-ASD: its scores instead of synchrony's.")
    parser.add_argument("--keep", type=Path, help="Keep the videos here.")
    given = parser.parse_args(arguments)
    sources = [Source(path) for path in sorted(given.clips.rglob("*.mp4")) if given.skip not in path.name]
    method = "synchrony" if given.lr_asd is None else "lr_asd"
    weights = {} if given.lr_asd is None else {"weights": {"local": str(given.lr_asd), "format": "lr-asd"}}
    extractors = build_extractors(parse(RunConfig, CONFIG | {"speaking": {"method": method, **weights}}, "benchmark"))
    for extractor in extractors:
        extractor.load("cpu")
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(exist_ok=True)
        found = {kind: list(_run(sources, extractors, folder, kind)) for kind in ("both speak", "one frozen")}
    for kind, outcomes in found.items():
        _tell(kind, method, outcomes)


class Source:
    """One clip: its frames at 25 a second, 360 pixels high, and its audio."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        media = Media(Clip("c", video=path.name, audio=path.name), path.parent)
        media.decode()
        self.end = float(media.frame_times()[-1, 1])
        starts = media.frame_times()[:, 0]
        wanted = np.searchsorted(starts, np.arange(0, self.end, 1 / RATE) + 1e-9, side="right") - 1
        shown = {frame.index: frame.rgb(HEIGHT) for frame in media.frames()}
        self.frames = [shown[int(i)] for i in np.clip(wanted, 0, None)]
        self.samples, self.rate = media.audio().samples, media.audio().rate
        media.close()


def _run(
    sources: Sequence[Source], extractors: Sequence[Extractor[Any]], folder: Path, kind: str
) -> Iterator[tuple[bool, float, float]]:
    """Whether the speaker's score is the higher one, the margin, and seconds a frame, of each pair."""
    for left, right in itertools.permutations(sources, 2):
        path = folder / f"{left.name}_{right.name}_{kind.replace(' ', '_')}.mp4"
        count = int(min(left.end, right.end) * RATE)
        _render(path, left, right, count, frozen=kind == "one frozen")
        media = Media(Clip("c", video=path.name, audio=path.name), folder)
        media.decode()
        begin = time.perf_counter()
        for extractor in extractors:
            (outcome,) = extractor.extract([media])
            media.set_feature(extractor.feature, outcome)
        took = (time.perf_counter() - begin) / count
        speaking, rows = media.feature(SPEAKING), media.feature(FACE_TRACKS)
        yield *_judge(speaking, rows, media, left.frames[0].shape[1]), took
        media.close()


def _judge(speaking: Features, rows: Features, media: Media, border: int) -> tuple[bool, float]:
    """Whether the best score is a face of the left half, and by how much; 0 where there are not two scores."""
    decision = decide_speaker(speaking, 0.0)
    if decision.track_id is None:
        return False, 0.0
    (track,) = [t for t in read_tracks(rows, media.frame_times()) if t.id == decision.track_id]
    centre = float(np.nanmedian(track.boxes[:, [0, 2]].mean(axis=1)))
    return centre < border, decision.margin


def _tall(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A frame with black below it, where it is lower than the others."""
    return np.pad(frame, ((0, HEIGHT - frame.shape[0]), (0, 0), (0, 0)))


def _render(path: Path, left: Source, right: Source, count: int, *, frozen: bool) -> None:
    with av.open(str(path), "w") as file:
        video: Any = file.add_stream("libx264", rate=RATE, options={"crf": "16", "preset": "veryfast"})
        audio: Any = file.add_stream("aac", rate=left.rate, layout="mono")
        audio.bit_rate = 128_000
        for i in range(count):
            pair = np.concatenate([_tall(left.frames[i]), _tall(right.frames[0 if frozen else i])], axis=1)
            pair = np.ascontiguousarray(pair[: pair.shape[0] // 2 * 2, : pair.shape[1] // 2 * 2])
            if not i:
                video.height, video.width, video.pix_fmt = pair.shape[0], pair.shape[1], "yuv420p"
            file.mux(video.encode(av.VideoFrame.from_ndarray(pair, format="rgb24")))
        file.mux(video.encode())
        samples = left.samples[: round(count / RATE * left.rate)]
        for first in range(0, len(samples), 1024):
            block = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = left.rate, first, Fraction(1, left.rate)
            file.mux(audio.encode(block))
        file.mux(audio.encode())


def _tell(kind: str, method: str, outcomes: Sequence[tuple[bool, float, float]]) -> None:
    right = np.array([is_right for is_right, _, _ in outcomes])
    decided = np.array([margin >= MARGINS[method] for _, margin, _ in outcomes])
    of_decided = float(right[decided].mean()) if decided.any() else 0.0
    print(
        json.dumps(
            {
                "kind": kind,
                "method": method,
                "pairs": len(outcomes),
                "ratio": round(float(right.mean()), 3),
                "decided": round(float(decided.mean()), 3),
                "right_of_decided": round(of_decided, 3),
                "ms_a_frame": round(float(np.median([took for _, _, took in outcomes])) * 1000, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
