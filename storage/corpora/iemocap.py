"""IEMOCAP: 10,039 turns of 151 dialogues between ten actors, with emotions, dimensions and every rater's vote.

Tree: `Session1/dialog/EmoEvaluation/Ses01F_impro01.txt` (labels), `Session1/dialog/transcriptions/`,
`Session1/dialog/avi/DivX/Ses01F_impro01.avi` (both actors side by side),
`Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav`. Parts of it suffice: without `avi` there are no videos.
Video and audio: a turn's video is its part of the dialogue's, cut by the label file's times and cropped to the actor
who speaks; its audio is the file in `sentences`, cut already. The actor with the markers (the letter after the
session's number) is taken to be on the left, as three public scripts do; `markers=right` says otherwise, `crop=none`
crops nothing.
Speakers are the session and the turn's own letter. Label words stay apart: `exc` is excited and not happy, unless
`excited=happy`; `xxx` means that raters did not agree.
Splits: none; the five sessions are the groups, and the folds of the table `session`.
Quirks: transcripts have lines of turns without label and audio (`XX`), which are counted; `._*` files are junk; turns
overlap, so that a turn can hold the other actor too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions, InPlaceCorpus
from storage.corpora._shared.tree import read_text
from storage.corpora._shared.votes import rater_name
from storage.wording import counted

_DIALOGUE = r"(?P<dialogue>ses0\d[mf]_(?:impro|script)\d+(?:_\d)?[a-z]?)"
_LABELS = rf"dialog/emoevaluation/{_DIALOGUE}\.txt"
_TURN = re.compile(
    r"\[(?P<start>[\d.]+) - (?P<end>[\d.]+)\]\t(?P<turn>\S+)\t(?P<emotion>\w+)\t"
    r"\[(?P<valence>[\d.]+), (?P<activation>[\d.]+), (?P<dominance>[\d.]+)\]"
)
_VOTE = re.compile(r"C-(?P<rater>\w+):\t(?P<votes>[^\t(]*)")
_LINE = re.compile(r"(?P<turn>Ses\S+) \[[\d.]+-[\d.]+\]:\s*(?P<text>.*)")
_Turn = tuple[dict[str, str], dict[str, str]]
_LEFT, _RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


class IemocapOptions(CorpusOptions):
    """Options of the reader `iemocap`.

    Attributes:
        markers: On which side of the image the actor with the markers is.
        crop: `half` crops the video to the half of the actor who speaks, `none` leaves both.
        excited: `excited` keeps the word apart, `happy` counts it as happy, as four-class studies do.
    """

    markers: Literal["left", "right"] = "left"
    crop: Literal["half", "none"] = "half"
    excited: Literal["excited", "happy"] = "excited"


class IemocapCorpus(InPlaceCorpus[IemocapOptions]):
    """Turns with their speaker, text, consensus emotion, dimensions and votes."""

    name = "iemocap"
    Options = IemocapOptions
    title = "IEMOCAP"
    citation = "Busso et al., IEMOCAP: interactive emotional dyadic motion capture database, LREV 2008"
    licence = "USC SAIL release form, signed by the institution; academic use, no redistribution"
    signs = (r"dialog/emoevaluation/ses0\d[mf]_[^/]*\.txt",)
    expected_clips: ClassVar[Mapping[str, int]] = {"": 10039}
    labels: ClassVar[Mapping[str, str]] = {
        "ang": "angry",
        "hap": "happy",
        "sad": "sad",
        "neu": "neutral",
        "exc": "excited",
        "fru": "frustrated",
        "fea": "fear",
        "sur": "surprise",
        "dis": "disgust",
        "oth": "other",
        "xxx": "no_agreement",
    }

    def check(self) -> None:
        """Look for label files.

        Raises:
            RunError: If the source is not a folder that holds some.
        """
        if not self.source.is_dir():
            raise RunError(f"{self.source}: expected the folder of IEMOCAP, with Session1 to Session5")
        if not self._evaluations:
            raise RunError(f"{self.source}: expected Session1/dialog/EmoEvaluation/Ses01F_impro01.txt, found none such")

    @cached_property
    def _evaluations(self) -> dict[str, str]:
        """Path of each dialogue's label file; of several copies the one with the shortest path."""
        paths = sorted((p for p, _ in self.tree.matching(_LABELS)), key=lambda path: path.count("/"))
        by_dialogue: dict[str, str] = {}
        for path in paths:
            by_dialogue.setdefault(PurePosixPath(path).stem, path)
        return dict(sorted(by_dialogue.items()))

    @cached_property
    def _videos(self) -> dict[str, str]:
        return {PurePosixPath(path).stem: path for path, _ in self.tree.matching(r"dialog/avi/.*\.(?:avi|mp4)")}

    @cached_property
    def _audio_files(self) -> dict[str, str]:
        return {PurePosixPath(path).stem: path for path, _ in self.tree.matching(r"sentences/wav/.*\.wav")}

    @cached_property
    def _transcripts(self) -> tuple[dict[str, str], int]:
        """What is said, by turn, and how many lines are of no turn."""
        texts: dict[str, str] = {}
        unread = 0
        for path, _ in self.tree.matching(rf"dialog/transcriptions/{_DIALOGUE}\.txt"):
            for line in read_text(self.source / path).splitlines():
                found = _LINE.fullmatch(line.strip())
                if found is not None:
                    texts.setdefault(found["turn"], found["text"])
                elif line.strip():
                    unread += 1
        return texts, unread

    @cached_property
    def _turns(self) -> dict[str, list[_Turn]]:
        """The turns of each label file, by its path.

        Raises:
            RunError: If a label file has no turn that can be read.
        """
        turns = {path: list(_turns(read_text(self.source / path))) for path in self._evaluations.values()}
        empty = next((path for path, found in turns.items() if not found), None)
        if empty is not None:
            raise RunError(f"{self.source / empty}: no turn; expected lines such as [1.0 - 2.0] TURN neu [3, 3, 3]")
        return turns

    def rows(self) -> Iterator[CorpusRow]:
        """One row per turn of the label files.

        Raises:
            RunError: If a label file has no turn that can be read.
        """
        for dialogue, path in self._evaluations.items():
            for turn, votes in self._turns[path]:
                yield self._row(dialogue, path, turn, votes)

    def _row(self, dialogue: str, path: str, turn: Mapping[str, str], votes: Mapping[str, str]) -> CorpusRow:
        name, session = turn["turn"], dialogue[:5]
        letter = name.rpartition("_")[2][0]
        fields: dict[str, Any] = {
            "start": float(turn["start"]) or None,
            "end": float(turn["end"]),
            "audio_is_cut": True,
            "text": self._transcripts[0].get(name),
            "language": "en",
            "speaker": session + letter,
            "group": session,
            "label_raw": turn["emotion"],
            "dimensions": {
                "valence": float(turn["valence"]),
                "arousal": float(turn["activation"]),
                "dominance": float(turn["dominance"]),
            },
            "scales": dict.fromkeys(("valence", "arousal", "dominance"), "1..5"),
            "votes": votes,
            "folds": {"session": session[-1]},
            "about": {"dialogue": dialogue, "gender": {"F": "female", "M": "male"}.get(letter, "")},
        }
        session_folder = path.lower().rpartition("dialog/")[0]
        above = path[: len(session_folder)]
        video = self._videos.get(dialogue, f"{above}dialog/avi/DivX/{dialogue}.avi") if self._videos else None
        if video is not None and self.options.crop == "half":
            has_markers = dialogue[5] == letter
            fields["crop"] = _LEFT if has_markers == (self.options.markers == "left") else _RIGHT
        where = f"{PurePosixPath(path).name}: {name}"
        audio = self._audio_files.get(name, f"{above}sentences/wav/{dialogue}/{name}.wav")
        return CorpusRow(where, name, video=video, audio=audio, fields=fields)

    def normalise(self, raw: str | None) -> str | None:
        """The label; `exc` is happy where the option says so."""
        folded = "hap" if raw == "exc" and self.options.excited == "happy" else raw
        return super().normalise(folded)

    def notes(self) -> Iterator[str]:
        """Which sessions there are, and transcript lines that are of no turn."""
        sessions = sorted({dialogue[:5] for dialogue in self._evaluations})
        if len(sessions) < 5:
            yield f"sessions found: {', '.join(sessions)}"
        if not self._videos:
            yield "no dialog/avi: clips have no video"
        labelled = self._labelled
        self.report.missing += [f"turn {name}: no {name}.wav" for name in labelled if name not in self._audio_files]
        if self._videos:
            lost = [name for name in self._evaluations if name not in self._videos]
            self.report.missing += [f"dialogue {name}: no {name}.avi" for name in lost]
        texts, unread = self._transcripts
        without = [turn for turn in texts if turn not in labelled]
        if without:
            yield f"{counted(len(without), 'transcript line')} of turns without a label, such as {without[0]}"
        if unread:
            yield f"{counted(unread, 'transcript line')} of no turn"
        if self.options.crop == "half" and self._videos:
            yield f"the actor with the markers is taken to be on the {self.options.markers} (markers=left|right)"

    @cached_property
    def _labelled(self) -> dict[str, None]:
        """Names of the turns that have a label, in order."""
        return dict.fromkeys(turn["turn"] for turns in self._turns.values() for turn, _ in turns)

    def left_over(self) -> Iterator[str]:
        """Sentences that no label file names."""
        yield from (path for name, path in self._audio_files.items() if name not in self._labelled)


def _turns(text: str) -> Iterator[_Turn]:
    """The turns of a label file, each with its votes."""
    turn: dict[str, str] | None = None
    votes: dict[str, str] = {}
    for line in text.splitlines():
        found = _TURN.fullmatch(line.strip())
        if found is not None:
            if turn is not None:
                yield turn, votes
            turn, votes = found.groupdict(), {}
        elif (vote := _VOTE.match(line.strip())) is not None:
            said = "; ".join(word.strip() for word in vote["votes"].split(";") if word.strip())
            votes[rater_name(vote["rater"], votes)] = said
    if turn is not None:
        yield turn, votes
