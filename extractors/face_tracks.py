"""Every face of a clip: one row per frame and track, with five landmarks where the detector finds them."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from configs.sections import Faces
from configs.weights import Weights
from extractors.core.extractor import Extractor
from extractors.core.faces.detector import detector_weights, load_detector
from extractors.core.faces.main_face import face_recipe, find_tracks
from extractors.core.media.clip_media import Media
from storage.records import Features, FeatureSpec
from storage.vocabulary.face_tracks import FACE_TRACKS, LANDMARK_COLUMNS, TRACK_COLUMNS, TRACK_UNITS


class FaceTracks(Extractor[Faces]):
    """Track id, box, confidence and landmarks of every face of every frame; `faces` is one of these tracks.

    Rows are in order of time, those of one frame in order of their track's id, each with the time in which its frame is
    shown. A clip without a face has no rows. `detected` is 1 where the detector looked at the frame, 0 where box and
    landmarks are interpolated. Pixels are those of the upright full-size frame.
    """

    name = FACE_TRACKS
    Options = Faces
    modality: ClassVar[Literal["video"]] = "video"
    licence = "libfacedetection: BSD; py-feat's RetinaFace: MIT"

    @property
    def weights(self) -> Weights | None:
        """The detector's weights; None if it loads none."""
        return detector_weights(self.options)

    def describe(self) -> FeatureSpec:
        """Seven columns, and ten of landmarks where the detector finds them.

        Raises:
            RunError: Unknown detector, or one that this machine lacks, or whose weights it lacks.
        """
        recipe = face_recipe(self.options)
        points = LANDMARK_COLUMNS if load_detector(self.options.detector).has_landmarks() else ()
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="video",
            level="frame",
            columns=(*TRACK_COLUMNS, *points),
            units=(*TRACK_UNITS, *("px" for _ in points)),
            recipe={"faces": recipe},
            weights=recipe.get("weights", {}),
            source=f"{recipe['detector']} ({recipe['detector_version']})",
        )

    @property
    def releases_gil(self) -> bool:
        """True but for detectors that are networks."""
        return load_detector(self.options.detector).default_weights is None

    def load(self, device: str) -> None:
        """Make the detector ready.

        Raises:
            RunError: If its weights are damaged or do not fit.
        """
        load_detector(self.options.detector).build(self.options)

    def extract_clip(self, media: Media) -> Features:
        """The rows of all tracks.

        Raises:
            ClipError: If the clip has no frames.
        """
        found, stamps = find_tracks(media, self.options), media.frame_times()
        width = len(self.spec.columns)
        rows: list[tuple[int, int]] = []
        tables = []
        for track in found.tracks:
            frames = track.frames
            at = frames - track.first
            known = (track.boxes[at], track.confidence[at], found.detected[frames], track.landmarks[at])
            tables.append(np.column_stack([np.full(len(frames), track.id), *known])[:, :width])
            rows += [(int(frame), track.id) for frame in frames]
        if not tables:
            return self.checked(np.empty((0, width)), np.empty((0, 2)), np.empty(0, np.bool_))
        order = sorted(range(len(rows)), key=rows.__getitem__)
        values = np.concatenate(tables)[order]
        times = stamps[[rows[i][0] for i in order]]
        return self.checked(values, times, np.ones(len(values), np.bool_))
