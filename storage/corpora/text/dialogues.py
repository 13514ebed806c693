"""Corpora of dialogues in writing: EmotionLines and EmotionX, DailyDialog."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.control_characters import repaired_text
from storage.corpora._shared.tree import read_text
from storage.corpora.text.source import Refused, TextFile

_VOTED = ("neutral", "joy", "sadness", "fear", "anger", "surprise", "disgust")
_ACTS = ("no emotion", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
_TRANSLATED = "utterance_"


def emotion_lines(file: TextFile) -> Iterator[CorpusRow | Refused]:
    """Utterances of a JSON list of dialogues; `annotation` has the number of votes for each of seven emotions."""
    try:
        dialogues = json.loads(read_text(file.path))
    except ValueError as error:
        raise RunError(f"{file.path}: {error}") from error
    if not isinstance(dialogues, list) or not all(isinstance(dialogue, list) for dialogue in dialogues):
        raise RunError(f"{file.path}: expected a list of dialogues, each a list of utterances")
    stem = file.path.stem.lower().replace(".", "_")
    for number, dialogue in enumerate(dialogues):
        group = f"{stem}_{number}"
        for turn, said in enumerate(dialogue):
            where = f"{file.path.name}: dialogue {number}, utterance {turn}"
            if not isinstance(said, dict) or "utterance" not in said:
                yield Refused(f"{where}: expected an object with speaker, utterance and emotion")
                continue
            yield CorpusRow(where, f"{group}_{turn}", fields=_utterance(said, group, turn, file.split))


def _utterance(said: dict[str, Any], group: str, turn: int, split: str | None) -> dict[str, Any]:
    emotion, digits = said.get("emotion"), str(said.get("annotation", ""))
    votes = dict(zip(_VOTED, digits, strict=True)) if digits.isdigit() and len(digits) == len(_VOTED) else {}
    translated = {name: str(text) for name, text in said.items() if name.startswith(_TRANSLATED)}
    return {
        "text": repaired_text(str(said["utterance"])),
        "language": "en",
        "split": split,
        "speaker": said.get("speaker"),
        "group": group,
        "label_raw": emotion,
        "votes": votes,
        "about": {"turn": str(turn)} | translated,
    }


def daily_dialog(file: TextFile) -> Iterator[CorpusRow | Refused]:
    """Utterances of a file of dialogues, one a line, with the file of labels beside it."""
    name = file.path.name
    labels = file.path.with_name(name.replace("dialogues_", "dialogues_emotion_").replace("_emotion_text", "_emotion"))
    if not labels.is_file():
        raise RunError(f"{file.path}: expected its labels in {labels.name} beside it, found none")
    texts, numbers = (read_text(path).splitlines() for path in (file.path, labels))
    if len(texts) != len(numbers):
        raise RunError(f"{file.path}: {len(texts)} dialogues, and {len(numbers)} lines in {labels.name}")
    for line, (text, emotions) in enumerate(zip(texts, numbers, strict=True), 1):
        where = f"{name} row {line}"
        said = [part.strip() for part in text.split("__eou__")]
        said = said[:-1] if said and not said[-1] else said
        digits = emotions.split()
        if len(said) != len(digits) or not all(d.isdigit() and int(d) < len(_ACTS) for d in digits):
            yield Refused(f"{where}: {len(said)} utterances and the labels {' '.join(digits) or 'none'}")
            continue
        group = f"{file.prefix}_{line}"
        for turn, (utterance, digit) in enumerate(zip(said, digits, strict=True)):
            fields = {
                "text": utterance,
                "language": "en",
                "split": file.split,
                "group": group,
                "label_raw": _ACTS[int(digit)],
                "about": {"turn": str(turn)},
            }
            yield CorpusRow(where, f"{group}_{turn}", fields=fields)
