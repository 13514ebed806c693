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
from storage.face_points import PointedFace
from storage.ingest import estimate, ingest
from storage.manifest import Manifest
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
    assert report.duplicates == []


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
    (line,) = report.missing
    assert line.startswith(f"row 6: ../t.csv: outside of the media folder {tmp_path}; a folder that holds it is ")


def test_repeated_rows_are_reported_and_not_taken(tmp_path):
    make(tmp_path, "a.mp4", "b.mp4")
    rows = "id,video,label\nx,a.mp4,sad\nx,a.mp4,sad\nx,a.mp4,happy\nx,b.mp4,sad\n"
    clips, report = table(tmp_path / "t.csv", rows)
    assert {i: (c.label, c.video) for i, c in clips.items()} == {"x": ("sad", "a.mp4")}
    assert report.duplicates == [
        "x: row 3 repeats row 2, identical; not taken",
        "x: row 4 repeats row 2, with another label; not taken",
        "x: row 5 repeats row 2, with another video; not taken",
    ]


def test_segments_of_one_file_without_ids(tmp_path):
    rows = "video,start,end\nd/a.mp4,0,1.5\nd/a.mp4,1.5,\nd/a.mp4,0,1.5\nd/b.mp4,,\n"
    clips, report = table(make(tmp_path, "d/a.mp4", "d/b.mp4") / "t.csv", rows)
    assert list(clips) == ["a_0-1.5", "a_1.5-end", "b"]
    assert report.duplicates == ["a_0-1.5: row 4 repeats row 2, identical; not taken"]


def test_adding_rows_never_renames_others(tmp_path):
    make(tmp_path, "a.mp4", "d/a.mp4", "e/b.mp4", "f/b.mp4")
    first, _ = table(tmp_path / "t.csv", "video,start\na.mp4,\na.mp4,2\ne/b.mp4,\n")
    more, report = table(tmp_path / "t.csv", "video,start\nd/a.mp4,1\na.mp4,\na.mp4,2\ne/b.mp4,\nf/b.mp4,\na.mp4,3\n")
    assert {i: more[i] for i in first} == first
    assert report.duplicates == ["b: row 6 repeats row 5, with another video; not taken"]


def test_columns_are_matched_as_people_write_them(tmp_path):
    make(tmp_path, "a.mp4", "a.wav")
    cases = {
        "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Split_Set": "a.wav,ang,3,2,1,7,Train",  # MSP
        "name,discrete_emotion,valence": "a,happy,1",  # MER
        "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID": "1,Hi,Joey,joy,positive,0,1",  # MELD
        "key,wav,emo,dataset": "a,a.wav,hap,x",  # EmoBox
        "Transcription,speaker id,Clip-ID,Video Path": "hello,7,a,a.mp4",
    }
    used = {}
    assert table(tmp_path / "t.csv", "name,emotion\nz,sad\na,sad\n")[0]["a"].video == "a.mp4"
    for header, row in cases.items():
        options = {"id": "dia{dialogue id}_utt{Utterance_ID}"} if "Utterance" in header else {}
        clips, report = table(tmp_path / "t.csv", f"{header}\n{row}\n", **options)
        used[header[:4]] = report.notes[0].removeprefix("columns used: "), *clips.values()
    text, clip = used["File"]
    assert text.startswith("file=FileName, label=EmoClass, split=Split_Set, speaker=SpkrID")
    assert (clip.id, clip.video, clip.audio, clip.dimensions) == (
        "a", None, "a.wav", {"valence": 2, "arousal": 3, "dominance": 1},
    )  # fmt: skip
    assert (used["name"][1].id, used["name"][1].label, used["name"][1].video) == ("a", "happy", "a.mp4")
    meld = used["Sr N"][1]
    assert (meld.id, meld.text, meld.speaker, meld.label, meld.labels) == (
        "dia0_utt1", "Hi", "Joey", "happy", {"sentiment": "positive"},
    )  # fmt: skip
    assert (used["key,"][1].id, used["key,"][1].audio) == ("a", "a.wav")
    assert (used["Tran"][1].text, used["Tran"][1].video, used["Tran"][1].speaker) == ("hello", "a.mp4", "7")
    assert "columns ignored: dataset" in table(tmp_path / "t.csv", "key,wav,emo,dataset\na,a.wav,hap,x\n")[1].notes


def test_clips_that_count_within_a_video_get_the_video_into_their_ids(tmp_path):
    """MMSA's label.csv."""
    make(tmp_path, "v1/1.mp4", "v1/2.mp4", "v2/1.mp4")
    rows = "video_id,clip_id,text,label,mode\nv1,1,a,0.5,train\nv1,2,b,-1,valid\nv2,1,c,0,test\n"
    clips, report = table(tmp_path / "label.csv", rows)
    assert {i: (c.video, c.split) for i, c in clips.items()} == {
        "v1_1": ("v1/1.mp4", "train"), "v1_2": ("v1/2.mp4", "valid"), "v2_1": ("v2/1.mp4", "test"),
    }  # fmt: skip
    assert report.notes[0].endswith("id={video_id}_{clip_id}, file={video_id}/{clip_id}")


def test_names_with_suffixes_in_the_id_column_are_media(tmp_path):
    make(tmp_path, "v/a.mp4", "v/b.mp4")
    clips, _ = table(tmp_path / "t.csv", "name,emotion\na.mp4,sad\nb.mp4,sad\n")
    assert {i: c.video for i, c in clips.items()} == {"a": "v/a.mp4", "b": "v/b.mp4"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le-mark", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_files_as_spreadsheets_write_them(tmp_path, encoding, delimiter):
    rows = [
        ["id", "text", "video", "start", "end"],
        ["a", "Grüße", "a.mp4", "00:00:01.5", "1:02:03"],
        ["b", "x", "a.mp4", "0.5", "2"],
    ]
    text = "".join(delimiter.join(row) + "\r\n" for row in rows)
    data = b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-mark" else text.encode(encoding)
    clips, report = table(make(tmp_path, "a.mp4") / "t.csv", data)
    assert (clips["a"].text, clips["a"].start, clips["a"].end, clips["b"].start) == ("Grüße", 1.5, 3723.0, 0.5)
    assert any("not UTF-8" in note for note in report.notes) == (encoding != "utf-8")


def test_decimal_commas(tmp_path):
    clips, _ = table(make(tmp_path, "a.mp4") / "t.csv", "id;video;start;valence\na;a.mp4;1,25;-0,5\n")
    assert (clips["a"].start, clips["a"].dimensions) == (1.25, {"valence": -0.5})


def test_rows_that_cannot_be_clips_are_reported_and_the_others_are_taken(tmp_path):
    rows = "id,video,start,end\na,a.mp4,2,1\nb,a.mp4,1,1\nc,a.mp4,-1,1\nd,a.mp4,0,1\n"
    clips, report = table(make(tmp_path, "a.mp4") / "t.csv", rows)
    assert list(clips) == ["d"]
    assert report.refused == [
        "row 2: clip a: end 1.0 is not after start 2.0",
        "row 3: clip b: end 1.0 is not after start 1.0",
        "row 4: clip c: start is -1.0, expected 0 or more seconds",
    ]


def test_labels_in_any_language(tmp_path):
    rows = "id,text,label\na,x,生气\nb,x,sad\nc,x,Glad\n"
    clips, report = table(tmp_path / "t.csv", rows, label_map="zh")
    assert [c.label for c in clips.values()] == ["angry", "sad", None]
    assert report.unknown_labels == ["Glad: 1 clip"]
    (tmp_path / "m.json").write_text('{"glad": "happy", "生气": "angry"}', encoding="utf-8")
    (tmp_path / "m.csv").write_text("word,label\nglad,happy\n生气,angry\n", encoding="utf-8")
    (tmp_path / "m.yaml").write_text("glad: happy\n生气: angry\n", encoding="utf-8")
    for suffix in ("json", "csv", "yaml"):
        clips, _ = table(tmp_path / "t.csv", rows, label_map=str(tmp_path / f"m.{suffix}"))
        assert [c.label for c in clips.values()] == ["angry", "sad", "happy"], suffix
    with refused("label_map=xx: no such file, and no such language; languages: de, es"):
        table(tmp_path / "t.csv", rows, label_map="xx")
    (tmp_path / "m.json").write_text('{"glad": "cheerful"}', encoding="utf-8")
    with refused("m.json: glad: no label 'cheerful'; labels: angry, boredom"):
        table(tmp_path / "t.csv", rows, label_map=str(tmp_path / "m.json"))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "id,video\na,b.mp4\n",
            {"vidoe": "x"},
            "unknown option 'vidoe'; valid options here: about, arousal, audio, .*Did you mean 'video'?",
        ),
        ("id,video\na,b.mp4\n", {"text": "words"}, "text=words: no such column; columns: id, video"),
        ("id,video\na,b.mp4\n", {"media": "nowhere"}, "media=nowhere: no such folder"),
        ("id,video\na,b.mp4\nc\n", {}, "row 3: expected 2 cells as in the header, got 1"),
        ('id,video\na,"b.mp4\n', {}, "row 2: unexpected end of data"),
        ("id,id\na,b\n", {}, "row 1: column 'id' occurs twice"),
        ("id,video\n", {}, "no rows"),
        ("", {}, "no rows"),
        ("id,video\n,b.mp4\n", {}, "row 2: no id"),
        ("id,video,start\na,b.mp4,noon\n", {}, "row 2: start: expected a number, got 'noon'"),
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


def test_series_and_other_columns_are_kept(tmp_path):
    text = "id,text,EEG file,GSR,age\na,hi,s/1.edf,s/1.csv,41\nb,ho,,,\n"
    options = {"series": "eeg:EEG file, gsr:GSR", "about": "age"}
    clips, report = table(tmp_path / "t.csv", text.encode(), **options)
    assert clips["a"].series == {"eeg": "s/1.edf", "gsr": "s/1.csv"}
    assert (clips["a"].about, clips["b"].series, clips["b"].about) == ({"age": "41"}, {}, {})
    assert not [note for note in report.notes if "ignored" in note]
    for wrong, said in (("eeg", "expected name:COLUMN"), ("eeg:nope", "expected name:COLUMN; columns: id, text")):
        with pytest.raises(RunError, match=said):
            table(tmp_path / "t.csv", text.encode(), series=wrong)


def test_media_outside_of_the_media_folder_are_not_touched_unless_it_is_a_folder_that_holds_them(tmp_path):
    make(tmp_path, "elsewhere/a.mp4", "here/b.mp4")
    path = tmp_path / "here" / "t.csv"
    path.write_text(f"id,video\na,{tmp_path}/elsewhere/a.mp4\nb,b.mp4\n")
    probed = []
    report = ingest(None, path, tmp_path / "m.parquet", {}, lambda file: probed.append(file.name) or 1.0)
    assert probed == ["b.mp4"]
    assert estimate(None, path, {}, lambda file: probed.append(file.name) or 1.0).files == 1
    assert probed == ["b.mp4"] * 2
    (line,) = report.missing
    outside = f"outside of the media folder {tmp_path}/here"
    assert line.endswith(f"{outside}; a folder that holds it is {tmp_path} (media=FOLDER)")
    report = ingest(None, path, tmp_path / "m.parquet", {"media": str(tmp_path)}, lambda _: 1.0)
    assert not report.missing
    assert [clip.video for clip in Manifest.open(tmp_path / "m.parquet")] == ["elsewhere/a.mp4", "here/b.mp4"]


def test_a_column_points_out_the_face_that_matters(tmp_path):
    make(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    rows = 'id,video,main_face\na,a.mp4,"0.25,0.5@1.5"\nb,b.mp4,10 20 110 140\nc,c.mp4,\n'
    clips, _ = table(tmp_path / "t.csv", rows)
    assert clips["a"].main_face == PointedFace((0.25, 0.5), 1.5)
    assert clips["b"].main_face == PointedFace((10.0, 20.0, 110.0, 140.0))
    assert clips["c"].main_face is None


@pytest.mark.parametrize("cell", ["left", "0.5", "1,2,3", "5,5,4,9", "-1,2", "1,2@soon", "nan,1"])
def test_a_face_that_is_not_pointed_out_plainly_is_refused(tmp_path, cell):
    make(tmp_path, "a.mp4")
    with refused(r"main_face: expected x"):
        table(tmp_path / "t.csv", f'id,video,main_face\na,a.mp4,"{cell}"\n')
