"""Another FFmpeg, or other rules of decoding, give another digest to what looks at media, and to nothing else."""

from __future__ import annotations

import av
import pytest

from extractors.core import engines
from extractors.core.extractor import build_extractor

TINY = {"weights": {"random": {"seed": 0, "size": "tiny"}}}


def digest_of(name: str, **options) -> str:
    return build_extractor(name, name, options).spec.digest


@pytest.fixture(autouse=True)
def fresh():
    engines.ffmpeg_version.cache_clear()
    yield
    engines.ffmpeg_version.cache_clear()


def test_the_versions_of_ffmpegs_libraries_are_in_the_digest(monkeypatch):
    names = {"gemaps": {}, "hubert": TINY, "faces": {}, "mae": TINY | {"input": "frame"}, "text": TINY}
    before = {name: digest_of(name, **options) for name, options in names.items()}
    assert before == {name: digest_of(name, **options) for name, options in names.items()}
    for library in ("libavcodec", "libavformat", "libswresample", "libswscale"):
        engines.ffmpeg_version.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(av, "library_versions", av.library_versions | {library: (0, 0, 1)})
            after = {name: digest_of(name, **options) for name, options in names.items()}
        assert {name for name in names if before[name] != after[name]} == {"gemaps", "hubert", "faces", "mae"}


def test_the_rules_of_decoding_are_in_the_digest(monkeypatch):
    before = digest_of("gemaps"), digest_of("text", **TINY)
    monkeypatch.setattr(engines, "MEDIA_RULES", engines.MEDIA_RULES + 1)
    assert (digest_of("gemaps") != before[0], digest_of("text", **TINY) != before[1]) == (True, False)


def test_deinterlacing_is_in_the_digest_of_what_looks_at_frames():
    found = {}
    for deinterlace in (False, True):
        for name in ("gemaps", "faces"):
            extractor = build_extractor(name, name, {})
            extractor.deinterlace = deinterlace
            found.setdefault(name, set()).add(extractor.spec.digest)
    assert {name: len(digests) for name, digests in found.items()} == {"gemaps": 1, "faces": 2}


def test_versions_measured_to_be_equal_can_be_declared_equal(monkeypatch):
    monkeypatch.setitem(engines._EQUAL, ("ffmpeg", engines.ffmpeg_version()), "the same")
    assert engines.engine_versions("audio", ())["ffmpeg"] == "the same"
