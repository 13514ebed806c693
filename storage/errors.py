"""Errors of clips and stores, and the reason codes that a clip can fail or be skipped with.

The tree's root and its upper part are in `configs.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass

from configs.errors import MerflowError, RunError


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a clip has no values.

    Attributes:
        meaning: What it means, for people.
        can_retry: Whether trying the same clip again, with the same media, can help.
    """

    meaning: str
    can_retry: bool = False


REASONS: dict[str, Reason] = {
    "missing_file": Reason("the media file named in the manifest does not exist", can_retry=True),
    "outside_root": Reason("the manifest names a file outside of its media folder: ingest with a folder that holds it"),
    "media_changed": Reason("the media file holds other bytes than when it was ingested: run `merflow ingest` again"),
    "empty_file": Reason("the media file has zero bytes"),
    "lfs_pointer": Reason("the media file is a git-LFS pointer, not media: run `git lfs pull`"),
    "undecodable": Reason("FFmpeg cannot open or decode the media"),
    "truncated": Reason("the media ends well before the duration its container declares"),
    "no_audio": Reason("the clip has no audio stream"),
    "no_track": Reason("the media has fewer tracks than `audio_track` or `video_track` asks for"),
    "no_channel": Reason("the audio has fewer channels than `audio_channel` asks for"),
    "audio_gap": Reason("the audio has a hole: its samples do not cover its timestamps"),
    "no_video": Reason("the clip has no video stream"),
    "no_text": Reason("the manifest has no text for the clip"),
    "no_rate": Reason("the clip is a folder of images, and nobody says how many make a second"),
    "too_short": Reason("the clip is shorter than one analysis window of the feature"),
    "too_long": Reason(
        "the text has more tokens than the model takes, or the audio is longer than the recipe's one pass"
    ),
    "not_finite": Reason("the extractor gave NaN or infinity where it should not"),
    "out_of_memory": Reason(
        "the memory of the device, or of a worker, was too small for the clip alone", can_retry=True
    ),
    "program_failed": Reason(
        "an external program, such as OpenFace, failed or did not end within its time limit", can_retry=True
    ),
    "bad_csv": Reason("a CSV file of the clip's features is missing, damaged, or of another clip", can_retry=True),
    "crash": Reason("the worker process died while it worked on this clip, more than once", can_retry=True),
    "timeout": Reason("the clip took longer than its time limit, more than once", can_retry=True),
    "error": Reason(
        "merflow or an extractor failed in a way that nobody foresaw; its traceback is kept", can_retry=True
    ),
}


class StoreError(RunError):
    """A store, manifest or export is damaged, incomplete, or does not fit what was asked."""


class ClipError(MerflowError):
    """One clip cannot give one feature.

    Args:
        reason: One of `REASONS`.
        message: What was expected and what was found.
        stage: Where it happened: `open`, `decode`, `extract` or `check`.

    Raises:
        KeyError: If `reason` is not a documented code.
    """

    def __init__(self, reason: str, message: str, *, stage: str = "extract") -> None:
        if reason not in REASONS:
            raise KeyError(f"unknown reason code {reason!r}; documented: {', '.join(REASONS)}")
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.stage = stage

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with all three parts, so that the error crosses process boundaries."""
        return (_rebuild_clip_error, (self.reason, self.message, self.stage))


def _rebuild_clip_error(reason: str, message: str, stage: str) -> ClipError:
    return ClipError(reason, message, stage=stage)
