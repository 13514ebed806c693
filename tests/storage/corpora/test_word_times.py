"""Word times: every file that people have gives the same words, and what cannot be placed is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.errors import RunError
from storage.clip import Clip, Word
from storage.corpora import read_corpus
from storage.corpora._shared.word_times import WordFiles, WordTimes

SPOKEN = [("saya", 0.1, 0.4), ("senang", 0.4, 0.95), ("sekali", 1.2, 1.75)]
WORDS = tuple(Word(*word) for word in SPOKEN)
END = 2.0


def textgrid(kind: str) -> str:
    """A TextGrid, long or short, with a tier of words and one of phones, pauses and all."""
    pauses = [("", 0.0, 0.1), *SPOKEN[:2], ("sil", 0.95, 1.2), SPOKEN[2], ("", 1.75, END)]
    phones = [("a", 0.0, 1.0), ("b", 1.0, END)]
    if kind == "short":
        lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", f"{END}", "<exists>", "2"]
        for name, tier in (("words", pauses), ("phones", phones)):
            lines += ['"IntervalTier"', f'"{name}"', "0", f"{END}", str(len(tier))]
            lines += [line for text, a, b in tier for line in (f"{a}", f"{b}", f'"{text}"')]
        return "\n".join(lines) + "\n"
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {END}",
        "tiers? <exists>",
    ]
    lines += ["size = 2", "item []:"]
    for i, (name, tier) in enumerate((("speaker - words", pauses), ("speaker - phones", phones)), 1):
        lines += [f"    item [{i}]:", '        class = "IntervalTier"', f'        name = "{name}"', "        xmin = 0"]
        lines += [f"        xmax = {END}", f"        intervals: size = {len(tier)}"]
        for n, (text, a, b) in enumerate(tier, 1):
            lines += [f"        intervals [{n}]:", f"            xmin = {a}", f"            xmax = {b}"]
            lines += [f'            text = "{text}"']
    return "\n".join(lines) + "\n"


def rows(keys=("word", "start", "end")):
    return [dict(zip(keys, word, strict=True)) for word in SPOKEN]


FILES: dict[str, tuple[str, str]] = {
    "Praat, long": ("c.TextGrid", textgrid("long")),
    "Praat, short": ("c.TextGrid", textgrid("short")),
    "CTM": ("all.ctm", ";; comment\n" + "".join(f"c 1 {a} {round(b - a, 3)} {w} 0.9\n" for w, a, b in SPOKEN)),
    "whisperX": ("c.json", json.dumps({"segments": [{"words": rows()[:2]}, {"words": rows()[2:]}], "language": "id"})),
    "Whisper": ("c.json", json.dumps({"segments": [{"words": rows(("text", "start", "end"))}]})),
    "MFA": (
        "c.json",
        json.dumps({"start": 0, "end": END, "tiers": {"words": {"entries": [[a, b, w] for w, a, b in SPOKEN]}}}),
    ),
    "rows": ("c.json", json.dumps(rows(("label", "begin", "end")))),
    "CSV with clips": ("words.csv", "clip_id,word,start,end\n" + "".join(f"c,{w},{a},{b}\n" for w, a, b in SPOKEN)),
    "CSV of one": ("c.csv", "Word,Onset,Offset\n" + "".join(f"{w},{a},{b}\n" for w, a, b in SPOKEN)),
    "TSV": ("c.tsv", "text\tstart_time\tend_time\n" + "".join(f"{w}\t{a}\t{b}\n" for w, a, b in SPOKEN)),
}


def written(folder: Path, **files: str) -> WordTimes:
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    return WordTimes(WordFiles(folder))


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_gives_the_same_words(tmp_path, kind):
    name, content = FILES[kind]
    words = written(tmp_path, **{name: content})
    found = words.of(Clip("c", audio="a/c.wav"))
    assert [word.text for word in found] == [word.text for word in WORDS]
    assert [round(t, 6) for word in found for t in word[1:]] == [t for word in WORDS for t in word[1:]]
    assert list(words.notes()) == ["word times of 1 clip"]


def test_textgrids_in_utf_16_are_read(tmp_path):
    (tmp_path / "c.TextGrid").write_text(textgrid("long"), encoding="utf-16")
    assert WordTimes(WordFiles(tmp_path)).of(Clip("c")) == WORDS


def test_times_of_a_media_file_move_to_its_segments_and_those_of_a_clip_do_not(tmp_path):
    name, content = FILES["Praat, long"]
    words = written(tmp_path, **{"talk.TextGrid": content, name: content})
    assert words.of(Clip("a", audio="talk.wav", start=0.0, end=1.0)) == WORDS[:2]
    (last,) = words.of(Clip("b", audio="talk.wav", start=1.0, end=1.5))
    assert last == Word("sekali", 0.2, 0.5)  # cut where the segment ends
    assert words.of(Clip("c", audio="talk2.wav", start=1.0, end=1.5)) == WORDS
    assert words.of(Clip("d", audio="talk.wav", start=1.0, end=1.5, audio_is_cut=True)) == WORDS


def test_what_cannot_be_placed_is_said(tmp_path):
    untimed = [{"word": "2024"}, {"word": "nol", "start": 1.0, "end": 1.0}, *rows()]
    (tmp_path / "c.json").write_text(json.dumps({"segments": [{"words": untimed}]}))
    (tmp_path / "broken.TextGrid").write_text("no grid")
    (tmp_path / "stranger.json").write_text(json.dumps(rows()))
    words = WordTimes(WordFiles(tmp_path))
    assert words.of(Clip("c")) == WORDS
    assert words.of(Clip("broken")) == words.of(Clip("silent")) == ()
    notes = list(words.notes())
    assert notes[0] == "word times of 1 clip; 2 clips without"
    assert notes[1] == "2 words without times or length, left out"
    assert notes[2].startswith("broken.TextGrid: words cannot be read: ")
    assert notes[3:] == ["words of 1 name that no clip or media file has: stranger"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.txt", "x", "expected .TextGrid, .ctm, .json, .csv or .tsv files, got none"),
        ("c.csv", "a,b\n1,2\n", "expected a column word or text or label or token, got a, b"),
        ("c.csv", "word,start,end\nya,now,2\n", "could not convert string to float: 'now'"),
        ("c.ctm", "c 1 0.1\n", "not enough values"),
    ],
)
def test_words_that_cannot_be_read_are_refused_before_anything_is_written(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    media = tmp_path / "media"
    media.mkdir()
    (media / "c.wav").write_bytes(b"RIFF")
    with pytest.raises(RunError, match=message) as error:
        read_corpus("folder", media, {"words": str(tmp_path)})
    assert "\n" not in str(error.value)


def test_two_files_of_one_name_are_refused(tmp_path):
    for name in ("c.TextGrid", "c.json"):
        (tmp_path / name).write_text("")
    with pytest.raises(RunError, match=r"c\.TextGrid and .*c\.json: expected one file for c, got two"):
        WordFiles(tmp_path)


def test_a_corpus_of_any_reader_takes_them(tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    for name in ("c", "d"):
        (media / f"{name}.wav").write_bytes(b"RIFF")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "c.TextGrid").write_text(textgrid("long"))
    listing = read_corpus("folder", media, {"words": str(tmp_path / "words")})
    assert {clip.id: clip.words for clip in listing.clips} == {"c": WORDS, "d": ()}
    assert "word times of 1 clip; 1 clip without" in listing.report.notes
