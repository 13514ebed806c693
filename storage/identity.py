"""What a clip's numbers are made from: one 64-bit digest per input, so that a change counts only where it matters.

A corrected transcript changes `text` alone, a replaced video file `video` alone, another audio channel `audio_part`
alone; labels, splits and the place of the media change nothing. A stored result carries the digests of what its
extractor reads. 0 means that a digest is not known; it is never compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal

from storage.clip import Clip
from storage.digests import canonical_json, digest_of

Modality = Literal["audio", "video", "text"]
Source = Literal["audio", "video", "text", "crops"]
CROPS: Literal["crops"] = "crops"
_READ: dict[str, tuple[str, ...]] = {
    "video": ("video", "video_part"),
    "audio": ("audio", "audio_part"),
    "text": ("text",),
    CROPS: (CROPS,),
}
INPUTS: dict[str, str] = {
    "video": "video file",
    "video_part": "segment, crop or video track",
    "audio": "audio file",
    "audio_part": "segment, audio track or channel",
    "text": "text",
}
"""Every input of a clip that a manifest knows, with its name for people."""
BESIDE: dict[str, str] = {CROPS: "released face crops"}
"""Inputs that a run finds beside the manifest's media; a clip has their digests in `files` while a run works on it."""


def inputs_of(sources: Iterable[str]) -> tuple[str, ...]:
    """Names of the inputs behind what an extractor reads, in a fixed order.

    Args:
        sources: `audio`, `video`, `text`, `crops`.

    >>> inputs_of(["text", "audio"])
    ('audio', 'audio_part', 'text')
    """
    read = {name for source in sources for name in _READ[source]}
    return tuple(name for name in (*INPUTS, *BESIDE) if name in read)


def input_digests(clip: Clip) -> dict[str, int]:
    """The digest of each input of a clip, never 0.

    A clip of a manifest that merflow 0.1 made has one digest for all of them.
    """
    beside = {name: int(clip.files[name], 16) for name in BESIDE if name in clip.files}
    return {name: column[0] for name, column in digest_columns([clip]).items()} | beside


def with_beside(clip: Clip, digests: Mapping[str, int]) -> Clip:
    """A clip that knows the digests of inputs beside the manifest's media; those that are 0 stay unknown.

    Args:
        clip: The clip.
        digests: By the input's name.
    """
    known = {name: f"{digest:016x}" for name, digest in digests.items() if digest and not _is_old(clip)}
    return clip.with_media({**clip.files, **known}, clip.duration) if known else clip


def digest_columns(clips: Sequence[Clip]) -> dict[str, list[int]]:
    """The digests of many clips by input: what `input_digests` gives for each."""
    columns = {name: list(map(digest, clips)) for name, digest in _DIGEST_OF.items()}
    for row, clip in enumerate(clips):
        if _is_old(clip):
            for column in columns.values():
                column[row] = hash64(clip.fingerprint)
    return columns


def audio_segment(clip: Clip) -> tuple[float | None, float | None]:
    """Seconds of the audio file at which a clip's audio starts and ends."""
    return (None, None) if clip.audio_is_cut else (clip.start, clip.end)


def hash64(text: str) -> int:
    """64 bits of the BLAKE2b of a text, never 0."""
    data = text.encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") or 1


def legacy_fingerprint(clip: Clip) -> int:
    """The one digest of media, segment and text that stores of merflow 0.1 hold for a clip.

    Args:
        clip: The clip, ingested by any version.
    """
    if _is_old(clip):
        return parse_fingerprint(clip.fingerprint)
    media = {kind: _sha256_or_why(clip, kind, path) for kind, path in clip.media.items()}
    parts = [media, clip.start, clip.end, clip.audio_channel, clip.crop, clip.text]
    tracks = [clip.audio_track, clip.video_track]
    return parse_fingerprint(digest_of(parts if tracks == [None, None] else [*parts, tracks]))


def parse_fingerprint(text: str) -> int:
    """A fingerprint of merflow 0.1, 16 hexadecimal digits, as a number."""
    try:
        return int(text, 16) & 0xFFFFFFFFFFFFFFFF
    except ValueError:
        return hash64(text)


def _is_old(clip: Clip) -> bool:
    """Whether a clip comes from a manifest of merflow 0.1, with one fingerprint and no records of files."""
    return bool(clip.fingerprint) and not clip.files


def _sha256_or_why(clip: Clip, kind: str, path: str) -> str:
    if kind in clip.files:
        return clip.files[kind].partition(" ")[0]
    return path if "://" in path else "missing"


def _file_digest(clip: Clip, kind: str, path: str | None) -> int:
    return _cached_hash("none" if path is None else _sha256_or_why(clip, kind, path))


@lru_cache(maxsize=64)
def _cached_hash(text: str) -> int:
    return hash64(text)


@lru_cache(maxsize=64)
def _part_digest(*parts: object) -> int:
    return hash64(canonical_json(parts))


def _text_of(clip: Clip) -> str:
    text = "none" if clip.text is None else f"text {clip.text}"
    return f"{text} words {canonical_json(clip.words)}" if clip.words else text


_DIGEST_OF: dict[str, Callable[[Clip], int]] = {
    "video": lambda clip: _file_digest(clip, "video", clip.video),
    "video_part": lambda clip: _part_digest(
        clip.start,
        clip.end,
        clip.video_track,
        clip.crop,
        *(() if clip.frame_rate is None else (clip.frame_rate,)),
        *(() if clip.main_face is None else (clip.main_face,)),
    ),
    "audio": lambda clip: _file_digest(clip, "audio", clip.audio),
    "audio_part": lambda clip: _part_digest(*audio_segment(clip), clip.audio_track, clip.audio_channel),
    "text": lambda clip: hash64(_text_of(clip)),
}
