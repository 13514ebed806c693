"""In which encoding a file is, where nobody says: Chinese, Western European, UTF-8 and UTF-16."""

from __future__ import annotations

import pytest

from configs.errors import RunError
from storage.corpora import read_corpus
from storage.corpora._shared.text_encoding import encoding_of

CHINESE = "name,sentence\nsample_1,你好\uff0c我不知道他为什么这样说。\nsample_2,好的\n"
GERMAN = "name,text\na,Grüße aus Köln\nb,Fußgängerübergänge, ja\n"
FRENCH = "name,text\na,créée\nb,une idée créée à Noël\n"


@pytest.mark.parametrize(
    ("text", "written", "found"),
    [
        (CHINESE, "gbk", "gb18030"),
        (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "utf-8", "utf-8-sig"),
        (CHINESE, "utf-8-sig", "utf-8-sig"),
        (CHINESE, "utf-16", "utf-16"),
        (GERMAN, "cp1252", "cp1252"),
        (FRENCH, "cp1252", "cp1252"),
        ("name,text\na,créée\n", "cp1252", "cp1252"),
        ("name,text\na,Grüße\n", "latin-1", "cp1252"),
        ("name,text\na,\x81\n", "latin-1", "latin-1"),
        ("a,b\n", "ascii", "utf-8-sig"),
    ],
)
def test_the_encoding_is_found(tmp_path, text, written, found):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(written))
    assert encoding_of(path) == found
    assert path.read_text(encoding=found) == text


def test_a_table_says_how_it_was_read_and_can_be_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(CHINESE.encode("gbk"))
    listing = read_corpus("table", path, {})
    assert [clip.text for clip in listing.clips] == ["你好\uff0c我不知道他为什么这样说。", "好的"]
    assert "not UTF-8: read as gb18030" in listing.report.notes
    path.write_bytes("name,sentence\na,こんにちは\n".encode("shift_jis"))
    (clip,) = read_corpus("table", path, {"encoding": "shift_jis"}).clips
    assert clip.text == "こんにちは"
    with pytest.raises(RunError, match="encoding=klingon: no such encoding"):
        read_corpus("table", path, {"encoding": "klingon"})
