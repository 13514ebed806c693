"""Corpora of texts alone: GoEmotions, EmoBank, EmotionLines, EmotionX, SemEval 2018, Emotion-Stimulus, DailyDialog.

Tree: the files as their owners name them, at any depth; `format=` says which corpus it is where the names do not:
`goemotions` `{train,dev,test}.tsv` (text, label numbers, id; without a header, quotes are literal); `emobank`
`emobank.csv`; `emotionlines` and `emotionx` JSON lists of dialogues; `semeval` `2018-E-c-En-{train,dev,test-gold}.txt`;
`emotion_stimulus` `Emotion Cause.txt`, `No Cause.txt`; `dailydialog` `dialogues_text.txt` and `dialogues_emotion.txt`.
Labels: several at once (GoEmotions, SemEval) are in `label_set`, and `label_raw` where there is exactly one;
`ekman=true` folds the 28 words of GoEmotions into Ekman's six by its own map. Valence, arousal and dominance of EmoBank
are dimensions (1..5). Votes of EmotionLines are in `votes`.
Splits: as the files say. Dialogues are groups; `about["turn"]` counts their utterances.
Quirks: control characters that were cp1252 punctuation are repaired; closing tags of Emotion-Stimulus have a backslash;
in DailyDialog a dialogue whose numbers of utterances and labels differ is reported and not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Literal, get_args

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions, InPlaceCorpus
from storage.corpora._shared.tree import path_pattern
from storage.corpora.text.dialogues import daily_dialog, emotion_lines
from storage.corpora.text.sentences import EKMAN, emo_bank, emotion_stimulus, go_emotions, sem_eval
from storage.corpora.text.source import Refused, TextFile

Format = Literal["goemotions", "emobank", "emotionlines", "emotionx", "semeval", "emotion_stimulus", "dailydialog"]

# By corpus: the names of its files, and what reads one.
_FORMATS: dict[str, tuple[str, Callable[[TextFile], Iterator[CorpusRow | Refused]]]] = {
    "goemotions": (r"(?P<split>train|dev|test)\.tsv", go_emotions),
    "emobank": (r"emobank\.csv", emo_bank),
    "emotionx": (r"(?:friends|emotionpush)(?:\.augmented)?\.json", emotion_lines),
    "emotionlines": (r"(?:friends|emotionpush)_(?P<split>train|dev|test)\.json", emotion_lines),
    "semeval": (r"2018-E-c-En-(?P<split>train|dev|test)(?:-gold)?\.txt", sem_eval),
    "emotion_stimulus": (r"(?P<kind>emotion|no) cause\.txt", emotion_stimulus),
    "dailydialog": (r"dialogues_(?:text|(?P<split>train|validation|test))\.txt", daily_dialog),
}


class TextOptions(CorpusOptions):
    """Options of the reader `text`.

    Attributes:
        format: Which corpus it is; known by the names of its files where not given.
        ekman: Whether words of GoEmotions count as Ekman's six, by its own map.
    """

    format: Format | None = None
    ekman: bool = False


class TextCorpus(InPlaceCorpus[TextOptions]):
    """Sentences or utterances with their emotions, without any media."""

    name = "text"
    Options = TextOptions
    citation = "that of the corpus: Demszky 2020, Buechel 2017, Hsu 2018, Mohammad 2018, Ghazi 2015, Li 2017"
    licence = "GoEmotions CC BY 4.0, EmoBank CC BY-SA 4.0, DailyDialog CC BY-NC-SA 4.0, the others free for research"
    modalities = frozenset({"text"})

    @classmethod
    def fits(cls, paths: Sequence[str]) -> bool:
        """Whether a folder holds files of one of the corpora.

        Args:
            paths: Some of its files, relative to it.
        """
        patterns = [pattern for pattern, _ in _FORMATS.values()]
        return any(_matches(pattern, paths) for pattern in patterns if pattern != _FORMATS["goemotions"][0]) or (
            _matches(_FORMATS["goemotions"][0], paths) and _matches(r"emotions\.txt", paths)
        )

    def default_name(self) -> str:
        """The corpus's name, or its folder's."""
        return self.options.format or self.source.absolute().name

    def check(self) -> None:
        """Look for the files.

        Raises:
            RunError: If none is there, or those of several corpora.
        """
        if not self.source.is_dir():
            raise RunError(f"{self.source}: expected the folder of a corpus of texts")
        _ = self._format

    @cached_property
    def _format(self) -> str:
        if self.options.format is not None:
            formats: list[str] = [self.options.format]
        else:
            formats = list(_FORMATS)
        found = [name for name in formats if any(self.tree.matching(_FORMATS[name][0]))]
        if len(found) == 1:
            return found[0]
        if found:
            raise RunError(f"{self.source}: holds files of several corpora; give format=NAME: {', '.join(found)}")
        raise RunError(f"{self.source}: no file of {self.options.format or ', '.join(get_args(Format))} in it or below")

    def rows(self) -> Iterator[CorpusRow]:
        """One row per sentence or utterance.

        Raises:
            RunError: If a file cannot be read.
        """
        for said in self._said():
            if isinstance(said, CorpusRow):
                yield said

    def _said(self) -> Iterator[CorpusRow | Refused]:
        pattern, read = _FORMATS[self._format]
        files = [(path, found.groupdict().get("split")) for path, found in self.tree.matching(pattern)]
        if self._format == "dailydialog" and any(split for _, split in files):
            files = [(path, split) for path, split in files if split]  # the other files are all splits together
        for path, split in files:
            yield from read(TextFile(self.source / path, None if split is None else split.lower()))

    def notes(self) -> Iterator[str]:
        """Which corpus it is; what of it cannot be a clip is reported."""
        yield f"read as {self._format}"
        self.report.refused += [said.why for said in self._said() if isinstance(said, Refused)]

    def normalise(self, raw: str | None) -> str | None:
        """The label; of GoEmotions Ekman's where the option asks for them."""
        if raw == "non-neutral":
            return "no_agreement"  # what EmotionLines calls utterances without a majority
        folded = EKMAN.get(raw.lower()) if raw and self.options.ekman else None
        return super().normalise(folded or raw)


def _matches(pattern: str, paths: Sequence[str]) -> bool:
    return any(map(path_pattern(pattern).fullmatch, paths))
