"""What a folder's other files are, and which tracks of its media are meant."""

from __future__ import annotations

import pytest

from configs.errors import RunError
from storage.corpora import read_corpus


def test_files_that_are_not_media_are_counted_by_suffix(tmp_path):
    for name in ("a.ts", "b.wma", "x.txt", "y.TXT", "z.json", "README"):
        (tmp_path / name).write_bytes(b"1")
    listing = read_corpus("folder", tmp_path, {"audio_track": "1"})
    clips = list(listing.clips)
    assert [(c.id, c.video, c.audio, c.audio_track, c.video_track) for c in clips] == [
        ("a", "a.ts", "a.ts", 1, None),
        ("b", None, "b.wma", 1, None),
    ]
    assert listing.report.notes == ["not media, left out: 2 .txt, 1 .json, 1 no suffix"]


def test_a_folder_without_media_says_what_is_in_it(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"1")
    with pytest.raises(RunError, match=r"no media files \(such as .mp4 or .wav\) in it and below; found 1 .txt"):
        read_corpus("folder", tmp_path, {})
