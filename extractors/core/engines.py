"""Versions of what makes the numbers outside merflow: which are part of a feature's digest, and which are not.

In the digest: merflow's own rules of decoding, and libraries of which another version is known, or must be assumed, to
give other numbers (`docs/decisions/0008`). Not in it, but recorded with every shard file and compared on resume:
libraries whose versions were measured to agree, such as transformers 5.0 and 5.23 (5e-6).
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

MEDIA_RULES = 2
"""Version of `extractors.core.media`: raised whenever samples, pixels or times of some file change."""

# Versions that were measured to give equal numbers stand under one name here.
_EQUAL: dict[tuple[str, str], str] = {}


@cache
def ffmpeg_version() -> str:
    """The FFmpeg inside PyAV, by the versions of the libraries that decode, resample and convert colours."""
    import av

    names = ("libavcodec", "libavformat", "libswresample", "libswscale")
    return " ".join(".".join(map(str, av.library_versions[name])) for name in names)


def engine_versions(modality: str, packages: tuple[str, ...]) -> dict[str, str]:
    """What a feature's digest holds of the engines behind it.

    Args:
        modality: `audio`, `video` or `text`: what of a clip is decoded.
        packages: Names of Python packages.
    """
    found = {name: version(name) for name in packages}
    if modality in {"audio", "video"}:
        found |= {"media": str(MEDIA_RULES), "ffmpeg": ffmpeg_version()}
    return {name: _EQUAL.get((name, value), value) for name, value in found.items()}
