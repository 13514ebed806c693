"""MSP-IMPROV: 8,438 turns of six sessions between twelve actors, with emotions, dimensions and every rater's vote.

Tree: `Evalution.txt` (spelled so; `Evaluation.txt` too) and `MSP-IMPROV-S01A-F01-S-FM01.{wav,avi}` at any depth. Names:
target sentence and target emotion, actor's gender and session, situation (P natural talk, R target sentence read,
S target sentence in improvisation, T other turns of it), and turn.
Splits: none; the six sessions are the groups, and the folds of the table `session`.
Quirks: the evaluation calls turns `UTD-IMPROV-...` where files are called `MSP-IMPROV-...`; its numbers may be `NaN`; a
rater may occur twice. What the name's last two letters mean is not documented; speakers are gender and session (`F01`).
Texts are not read: the form of the transcripts was not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, ClassVar

from configs.errors import RunError
from storage.corpora._shared.cell_values import number_or_none
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions, InPlaceCorpus
from storage.corpora._shared.tree import read_text
from storage.corpora._shared.votes import rater_name
from storage.wording import counted

_EVALUATION = r"evalua?tion\.txt"
_NAME = (
    r"(?:UTD|MSP)-IMPROV-"
    r"(?P<name>S(?P<sentence>\d\d)(?P<target>[AHSN])-(?P<speaker>[FM]\d\d)-(?P<situation>[PRST])-[FM]{2}\d\d)"
)
_NUMBERS = r"A:(?P<A>\S+?)\s*;\s*V:(?P<V>\S+?)\s*;\s*D:(?P<D>\S+?)\s*;\s*N:(?P<N>\S+?)\s*;?\s*"
_TURN = re.compile(rf"{_NAME}\.\w+\s*;\s*(?P<label>\w+)\s*;\s*{_NUMBERS}")
_RATER = re.compile(r"(?P<rater>[^;]+);\s*(?P<primary>[^;]+);.*")
_DIMENSIONS = {"arousal": "A", "valence": "V", "dominance": "D", "naturalness": "N"}
_SITUATIONS = {
    "P": "natural talk around the recording",
    "R": "target sentence read",
    "S": "target sentence in improvisation",
    "T": "other turn of improvisation",
}


class MspImprovCorpus(InPlaceCorpus[CorpusOptions]):
    """Turns with the perceived emotion, dimensions and votes."""

    name = "msp_improv"
    Options = CorpusOptions
    title = "MSP-IMPROV"
    citation = "Busso et al., MSP-IMPROV: An Acted Corpus of Dyadic Interactions, IEEE TAC 2017"
    licence = "licence agreement of the University of Texas at Dallas; no redistribution"
    modalities = frozenset({"audio", "video"})
    signs = (_EVALUATION, r"msp-improv-.*\.(?:wav|avi)")
    expected_clips: ClassVar[Mapping[str, int]] = {"": 8438}
    labels: ClassVar[Mapping[str, str]] = {
        "a": "angry",
        "h": "happy",
        "s": "sad",
        "n": "neutral",
        "o": "other",
        "x": "no_agreement",
    }

    def check(self) -> None:
        """Look for the evaluation.

        Raises:
            RunError: If it is not there, or holds no turn.
        """
        if not self.source.is_dir():
            raise RunError(f"{self.source}: expected the folder of MSP-IMPROV, with Evalution.txt")
        if self.tree.first(_EVALUATION) is None:
            raise RunError(f"{self.source}: expected Evalution.txt (or Evaluation.txt), found none")
        if not self._turns:
            raise RunError(
                f"{self.tree.first(_EVALUATION)}: no turn; expected lines such as UTD-IMPROV-...; X; A:2.0; ..."
            )

    @cached_property
    def _evaluated(self) -> tuple[dict[str, tuple[dict[str, str], dict[str, str]]], int]:
        """What the evaluation says of each turn, with its votes, and how many lines could not be read."""
        path = self.tree.first(_EVALUATION)
        turns: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
        votes: dict[str, str] = {}
        unread = 0
        for line in [] if path is None else read_text(path).splitlines():
            found = _TURN.fullmatch(line.strip())
            if found is not None:
                votes = {}
                turns.setdefault(found["name"], (found.groupdict(), votes))
            elif (rater := _RATER.fullmatch(line.strip())) is not None:
                votes[rater_name(rater["rater"].strip(), votes)] = rater["primary"].strip()
            elif line.strip():
                unread += 1
        return turns, unread

    @property
    def _turns(self) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
        return self._evaluated[0]

    @cached_property
    def _files(self) -> dict[str, dict[str, str]]:
        """Path of the video and the audio of each turn."""
        files: dict[str, dict[str, str]] = {}
        for path, found in self.tree.matching(rf"{_NAME}\.(?:wav|avi|mp4)"):
            kind = "audio" if PurePosixPath(path).suffix.lower() == ".wav" else "video"
            files.setdefault(found["name"].upper(), {}).setdefault(kind, path)
        return files

    def rows(self) -> Iterator[CorpusRow]:
        """One row per turn that the evaluation names."""
        for name, (turn, votes) in self._turns.items():
            files = self._files.get(name, {"audio": f"MSP-IMPROV-{name}.wav"})
            video = files.get("video")
            yield CorpusRow(
                f"turn {name}",
                f"MSP-IMPROV-{name}",
                video=video,
                audio=files.get("audio", video),
                fields=self._fields(turn, votes),
            )

    def _fields(self, turn: Mapping[str, str], votes: Mapping[str, str]) -> dict[str, Any]:
        numbers = {name: number_or_none(turn[letter]) for name, letter in _DIMENSIONS.items()}
        known = {name: value for name, value in numbers.items() if value is not None}
        session = turn["speaker"][1:]
        return {
            "language": "en",
            "speaker": turn["speaker"],
            "group": session,
            "label_raw": turn["label"],
            "dimensions": known,
            "scales": dict.fromkeys(known, "1..5"),
            "votes": votes,
            "folds": {"session": session},
            "about": {
                "sentence": turn["sentence"],
                "target_emotion": turn["target"],
                "situation": _SITUATIONS[turn["situation"]],
                "gender": {"F": "female", "M": "male"}[turn["speaker"][0]],
            },
        }

    def notes(self) -> Iterator[str]:
        """Turns without a file, and lines of the evaluation that could not be read."""
        lost = [name for name in self._turns if name not in self._files]
        self.report.missing += [f"turn {name}: no file MSP-IMPROV-{name}.wav or .avi" for name in lost]
        unread = self._evaluated[1]
        if unread:
            yield f"{counted(unread, 'line')} of the evaluation could not be read"

    def left_over(self) -> Iterator[str]:
        """Files of turns that the evaluation does not name."""
        for name, files in self._files.items():
            if name not in self._turns:
                yield from files.values()
