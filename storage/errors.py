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
        remedy: What to do about it.
        can_retry: Whether trying the same clip again, with the same media, can help.
    """

    meaning: str
    remedy: str
    can_retry: bool = False


_RETRY = "`merflow retry STORE`"
_REPLACE = f"replace the file, run `merflow ingest` again, then {_RETRY}"
_SKIP = "nothing, if the corpus is so: `{option}: skip` in the configuration then counts it as skipped by rule"
REASONS: dict[str, Reason] = {
    "missing_file": Reason(
        "the media file named in the manifest does not exist",
        f"put it back, or `merflow relocate` if the media folder moved; then {_RETRY}",
        can_retry=True,
    ),
    "outside_root": Reason(
        "the manifest names a file outside of its media folder", "ingest again with a folder that holds it"
    ),
    "media_changed": Reason(
        "the media file holds other bytes than when it was ingested",
        "run `merflow ingest` again, then `merflow run --replace-stale`",
    ),
    "empty_file": Reason("the media file has zero bytes", _REPLACE),
    "lfs_pointer": Reason("the media file is a git-LFS pointer, not media", f"run `git lfs pull`, then {_RETRY}"),
    "undecodable": Reason("FFmpeg cannot open or decode the media", _REPLACE),
    "truncated": Reason("the media ends well before the duration its container declares", _REPLACE),
    "no_audio": Reason("the clip has no audio stream", _SKIP.format(option="no_audio")),
    "no_track": Reason(
        "the media has fewer tracks than `audio_track` or `video_track` asks for", "correct the column of the manifest"
    ),
    "no_channel": Reason(
        "the audio has fewer channels than `audio_channel` asks for", "correct the column of the manifest"
    ),
    "audio_gap": Reason("the audio has a hole: its samples do not cover its timestamps", _REPLACE),
    "no_video": Reason("the clip has no video stream", _SKIP.format(option="no_video")),
    "no_text": Reason("the manifest has no text for the clip", _SKIP.format(option="no_text")),
    "no_words": Reason(
        "the manifest has no word times for the clip", f"ingest again with `--words DIR`, then {_RETRY}"
    ),
    "no_rate": Reason(
        "the clip is a folder of images, and nobody says how many make a second", "ingest again with `frame_rate=25`"
    ),
    "too_short": Reason(
        "the clip is shorter than one analysis window of the feature", "leave the clip out of what is trained on"
    ),
    "too_long": Reason(
        "the text has more tokens than the model takes, or the audio is longer than the recipe's one pass",
        "shorten the text, or choose a recipe with windows",
    ),
    "not_finite": Reason("the extractor gave NaN or infinity where it should not", "report it, with the clip"),
    "out_of_memory": Reason(
        "the memory of the device, or of a worker, was too small for the clip alone",
        f"more memory (`cluster: {{worker_gib}}`) or a shorter segment, then {_RETRY}",
        can_retry=True,
    ),
    "program_failed": Reason(
        "an external program, such as OpenFace, failed or did not end within its time limit",
        f"read its message, then {_RETRY}",
        can_retry=True,
    ),
    "no_such_face": Reason(
        "no face is where the manifest's `main_face` points", "correct the column, or raise `detect_every` to look more"
    ),
    "bad_crops": Reason(
        "the released face crops of the clip are missing, damaged, or not of its video",
        f"replace them, then {_RETRY}",
        can_retry=True,
    ),
    "bad_csv": Reason(
        "a CSV file of the clip's features is missing, damaged, or of another clip",
        f"replace the file, then {_RETRY}",
        can_retry=True,
    ),
    "crash": Reason(
        "the worker process died while it worked on this clip, more than once", f"{_RETRY}; report it", can_retry=True
    ),
    "timeout": Reason(
        "the clip took longer than its time limit, more than once",
        f"a higher `cluster: {{clip_seconds}}`, then {_RETRY}",
        can_retry=True,
    ),
    "error": Reason(
        "merflow or an extractor failed in a way that nobody foresaw; its traceback is kept",
        f"read the traceback in the store's folder `runs`, report it; {_RETRY}",
        can_retry=True,
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
