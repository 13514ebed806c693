"""Corpus readers: what is on disk becomes clips, and whatever does not fit together is in the report."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from configs.errors import RunError
from storage.clip import Clip
from storage.corpora import CORPORA, read_corpus
from storage.vocabulary.labels import normalise

INDOMER = "video_name,audio_name,emotion,sentiment,text_sentiment,audio_sentiment,video_sentiment,text\r\n"


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def table(path: Path, content: str | bytes, /, **options: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_corpus("table", path, options)
    return {c.id: c for c in found.clips}, found.report


def refused(message: str):
    return pytest.raises(RunError, match=message)


def test_readers_are_found_by_name():
    assert {"folder", "indomer", "table"} <= set(CORPORA.names())
    assert all(CORPORA.summary(name) for name in CORPORA.names())
    with refused(r"unknown corpus 'iemocup'; corpora: .*folder, .*table"):
        read_corpus("iemocup", Path(), {})


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_indomer_annotations(tmp_path, mark):
    make(tmp_path, "videos/clip_1_Test_1.mp4", "audios/clip_1_Test_1.wav", "videos/clip_9_Test_1.mp4")
    rows = (
        'clip_1_Test_1.mp4,clip_1_Test_1.wav,netral,netral,netral,positif,negatif,"Ini hanya, uji coba."\r\n'
        "clip_2_Test_1.mp4,clip_2_Test_1.wav,kebahagiaan,positif,netral,positif,positif,Dua\r\n"
    )
    clips, report = table(tmp_path / "Annotations.csv", mark + (INDOMER + rows).encode())
    assert clips["clip_1_Test_1"] == Clip(
        "clip_1_Test_1",
        video="videos/clip_1_Test_1.mp4",
        audio="audios/clip_1_Test_1.wav",
        text="Ini hanya, uji coba.",
        label_raw="netral",
        label="neutral",
        labels={"sentiment": "netral", "text": "netral", "audio": "positif", "video": "negatif"},
        source_id="clip_1_Test_1",
    )
    assert clips["clip_2_Test_1"].video == "clip_2_Test_1.mp4"
    assert clips["clip_2_Test_1"].label == "happy"
    assert report.missing == [
        "row 3: clip_2_Test_1.mp4: no such file",
        "row 3: clip_2_Test_1.wav: no such file",
    ]
    assert report.extra == ["videos/clip_9_Test_1.mp4"]
    used = "video=video_name, audio=audio_name, text=text, label=emotion, labels.sentiment=sentiment, "
    used += "labels.text=text_sentiment, labels.audio=audio_sentiment, labels.video=video_sentiment"
    hint = "IndoMER's own table: --corpus indomer repairs its damaged texts and adds splits"
    assert report.notes == [f"columns used: {used}", hint]


def test_indomer_json(tmp_path):
    item = {"sample_id": "clip_1", "text": "a", "audio_label": "positif", "label": "positif", "video": "clip_1.mp4"}
    clips, report = table(tmp_path / "3_class_val.json", json.dumps([item, item | {"sample_id": "c", "label": None}]))
    assert clips["clip_1"].labels == {"audio": "positif"}
    assert (clips["clip_1"].label_raw, clips["clip_1"].label, clips["c"].label_raw) == ("positif", None, None)
    assert clips["clip_1"].audio == "clip_1.mp4"
    assert report.unknown_labels == ["positif: 1 clip"]


def test_jsonl_keeps_numbers_as_they_are_written(tmp_path):
    text = '{"key": "007", "wav": "a/1.wav", "emo": "hap", "start": 1.5, "end": 2}\n\n{"key": 8, "wav": "a/1.wav"}\n'
    clips, _ = table(make(tmp_path, "a/1.wav") / "t.jsonl", text)
    assert (clips["007"].start, clips["007"].end, clips["007"].label) == (1.5, 2.0, "happy")
    assert (clips["8"].video, clips["8"].audio, clips["8"].start) == (None, "a/1.wav", None)


def test_leading_zeros_and_every_option(tmp_path):
    make(tmp_path, "media/0001.mp4")
    header = "nr\tfile\tsound\twords\temo2\tpart\twho\tvid\tlang\tfrom\tto\tch\tv\ta\td\n"
    row = "0001\t0001.mp4\t\t hi \tAnger\ttest\t02\t0007\tid\t0.5\t1\t2\t-1.5\t\t3\n"
    fields = ["id", "video", "audio", "text", "label", "split", "speaker", "group", "language", "start", "end"]
    fields += ["audio_channel", "valence", "arousal", "dominance"]
    options = dict(zip(fields, header.split(), strict=True)) | {"media": "media", "corpus": "mine"}
    clips, report = table(tmp_path / "t.tsv", header + row, **options)
    assert clips["0001"] == Clip(
        "0001",
        video="0001.mp4",
        text=" hi ",
        label_raw="Anger",
        label="angry",
        split="test",
        speaker="02",
        group="0007",
        language="id",
        start=0.5,
        end=1.0,
        audio_channel=2,
        dimensions={"valence": -1.5, "dominance": 3.0},
        source_id="0001",
    )
    assert report.corpus == "mine"
    assert not report.missing


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [(b"\xfcber \x92", "cp1252", "über \u2019"), (b"\x81", "latin-1", "\x81"), ("é".encode(), "", "é")],
)
def test_encodings(tmp_path, data, encoding, text):
    clips, report = table(tmp_path / "t.csv", b"id,text\r\na," + data + b"\r\n")
    assert clips["a"].text == text
    assert (f"not UTF-8: read as {encoding}" in report.notes) == bool(encoding)


def test_names_with_spaces_and_beyond_ascii(tmp_path):
    make(tmp_path, "süß & klein/Clip Ä 1.mp4")
    clips, report = table(tmp_path / "t.csv", "id,video\nClip Ä 1,Clip Ä 1.mp4\nClip Ö 1,nope.mp4\n")
    assert clips.keys() == {f"Clip___1-{hashlib.sha256(n.encode()).hexdigest()[:8]}" for n in ("Clip Ä 1", "Clip Ö 1")}
    assert {c.source_id: c.video for c in clips.values()} == {
        "Clip Ä 1": "süß & klein/Clip Ä 1.mp4",
        "Clip Ö 1": "nope.mp4",
    }
    assert len(report.duplicates) == 2


def test_media_are_found_by_id_path_or_unique_name(tmp_path):
    make(tmp_path, "v/a.mp4", "w/a.wav", "v/b.mp4", "w/b.mp4", "c.wav", "d.mp4")
    clips, report = table(tmp_path / "t.csv", "id,label\na,\nb,\nc,\nz,\n", media=".")
    assert (clips["a"].video, clips["a"].audio) == ("v/a.mp4", "w/a.wav")
    assert (clips["c"].video, clips["c"].audio) == (None, "c.wav")
    assert report.missing == ["row 3: b: 2 files match: v/b.mp4, w/b.mp4", "row 5: z: no such file"]
    assert report.extra == ["d.mp4", "v/b.mp4", "w/b.mp4"]

    inside = tmp_path / "d.mp4"
    rows = f"id,video\n1,w/b.mp4\n2,{inside}\n3,s3://x/y.mp4\n4,w\\a.wav\n5,../t.csv\n"
    clips, report = table(tmp_path / "t2.csv", rows)
    found = [c.video for c in clips.values()]
    assert found == ["w/b.mp4", "d.mp4", "s3://x/y.mp4", "w/a.wav", "../t.csv"]
    assert report.missing == ["row 6: ../t.csv: no such file"]


def test_repeated_rows(tmp_path):
    make(tmp_path, "a.mp4", "b.mp4")
    rows = "id,video,label\nx,a.mp4,sad\nx,a.mp4,sad\nx,a.mp4,happy\n"
    clips, report = table(tmp_path / "t.csv", rows)
    assert {i: c.label for i, c in clips.items()} == {"x": "sad"}
    assert report.duplicates == [
        "x: row 3 repeats row 2, identical; the first one counts",
        "x: row 4 repeats row 2, with another label; the first one counts",
    ]
    with refused("id 'x' in row 2 and row 5 names different media"):
        table(tmp_path / "t.csv", rows + "x,b.mp4,sad\n")


def test_segments_of_one_file_without_ids(tmp_path):
    rows = "video,start,end\nd/a.mp4,0,1.5\nd/a.mp4,1.5,\nd/a.mp4,0,1.5\nd/b.mp4,0,1\n"
    clips, report = table(make(tmp_path, "d/a.mp4", "d/b.mp4") / "t.csv", rows)
    assert list(clips) == ["d__a_0-1.5", "d__a_1.5-end", "b"]
    assert "a: row 4 repeats row 2, identical; the first one counts" in report.duplicates


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "id,video\na,b.mp4\n",
            {"vidoe": "x"},
            "unknown option 'vidoe'; valid options here: arousal, audio, .*Did you mean 'video'?",
        ),
        ("id,video\na,b.mp4\n", {"text": "words"}, "text=words: no such column; columns: id, video"),
        ("id,video\na,b.mp4\n", {"media": "nowhere"}, "media=nowhere: no such folder"),
        ("id,video\na,b.mp4\nc\n", {}, "row 3: expected 2 cells as in the header, got 1"),
        ('id,video\na,"b.mp4\n', {}, "row 2: unexpected end of data"),
        ("id,id\na,b\n", {}, "row 1: column 'id' occurs twice"),
        ("id,video\n", {}, "no rows"),
        ("", {}, "no rows"),
        ("id,video\n,b.mp4\n", {}, "row 2: no id"),
        ("id,video,start\na,b.mp4,0:13\n", {}, "row 2: start: expected a number, got '0:13'"),
        ("id,video,start,end\na,b.mp4,2,1\n", {}, "row 2: clip a: end 1.0 is not after start 2.0"),
        ("id,label\na,sad\n", {}, "no column names media or text"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, options, message):
    with refused(message) as error:
        table(tmp_path / "t.csv", text, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.json", '{"a": 1}', "expected a list of objects, got dict"),
        ("t.json", "[1]", "row 1: expected an object, got int"),
        ("t.json", "[", "Expecting value"),
        ("t.jsonl", '{"id": "a"}\nx', "row 2: Expecting value"),
        ("t.xlsx", "", r"expected a table: \.csv"),
    ],
)
def test_other_tables_that_are_refused(tmp_path, name, text, message):
    with refused(message):
        table(tmp_path / name, text)
    with refused("expected a table file, found a folder"):
        read_corpus("table", tmp_path, {})


def test_unknown_labels_are_never_neutral(tmp_path):
    rows = "id,text,label\n" + "".join(f"{i},hi,{raw}\n" for i, raw in enumerate(["A", "N", "A", "SAD ", "hate", ""]))
    clips, report = table(tmp_path / "t.csv", rows)
    assert Counter(c.label for c in clips.values()) == {None: 5, "sad": 1}
    assert report.unknown_labels == ["A: 2 clips", "N: 1 clip", "hate: 1 clip"]
    assert normalise("KESEDIHAN") == "sad"
    assert normalise("01") is None


def test_one_value_for_every_row(tmp_path):
    make(tmp_path, "a.mp4", "b.mp4")
    content = "id,video,split\na,a.mp4,x\nb,b.mp4,y\n"
    clips, report = table(tmp_path / "t.csv", content, split="=train", language="=id")
    assert {(c.split, c.language) for c in clips.values()} == {("train", "id")}
    assert "split==train, language==id" in report.notes[0]
