"""The exception tree, and the reason codes a clip can fail or be skipped with.

```
MerflowError
  RunError      nothing can be done at all: bad config, missing weights, wrong store. Exit code 2.
    StoreError  a store, manifest or export that is damaged or does not fit
  ClipError     one clip cannot give one feature. Recorded with a reason code; the run goes on.
```

Anything else that escapes is a shard's own trouble (lost worker, full disk): Prefect retries it and the
shard stays missing until a later run.
"""

from __future__ import annotations

REASONS: dict[str, str] = {
    "missing_file": "the media file named in the manifest does not exist",
    "empty_file": "the media file has zero bytes",
    "lfs_pointer": "the media file is a git-LFS pointer, not media: run `git lfs pull`",
    "undecodable": "FFmpeg cannot open or decode the media",
    "truncated": "the media ends well before the duration its container declares",
    "no_audio": "the clip has no audio stream",
    "no_channel": "the audio has fewer channels than `audio_channel` asks for",
    "audio_gap": "the audio has a hole: its samples do not cover its timestamps",
    "no_video": "the clip has no video stream",
    "no_text": "the manifest has no text for the clip",
    "too_short": "the clip is shorter than one analysis window of the feature",
    "too_long": "the text has more tokens than the model takes",
    "not_finite": "the extractor gave NaN or infinity where it should not",
    "out_of_memory": "the device's memory was too small for this clip, even alone",
    "program_failed": "an external program, such as OpenFace, failed or did not end within its time limit",
    "bad_csv": "a CSV file of the clip's features is missing, damaged, or of another clip",
    "crash": "the worker process died while it worked on this clip, more than once",
}


class MerflowError(Exception):
    """Base of every error merflow raises on purpose."""


class RunError(MerflowError):
    """A run cannot start or continue; the message is one readable line for the user."""


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
