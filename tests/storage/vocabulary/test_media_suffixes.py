"""The one table of media suffixes against FFmpeg's own."""

from __future__ import annotations

from collections import Counter

import av

from extractors.core.media.formats import media_demuxers
from storage.vocabulary.media_suffixes import AUDIO_SUFFIXES, MEDIA_SUFFIXES, NOT_MEDIA_SUFFIXES, VIDEO_SUFFIXES


def test_every_suffix_of_every_demuxer_that_may_open_a_file_is_there_or_left_out_for_a_reason():
    known = {f".{s}" for name in media_demuxers() for s in av.ContainerFormat(name, "r").extensions}
    assert len(known) > 150
    assert known - set(MEDIA_SUFFIXES) - NOT_MEDIA_SUFFIXES.keys() == set()


def test_none_is_there_twice_and_those_of_other_demuxers_are_not_media():
    assert [s for s, count in Counter(MEDIA_SUFFIXES).items() if count > 1] == []
    assert not NOT_MEDIA_SUFFIXES.keys() & set(MEDIA_SUFFIXES)
    assert not {".txt", ".srt", ".vtt", ".m3u8", ".png", ".jpg", ".json", ".csv", ".sdp"} & set(MEDIA_SUFFIXES)


def test_what_people_have_is_there():
    assert {".ts", ".mts", ".m2ts", ".mpeg", ".3gp", ".ogv", ".wmv", ".gif"} <= set(VIDEO_SUFFIXES)
    assert {".aiff", ".w64", ".wma", ".amr", ".opus", ".mp2", ".ac3", ".caf"} <= set(AUDIO_SUFFIXES)
