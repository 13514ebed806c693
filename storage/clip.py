"""Clip: one clip of a corpus. Read this file first, then `records.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, NamedTuple

from storage.face_points import PointedFace

CLIP_ID = re.compile(r"[A-Za-z0-9_.-]+")
CENTRE = -1


class _Nothing(dict[str, Any]):
    """An empty mapping that all clips share, for they never change: making one for each would take a third of the time.

    Having a hash makes it a default that dataclasses accept as it is.
    """

    def __hash__(self) -> int:  # type: ignore[override]
        return 0

    def __reduce__(self) -> str:
        """Stay the one that all share, in another process too."""
        return "_NOTHING"


_NOTHING = _Nothing()


class Word(NamedTuple):
    """One spoken word; seconds from the clip's start."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of a corpus: where its media is, which part of it, and what is known about it.

    Attributes:
        id: Unique over the corpus, characters `A-Za-z0-9_.-`.
        video: Path of the video, relative to the clip's media folder, or a URL; None if the clip has none. A folder of
            images is its frames in the order of their numbers; a single image is one frame.
        audio: Path of the audio; often the same file as `video`.
        start: Seconds into the media where the clip starts; None means from the beginning.
        end: Seconds into the media where the clip ends; None means to the end.
        audio_track: 0-based audio track to use; None means FFmpeg's choice: the default one, then the one with most
            channels.
        video_track: 0-based video track to use, cover art not counted; None means FFmpeg's choice: the default one,
            then the largest.
        audio_channel: 0-based channel to use; -1 (`CENTRE`) the centre channel of surround audio, and the down-mix of
            any other; None means FFmpeg's standard down-mix to mono.
        audio_is_cut: Whether the audio file is the segment already: `start` and `end` are the video's alone.
        crop: Part of the frame to use as fractions (left, top, right, bottom) of the upright frame.
        frame_rate: Images a second, of a folder of images.
        main_face: The face that matters, where somebody pointed it out; it beats every rule.
        split: Corpus split such as `train`; None if the corpus has none.
        text: Transcript.
        words: When each word is spoken, in order of start, where the corpus or an aligner says so.
        language: BCP 47 tag of the spoken language.
        speaker: Speaker id.
        group: Clips of one group must not be divided between train and test.
        label_raw: Label as the corpus spells it.
        label: Label in merflow's vocabulary; None where the raw label has no counterpart.
        labels: Further categorical labels by name, such as `{"audio": "positif"}`.
        label_set: All labels of a clip that may have several, as the corpus spells them.
        votes: What each rater said, by the rater's name, as the corpus spells it.
        dimensions: Continuous labels by name, such as `{"valence": 3.5}`, on the corpus's own scale.
        scales: That scale by the dimension's name, such as `{"valence": "1..5"}`, where the corpus states it.
        series: Paths of what was recorded or rated over time beside the media, relative to the media folder, such as
            `{"eeg": "subject1/EEG/subject1_eeg.mat"}`.
        folds: The clip's fold in tables of folds, by the table's name.
        about: What else the corpus says, such as `{"gender": "female", "task": "Speaking", "eeg_rate": "500 Hz"}`.
        lacks: Modalities that the whole corpus has none of: its clips are skipped for them, and have not failed.
        source_id: The corpus's own name for the clip.
        files: By `video` and `audio`: SHA-256, size, modification time and inode of the file when it was ingested.
        duration: Probed seconds; None if the media could not be probed.
        root: Name of the media folder among those of the manifest; None where it has only one.
        fingerprint: Digest of media, segment and text in manifests of merflow 0.1; later ones have a digest for each
            input (`storage.identity`).
    """

    id: str
    video: str | None = None
    audio: str | None = None
    start: float | None = None
    end: float | None = None
    audio_track: int | None = None
    video_track: int | None = None
    audio_channel: int | None = None
    audio_is_cut: bool = False
    crop: tuple[float, float, float, float] | None = None
    frame_rate: float | None = None
    main_face: PointedFace | None = None
    split: str | None = None
    text: str | None = None
    words: tuple[Word, ...] = ()
    language: str | None = None
    speaker: str | None = None
    group: str | None = None
    label_raw: str | None = None
    label: str | None = None
    labels: Mapping[str, str] = _NOTHING
    label_set: tuple[str, ...] = ()
    votes: Mapping[str, str] = _NOTHING
    dimensions: Mapping[str, float] = _NOTHING
    scales: Mapping[str, str] = _NOTHING
    series: Mapping[str, str] = _NOTHING
    folds: Mapping[str, str] = _NOTHING
    about: Mapping[str, str] = _NOTHING
    lacks: tuple[str, ...] = ()
    source_id: str | None = None
    files: Mapping[str, str] = _NOTHING
    duration: float | None = None
    root: str | None = None
    fingerprint: str = ""

    @property
    def media(self) -> dict[str, str]:
        """Paths or URLs of its media by `video` and `audio`, those it has."""
        return {kind: path for kind, path in (("video", self.video), ("audio", self.audio)) if path is not None}

    def with_media(self, files: Mapping[str, str], duration: float | None) -> Clip:
        """The clip with what is known of its media; as `dataclasses.replace` makes it, in a third of the time.

        Args:
            files: Record of each media file.
            duration: Seconds of the clip.
        """
        clip = object.__new__(Clip)
        for name, value in zip(_FIELDS, _VALUES(self), strict=True):
            object.__setattr__(clip, name, value)
        object.__setattr__(clip, "files", files)
        object.__setattr__(clip, "duration", duration)
        return clip

    def __post_init__(self) -> None:
        """Refuse ids and segments no later step could use."""
        if not CLIP_ID.fullmatch(self.id):
            raise ValueError(f"clip id {self.id!r}: expected characters A-Z a-z 0-9 _ . - only")
        if self.start is not None and self.start < 0:
            raise ValueError(f"clip {self.id}: start is {self.start}, expected 0 or more seconds")
        if self.end is not None and self.end <= (self.start or 0.0):
            raise ValueError(f"clip {self.id}: end {self.end} is not after start {self.start or 0.0}")
        if self.frame_rate is not None and not self.frame_rate > 0:
            raise ValueError(f"clip {self.id}: frame_rate is {self.frame_rate}, expected more than 0 images a second")
        if self.audio_channel is not None and self.audio_channel < CENTRE:
            raise ValueError(
                f"clip {self.id}: audio_channel is {self.audio_channel}, expected 0 or more, or -1 (centre)"
            )


_FIELDS = tuple(field.name for field in fields(Clip))
_VALUES = attrgetter(*_FIELDS)
