"""Ingest: a folder, or what was read of a table, becomes a manifest with fingerprints and lengths."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import unicodedata
from pathlib import Path

import pytest

from configs.errors import RunError
from storage.corpora import read_corpus
from storage.identity import input_digests
from storage.ingest import estimate, ingest
from storage.manifest import Manifest
from storage.media_files import FileRecord, NoFileError, state_of


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def refused(message: str):
    return pytest.raises(RunError, match=message)


# A folder of clips


def folder(root: Path, **options: str):
    found = read_corpus("folder", root, options)
    return {c.id: c for c in found.clips}, found.report


def test_folder_pairs_video_and_audio_of_one_name(tmp_path):
    make(tmp_path, "b.mp4", "b.wav", "a.MP4", "sub/c.flac", "sub/b2.webm", "notes.txt")
    clips, report = folder(tmp_path)
    assert list(clips) == ["a", "b", "sub.b2", "sub.c"]
    assert {i: (c.video, c.audio) for i, c in clips.items()} == {
        "a": ("a.MP4", "a.MP4"),
        "b": ("b.mp4", "b.wav"),
        "sub.b2": ("sub/b2.webm", "sub/b2.webm"),
        "sub.c": (None, "sub/c.flac"),
    }
    assert report.corpus == tmp_path.name
    assert report.notes == ["not media, left out: 1 .txt"]
    assert [title for title, found in report.findings().items() if found] == ["notes"]


def test_folder_skips_what_systems_leave_behind(tmp_path):
    make(tmp_path, "._a.mp4", ".DS_Store", "__MACOSX/a.mp4", ".hidden/b.mp4", "Thumbs.db", ".c.mp4", "d.mp4")
    assert list(folder(tmp_path)[0]) == ["d"]


def test_an_id_is_made_of_the_clip_s_own_place_alone(tmp_path):
    make(tmp_path, "x.mp4", "a/x.mp4", "a/b/x.wav", "a/b/y.mp4")
    clips, report = folder(tmp_path)
    before = {i: c.video or c.audio for i, c in clips.items()}
    assert before == {"a.b.x": "a/b/x.wav", "a.b.y": "a/b/y.mp4", "a.x": "a/x.mp4", "x": "x.mp4"}
    assert {c.source_id for c in clips.values()} == {"x", "y"}
    assert report.duplicates == []
    make(tmp_path, "z/x.mp4", "y.mp4", "b/b/x.wav")
    after = {i: c.video or c.audio for i, c in folder(tmp_path)[0].items()}
    assert {i: after[i] for i in before} == before
    assert after.keys() - before.keys() == {"z.x", "y", "b.b.x"}


def test_the_second_file_of_one_id_is_reported_and_not_taken(tmp_path):
    make(tmp_path, "a/x.mp4", "a.x.mp4", "v.avi", "v.mp4", "v.wav")
    clips, report = folder(tmp_path)
    assert {i: c.video for i, c in clips.items()} == {"a.x": "a/x.mp4", "v": "v.avi"}
    assert report.duplicates == [
        "a.x: a.x.mp4 repeats a/x.mp4, with another video, audio; not taken",
        "v: v.mp4 repeats v.avi, with another video; not taken",
    ]


def test_names_beyond_ascii_have_ids_of_their_own_in_both_spellings_of_unicode(tmp_path):
    make(
        tmp_path / "one", "张 三.mp4", "李 四.mp4", "спасибо.mp4", "你好.mp4", unicodedata.normalize("NFC", "Café.mp4")
    )
    make(tmp_path / "two", unicodedata.normalize("NFD", "Café.mp4"))
    clips, report = folder(tmp_path / "one")
    assert len(clips) == 5
    assert report.duplicates == []
    assert {c.source_id for i, c in clips.items() if i.startswith("___-")} == {"张 三", "李 四"}
    assert folder(tmp_path / "two")[0].keys() <= clips.keys()


def test_folder_says_which_audio_it_leaves_out(tmp_path):
    make(tmp_path, "v.mp4", "v.mp3", "v.wav")
    clips, report = folder(tmp_path)
    assert clips["v"].audio == "v.wav"
    assert report.extra == ["v.mp3: v.mp4 has its audio from v.wav"]


def test_folder_follows_links_once(tmp_path):
    make(tmp_path / "disk", "a.mp4")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "videos").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "loop").symlink_to(tmp_path / "corpus")
    assert [c.video for c in folder(tmp_path / "corpus")[0].values()] == ["videos/a.mp4"]


def test_folder_errors(tmp_path):
    with refused("expected a folder of clips, found nothing"):
        folder(tmp_path / "none")
    with refused("expected a folder of clips, found a file"):
        folder(make(tmp_path, "a.mp4") / "a.mp4")
    with refused(r"no media files \(such as \.mp4 or \.wav\) in it and below; found 1 \.txt"):
        folder(make(tmp_path / "texts", "a.txt"))
    with refused("unknown option 'id'; valid options here: audio_track, corpus, label_map, video_track"):
        folder(tmp_path, id="x")


@pytest.mark.timeout(60)
def test_pipes_sockets_and_loops_with_names_of_media_are_told_and_never_opened(tmp_path):
    """A pipe that nobody writes to would be waited for, for ever."""
    corpus = make(tmp_path / "corpus", "a.mp4")
    os.mkfifo(corpus / "pipe.mp4")
    (corpus / "loop.mp4").symlink_to(corpus / "loop.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(corpus / "socket.mp4"))
        assert estimate(None, corpus, {}, lambda path: 1.0).files == 1
        report = ingest(None, corpus, tmp_path / "m.parquet", {}, lambda path: 1.0)
    said = "a pipe, a socket or a device, not a file"
    assert report.unreadable == [f"pipe.mp4: {said}", f"socket.mp4: {said}"]
    found = {clip.id: clip.duration for clip in Manifest.open(tmp_path / "m.parquet")}
    assert found == {"a": 1.0, "loop": None, "pipe": None, "socket": None}
    with pytest.raises(NoFileError, match="a pipe, a socket or a device"):
        state_of(corpus / "pipe.mp4")


# Ingest: hashes, lengths, manifest


class Probe:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.lock = threading.Lock()

    def __call__(self, path: Path) -> float | None:
        with self.lock:
            self.seen.append(path.name)
        return None if path.name.startswith("bad") else 4.0


def test_ingest_writes_records_and_lengths(tmp_path):
    make(tmp_path / "media", "a.mp4", "bad.mp4", "b.mp4", "b.wav")
    probe = Probe()
    report = ingest(None, tmp_path / "media", tmp_path / "m.parquet", {}, probe)
    manifest = Manifest.open(tmp_path / "m.parquet")
    clips = {c.id: c for c in manifest}
    assert manifest.roots == {"media": tmp_path / "media"}
    assert manifest.corpus == report.corpus == "media"
    assert report.clips == 3
    assert sorted(probe.seen) == ["a.mp4", "b.mp4", "b.wav", "bad.mp4"]
    assert {i: c.duration for i, c in clips.items()} == {"a": 4.0, "b": 4.0, "bad": None}
    assert report.unreadable == ["bad.mp4: cannot read duration; file damaged or incomplete"]
    digest = hashlib.sha256(b"a.mp4").hexdigest()
    assert {kind: FileRecord.parse(text)[::2] for kind, text in clips["a"].files.items()} == {
        "video": (digest, 4.0),
        "audio": (digest, 4.0),
    }
    assert FileRecord.parse(clips["bad"].files["video"]).seconds is None
    assert report.to_dict()["counts"]["unreadable"] == 1
    json.dumps(report.to_dict())


def test_ingest_looks_at_a_shared_file_once(tmp_path):
    make(tmp_path, "dialog.avi")
    rows = "".join(f"u{i},dialog.avi,{i},{i + 0.5}\n" for i in range(200))
    (tmp_path / "t.csv").write_text("id,video,start,end\n" + rows + "last,gone.avi,1,\n")
    probe = Probe()
    report = ingest("table", tmp_path / "t.csv", tmp_path / "m.jsonl", {}, probe)
    clips = list(Manifest.open(tmp_path / "m.jsonl"))
    assert probe.seen == ["dialog.avi"]
    assert [c.id for c in clips] == [*(f"u{i}" for i in range(200)), "last"]
    assert len({tuple(input_digests(c).values()) for c in clips}) == 201
    assert [clips[i].duration for i in (0, 3, 50, 200)] == [0.5, 0.5, 0.0, None]
    assert clips[200].files == {}
    assert report.outside == [f"clip u{i}: starts at {i}.00 s, its media has 4.00 s" for i in range(4, 200)]
    assert report.missing == ["row 202: gone.avi: no such file"]


def test_ingest_again_looks_at_changed_files_only(tmp_path):
    make(tmp_path / "media", "a.mp4", "b.mp4", "c.wav", "bad.mp4")
    out, probe = tmp_path / "m.parquet", Probe()
    ingest(None, tmp_path / "media", out, {}, probe)
    first = list(Manifest.open(out))
    probe.seen.clear()
    make(tmp_path / "media", "new.mp4")
    (tmp_path / "media" / "b.mp4").write_bytes(b"other")
    ingest(None, tmp_path / "media", out, {}, probe)
    assert sorted(probe.seen) == ["b.mp4", "bad.mp4", "new.mp4"]  # what could not be read is looked at again
    again = {c.id: c for c in Manifest.open(out)}
    assert [again[c.id] == c for c in first] == [True, False, True, True]
    ingest(None, tmp_path / "media", tmp_path / "elsewhere.parquet", {}, probe)
    assert len(probe.seen) == 3 + 5


def test_ingest_writes_nothing_when_it_refuses(tmp_path):
    make(tmp_path / "in", "a.mp4")
    out = tmp_path / "out" / "m.parquet"
    with refused("nowhere: no such file or folder"):
        ingest(None, tmp_path / "nowhere", out, {}, Probe())
    with refused("unknown option"):
        ingest(None, tmp_path / "in", out, {"x": "y"}, Probe())
    assert not out.parent.exists()


def test_an_estimate_counts_every_file_once_and_tries_the_first(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for index in range(20):
        (folder / f"{index:02d}.wav").write_bytes(b"x" * 1000)
    probed = []
    cost = estimate(None, folder, {}, lambda path: probed.append(path) or 1.0)
    assert (cost.files, cost.bytes, len(probed)) == (20, 20_000, 16)
    assert cost.seconds is not None
    assert cost.seconds > 0
    (tmp_path / "texts.csv").write_text("id,text\na,b\n")
    assert estimate(None, tmp_path / "texts.csv", {}, lambda _: 1.0).seconds is None
