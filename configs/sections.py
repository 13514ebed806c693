"""Sections of a run configuration that hold the options of extractors which others need: faces, speech, speakers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from configs.plugins import Section
from configs.weights import Weights


class FaceCrops(Section):
    """Face crops that a corpus releases: MERTools' `openface_face/<clip>/<clip>.npy`, or a folder of images per clip.

    Attributes:
        root: Folder with one entry for each clip.
        frame_rate: Crops per second, of clips whose video is not there; else they have the times of its frames.
    """

    root: Path
    frame_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class MainFace(Section):
    """Which of several faces is the main one.

    Attributes:
        rule: `longest`: the track that most frames show. `speaking`: the one that speaks, by the feature `speaking`.
            `listener`: the longest of those that do not. Experimental: see docs/speaking.md.
        margin: How much better than the next one's the speaker's score must be; under it, or without audio or speech,
            the rule is `longest`.
    """

    rule: Literal["longest", "speaking", "listener"] = "longest"
    margin: float = Field(default=0.1, ge=0)


class Speaking(Section):
    """Options of the extractor `speaking`, which is added where an extractor needs it.

    Attributes:
        method: `synchrony`: how well mouth and voice move together; needs a detector with landmarks. `lr_asd`: a small
            trained network that tells mouths that speak from those that are still, rather than whose voice it is.
        weights: Of `lr_asd`: its published file, `{local: finetuning_TalkSet.model, format: lr-asd}` or by `url`.
        piece: Seconds over which each score is taken; the last piece takes in what is left.
        shortest: Seconds of a piece in which a face must be shown, and below which it has no score.
    """

    method: Literal["synchrony", "lr_asd"] = "synchrony"
    weights: Weights | None = None
    piece: float = Field(default=3.0, ge=1.5)
    shortest: float = Field(default=1.5, gt=0)

    @model_validator(mode="after")
    def _weights_are_of_the_network(self) -> Self:
        weights = self.weights
        if self.method == "lr_asd" and (weights is None or (weights.random is None and weights.format != "lr-asd")):
            raise ValueError("method lr_asd needs its weights: {local: FILE, format: lr-asd}, or by url and sha256")
        if self.method != "lr_asd" and weights is not None:
            raise ValueError("weights are for method: lr_asd")
        return self


class Faces(Section):
    """Options of the extractor `faces`, which is added where an extractor needs it.

    `{detector: retinaface, detect_every: 1, short_side: null, min_confidence: 0.5}` is what py-feat's Detectorv2 does.

    Attributes:
        detector: Module of `extractors.core.faces.detectors`: `libfacedetection`, `retinaface`, `center`, ...
        detect_every: Detect on every k-th frame and interpolate boxes between; 1 detects on every frame.
        short_side: Detect on a copy whose short side is at most this many pixels; None detects on the frame itself.
        min_confidence: Detections below this confidence, 0..1, are ignored.
        weights: Weights of a detector that loads some, where not its usual ones.
        main_face: Which of several faces is the main one.
        source: Where faces come from: `detector` finds them, `mertools` takes the crops that a corpus releases.
        root: With `source: mertools`: the folder of the crops, such as `openface_face`.
        frame_rate: With `source: mertools`: crops per second, of clips whose video is not there.
    """

    detector: str = "libfacedetection"
    detect_every: int = Field(default=5, ge=1)
    short_side: int | None = Field(default=360, ge=32)
    min_confidence: float = Field(default=0.6, ge=0, le=1)
    weights: Weights | None = None
    main_face: MainFace = MainFace()
    source: Literal["detector", "mertools"] = "detector"
    root: Path | None = None
    frame_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _source_is_whole(self) -> Self:
        if (self.source == "mertools") != (self.root is not None):
            raise ValueError("source: mertools and root: FOLDER belong together")
        return self

    @property
    def crops(self) -> FaceCrops | None:
        """The released crops; None if a detector finds the faces."""
        return None if self.root is None else FaceCrops(root=self.root, frame_rate=self.frame_rate)


class VoiceActivity(Section):
    """Options of the extractor `voice_activity`, which is added where an extractor needs it.

    The defaults are silero-vad's own.

    Attributes:
        rows: `windows` gives a row every 32 ms, `segments` one row for each segment of speech: a clock, for exports
            that want one value for each stretch of speech. A clip without speech then has no rows.
        threshold: Probability from which on speech begins; it ends 0.15 below.
        min_speech: Shortest segment, in seconds.
        min_silence: Shortest pause that ends a segment, in seconds.
        padding: Seconds that are added to a segment at both ends.
    """

    rows: Literal["windows", "segments"] = "windows"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    min_speech: float = Field(default=0.25, ge=0)
    min_silence: float = Field(default=0.1, ge=0)
    padding: float = Field(default=0.03, ge=0)
