"""Corpora of single sentences: GoEmotions, EmoBank, SemEval 2018 task 1 E-c, Emotion-Stimulus."""

from __future__ import annotations

import re
from collections.abc import Iterator

from configs.errors import RunError
from storage.corpora._shared.cell_values import number
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.control_characters import repaired_text
from storage.corpora._shared.table_file import TableFile
from storage.corpora._shared.tree import read_text
from storage.corpora.text.source import Refused, TextFile

GO_EMOTIONS = [
    "admiration",
    "amusement",
    "anger",
    "annoyance",
    "approval",
    "caring",
    "confusion",
    "curiosity",
    "desire",
    "disappointment",
    "disapproval",
    "disgust",
    "embarrassment",
    "excitement",
    "fear",
    "gratitude",
    "grief",
    "joy",
    "love",
    "nervousness",
    "optimism",
    "pride",
    "realization",
    "relief",
    "remorse",
    "sadness",
    "surprise",
    "neutral",
]
_EKMAN_WORDS = {
    "anger": "anger annoyance disapproval",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "joy": "joy amusement approval excitement gratitude love optimism relief pride admiration desire caring",
    "sadness": "sadness disappointment embarrassment grief remorse",
    "surprise": "surprise realization confusion curiosity",
}
EKMAN = {word: emotion for emotion, words in _EKMAN_WORDS.items() for word in words.split()}
"""Ekman's emotion of each of GoEmotions' words, by its authors' map."""

_TAGGED = re.compile(r"<(?P<emotion>\w+)>(?P<text>.*)<\\(?P=emotion)>\s*")
_CAUSE = re.compile(r"<\\?cause>")


def go_emotions(file: TextFile) -> Iterator[CorpusRow | Refused]:
    """Rows of a GoEmotions file: text, label numbers and id, divided by tabs; quotes are a part of the text."""
    for line, text in enumerate(read_text(file.path).split("\n"), 1):
        cells = text.rstrip("\r").split("\t")
        if cells == [""]:
            continue
        where = f"{file.path.name} row {line}"
        numbers = cells[1].split(",") if len(cells) == 3 else []
        if not numbers or not all(n.isdigit() and int(n) < len(GO_EMOTIONS) for n in numbers):
            yield Refused(f"{where}: expected text, label numbers below {len(GO_EMOTIONS)} and an id, divided by tabs")
            continue
        words = tuple(GO_EMOTIONS[int(n)] for n in numbers)
        yield _row(where, cells[2], cells[0], file.split, words)


def emo_bank(file: TextFile) -> Iterator[CorpusRow | Refused]:
    """Rows of `emobank.csv`: `id,split,V,A,D,text`."""
    table = TableFile.open(file.path)
    lacking = [name for name in ("id", "V", "A", "D", "text") if name not in table.columns]
    if lacking:
        raise RunError(f"{file.path}: no column {lacking[0]}; columns: {', '.join(table.columns)}")
    names = {"valence": "V", "arousal": "A", "dominance": "D"}
    for line, cells in table.rows():
        where = f"{file.path.name} row {line}"
        try:
            dimensions = {name: number(cells[column], name) for name, column in names.items()}
        except ValueError as error:
            yield Refused(f"{where}: {error}")
            continue
        fields = {
            "text": cells["text"],
            "language": "en",
            "split": cells.get("split") or None,
            "dimensions": dimensions,
            "scales": dict.fromkeys(dimensions, "1..5"),
        }
        yield CorpusRow(where, cells["id"], fields=fields, cells=cells)


def sem_eval(file: TextFile) -> Iterator[CorpusRow | Refused]:
    """Rows of a SemEval 2018 E-c file: `ID`, `Tweet`, and a column of 0 or 1 per emotion, divided by tabs."""
    header, *lines = read_text(file.path).split("\n")
    columns = header.rstrip("\r").split("\t")
    if columns[:2] != ["ID", "Tweet"]:
        raise RunError(
            f"{file.path}: expected the columns ID, Tweet and emotions, divided by tabs, got {header[:60]!r}"
        )
    for line, text in enumerate(lines, 2):
        cells = text.rstrip("\r").split("\t")
        if cells == [""]:
            continue
        where = f"{file.path.name} row {line}"
        if len(cells) != len(columns) or not set(cells[2:]) <= {"0", "1"}:
            yield Refused(f"{where}: expected {len(columns)} cells, the emotions 0 or 1")
            continue
        words = tuple(name for name, cell in zip(columns[2:], cells[2:], strict=True) if cell == "1")
        yield _row(where, cells[0], cells[1], file.split, words)


def emotion_stimulus(file: TextFile) -> Iterator[CorpusRow | Refused]:
    r"""Lines such as `<happy>She smiled <cause>at it<\cause> .<\happy>`: closing tags have a backslash."""
    for line, text in enumerate(read_text(file.path).splitlines(), 1):
        if not text.strip():
            continue
        where = f"{file.path.name} row {line}"
        found = _TAGGED.fullmatch(text.strip())
        if found is None:
            yield Refused(f"{where}: expected <emotion>text<\\emotion>")
            continue
        plain = " ".join(_CAUSE.sub("", found["text"]).split())
        yield _row(where, f"{file.prefix}_{line}", plain, file.split, (found["emotion"],))


def _row(where: str, name: str, text: str, split: str | None, words: tuple[str, ...]) -> CorpusRow:
    fields = {
        "text": repaired_text(text),
        "language": "en",
        "split": split,
        "label_set": words,
        "label_raw": words[0] if len(words) == 1 else None,
    }
    return CorpusRow(where, name, fields=fields)
