"""IndoMER's own files: the same bytes back, and damaged texts made whole."""

from __future__ import annotations

import pytest

from configs.errors import RunError
from storage.corpora import read_corpus
from storage.errors import StoreError
from storage.vocabulary.indomer_files import (
    ANNOTATION_COLUMNS,
    CLASSES,
    SPLIT_KEYS,
    dump_annotations,
    dump_split_json,
    parse_annotations,
    parse_split_json,
    repaired,
    split_json_name,
)

SPLIT = (
    '[\r\n  {\r\n    "sample_id": "clip_1_Test_1",\r\n    "text": "Wah, \\"ok\\" — \u2018ya\u2019",\r\n'
    '    "sentiment_label": "netral",\r\n    "label": "netral",\r\n    "video": "clip_1_Test_1.mp4",\r\n'
    '    "audio": "clip_1_Test_1.wav"\r\n  }\r\n]'
).encode()
HEAD = b"video_name,audio_name,emotion,sentiment,text_sentiment,audio_sentiment,video_sentiment,text\r\n"


def table(*texts: str) -> bytes:
    labels = "netral,netral,netral,positif,netral"
    rows = [f"clip_1_Test_{i}.mp4,clip_1_Test_{i}.wav,{labels},{text}\r\n" for i, text in enumerate(texts, 1)]
    return HEAD + "".join(rows).encode()


def damaged(text: str) -> str:
    return text.encode("gbk").decode("latin-1")


def test_a_split_json_comes_back_byte_for_byte():
    items = parse_split_json(SPLIT)
    assert tuple(items[0]) == SPLIT_KEYS["7"]
    assert dump_split_json(items) == SPLIT
    assert not SPLIT.endswith(b"\n")
    assert split_json_name("3", "train") == "3_Class/3_class_train.json"
    assert {k: len(v) for k, v in CLASSES.items()} == {"3": 3, "7": 7}


@pytest.mark.parametrize("data", [b"{}", b"[1]", b'[{"a": 1}]', b"[", b"\xff"])
def test_a_split_json_that_is_not_flat_text_is_refused(data):
    with pytest.raises(StoreError, match="split JSON"):
        parse_split_json(data)


def test_annotations_come_back_byte_for_byte_and_their_texts_can_be_repaired():
    texts = ["Ya.", '"Ini hanya, uji ""coba""."', damaged("benar\uff1f"), damaged("“ya”\uff0c tidak"), "naïve café"]
    data = table(*texts)
    rows = parse_annotations(data)
    assert tuple(rows[0]) == ANNOTATION_COLUMNS
    assert dump_annotations(rows) == data
    assert [repaired(row["text"]) for row in rows] == [
        "Ya.",
        'Ini hanya, uji "coba".',
        "benar\uff1f",
        "“ya”\uff0c tidak",
        "naïve café",
    ]


@pytest.mark.parametrize(
    "text", ["", "plain", "café", "naïve", "¿Qué? ¡Sí!", "¡¡Hola!!", "20 °C", "it\u2019s", "«Ça va»", "ß"]
)
def test_text_that_is_not_damaged_stays(text):
    assert repaired(text) == text


@pytest.mark.parametrize("text", ["ya\uff0c", "“a” b", "it\u2019s", "Yang C \uff1aa", "\uff1f"])
def test_damaged_punctuation_is_made_whole(text):
    assert damaged(text) != text
    assert repaired(damaged(text)) == text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\r\n1,2\r\n", r"Annotations.csv: expected the columns video_name,.*, got a,b"),
        (HEAD + b"a,b\r\n", r"row 2: expected 8 cells, got 2"),
        (b"\xff", "Annotations.csv: "),
        (b"", "Annotations.csv: "),
    ],
)
def test_another_table_is_refused(data, message):
    with pytest.raises(StoreError, match=message):
        parse_annotations(data)


def test_another_table_in_a_corpus_is_refused_by_name(tmp_path):
    (tmp_path / "Annotations.csv").write_bytes(b"a,b\r\n1,2\r\n")
    with pytest.raises(RunError, match=r"Annotations\.csv: expected the columns video_name,.*, got a,b"):
        list(read_corpus("indomer", tmp_path, {}).clips)


def test_ingest_repairs_annotations_and_no_other_table(tmp_path):
    (tmp_path / "Annotations.csv").write_bytes(table("Ya.", damaged("benar\uff1f")))
    listing = read_corpus("indomer", tmp_path, {})
    assert [clip.text for clip in listing.clips] == ["Ya.", "benar\uff1f"]
    assert "1 text of Annotations.csv had GBK punctuation read as Latin-1, repaired" in listing.report.notes
    plain = read_corpus("table", tmp_path / "Annotations.csv", {})
    assert [clip.text for clip in plain.clips] == ["Ya.", damaged("benar\uff1f")]
    assert any("--corpus indomer repairs" in note for note in plain.report.notes)
    (tmp_path / "other.csv").write_bytes(table(damaged("benar\uff1f")).replace(b"emotion", b"label"))
    other = read_corpus("table", tmp_path / "other.csv", {})
    assert [clip.text for clip in other.clips] == [damaged("benar\uff1f")]
    assert not [note for note in other.report.notes if "repaired" in note]
