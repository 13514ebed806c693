"""Quality flags of a clip: how much of it shows the main face, how large, steady, sharp and well lit that is.

One row per clip, always valid and finite. The flags describe; no clip is dropped for them. What cannot be measured is
0: a clip without a face has face share, size and drift 0, and its sharpness and exposure are the whole frame's.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from configs.plugins import Section
from extractors.core.extractor import Extractor
from extractors.core.media.clip_media import Media
from extractors.core.media.frames import Frame
from storage.records import Features, FeatureSpec
from storage.vocabulary.face_columns import DECISION_COLUMNS, FACE_COLUMNS, FACES, main_face_boxes

SAMPLED = 16
GREY_SIDE = 128
OVER, UNDER = 240, 15  # grey values of 0..255 from which on, and up to which, a pixel counts as blown out or black
_FACE_COUNT, _TRACK_COUNT = FACE_COLUMNS.index("face_count"), FACE_COLUMNS.index("track_count")
_COLUMNS = {
    "face_share": "0..1",
    "track_count": "",
    "most_faces": "",
    "face_size": "0..1",
    "face_drift": "face sizes",
    "sharpness": "grey^2",
    "overexposed": "0..1",
    "underexposed": "0..1",
    "width": "px",
    "height": "px",
    "fps": "1/s",
    "duration": "s",
}


class QualityOptions(Section):
    """None of its own: faces are those of the feature `faces`."""


class Quality(Extractor[QualityOptions]):
    """Twelve numbers per clip.

    - `face_share`: share of the frames that show the main face.
    - `track_count`: face tracks of the clip; 1 where one person is there all the time.
    - `most_faces`: most faces in one frame, of the frames that show the main face.
    - `face_size`: side of the main face (square root of its box's area) over the frame's short side, median over the
      frames. A box may reach over the frame's edge.
    - `face_drift`: root mean square distance of the main face's centre from its mean position, over the median side of
      the face: 0 for a still face, 1 for one that wanders by its own size.
    - `sharpness`: variance of the Laplacian (low is blurred) of the main face, in grey and scaled to 128 x 128 pixels,
      mean over at most 16 of the frames that show it, evenly spread (Pech-Pacheco et al., "Diatom autofocusing in
      brightfield microscopy: a comparative study", ICPR 2000).
    - `overexposed`, `underexposed`: share of those same pixels with a grey value of 240 or more, and of 15 or less.
    - `width`, `height`: of the upright frame, after the clip's crop.
    - `fps`: frames over the seconds in which they are shown, by the container's times; `duration`: those seconds.
    """

    name = "quality"
    Options = QualityOptions
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "pillow", "scipy")
    modality: ClassVar[Literal["video"]] = "video"

    @property
    def needs(self) -> tuple[str, ...]:
        """The faces."""
        return (FACES,)

    def describe(self) -> FeatureSpec:
        """Twelve columns, one row per clip.

        Raises:
            RunError: If the face stage's detector is not on this machine.
        """
        settings = {"sampled": SAMPLED, "grey_side": GREY_SIDE, "over": OVER, "under": UNDER}
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="video",
            level="utterance",
            columns=(*_COLUMNS, *self._decision),
            units=(*_COLUMNS.values(), *("" for _ in self._decision)),
            recipe=settings,
            source="merflow",
        )

    @property
    def _decision(self) -> tuple[str, ...]:
        """What the rule of the main face says, where it looked for the speaker."""
        return tuple(name for name in DECISION_COLUMNS if name in self.inputs[FACES].columns)

    def load(self, device: str) -> None:
        """Nothing to load."""

    def extract_clip(self, media: Media) -> Features:
        """Measure one clip.

        Raises:
            ClipError: If the clip has no frames.
        """
        times = media.frame_times()
        faces = media.feature(FACES)
        size, looks = _look(media, faces)
        seconds = times[-1, 1] - times[0, 0]
        row = [*_face_flags(faces, min(size)), *looks, *size, len(times) / seconds, seconds]
        row += [_of_any_row(faces, self.inputs[FACES].columns.index(name)) for name in self._decision]
        return self.checked([row], [[times[0, 0], times[-1, 1]]], [True])


def _of_any_row(faces: Features, column: int) -> float:
    """What all valid rows say; 0 of a clip without a face."""
    return float(faces.values[faces.valid][0, column]) if faces.valid.any() else 0.0


def _face_flags(faces: Features, short_side: int) -> tuple[float, ...]:
    """Share, tracks, most faces, size and drift of the main face."""
    if not faces.valid.any():
        return (0.0, 0.0, 0.0, 0.0, 0.0)
    rows = faces.values[faces.valid]
    boxes = rows[:, :4].astype(np.float64)
    sides = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    side = float(np.median(sides))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    wandered = np.linalg.norm(centres - centres.mean(axis=0), axis=1)
    drift = float(np.sqrt(np.mean(wandered**2))) / side
    tracks, most = rows[0, _TRACK_COUNT], rows[:, _FACE_COUNT].max()
    return (faces.valid.mean(), tracks, most, side / short_side, drift)


def _look(media: Media, faces: Features) -> tuple[tuple[int, int], npt.NDArray[np.float64]]:
    """Size of the frames, and sharpness and exposure averaged over some of them."""
    shown = np.flatnonzero(faces.valid) if faces.valid.any() else np.arange(len(faces.valid))
    chosen = set(shown[np.linspace(0, len(shown) - 1, min(SAMPLED, len(shown))).round().astype(int)].tolist())
    boxes = main_face_boxes(faces)
    size, looks = (0, 0), []
    for frame in media.frames():
        size = size if frame.index else frame.size
        if frame.index in chosen:
            looks.append(_sharpness_and_exposure(_grey(frame, boxes[frame.index])))
    return size, np.mean(looks, axis=0)


def _grey(frame: Frame, box: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(128, 128) grey values 0..255 of a box, or of the whole frame where there is no box or it is outside."""
    from PIL import Image

    width, height = frame.size
    inside = np.clip(box.astype(np.float64), 0, [width, height, width, height])
    if not (inside[2:] - inside[:2] >= 1).all():
        inside = np.array([0.0, 0.0, width, height])
    # PIL smooths where it shrinks, so that a large face is not sharper for being large.
    scaled = (
        Image.fromarray(frame.rgb())
        .convert("L")
        .resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BILINEAR, box=tuple(inside.tolist()))
    )
    return np.asarray(scaled, dtype=np.float32)


def _sharpness_and_exposure(grey: npt.NDArray[np.float32]) -> tuple[float, float, float]:
    from scipy.ndimage import laplace

    return float(laplace(grey).var()), float((grey >= OVER).mean()), float((grey <= UNDER).mean())
