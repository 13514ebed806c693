"""CREMA-D: 7,442 clips of 91 actors speaking twelve sentences in six emotions, with intended and perceived labels.

Tree: `AudioWAV/1001_DFA_ANG_XX.wav`, `AudioMP3/`, `VideoFlash/1001_DFA_ANG_XX.flv` (or .mp4), `SentenceFilenames.csv`,
`VideoDemographics.csv`, `processedResults/{summaryTable,tabulatedVotes}.csv`. Names: actor, sentence, emotion, level.
Labels: the intended emotion (`ANG`) is `label_raw`; what raters perceived from voice, face and both is in `labels`,
ties as they are written (`A:D`); `label=voice|face|multimodal` takes one of these for the label, ties then have none.
Splits: none; the actors are the groups.
Quirks: cloned without git-LFS its media are pointers, which ingest says. The audio comes from the .wav: some .flv have
none or are cut short (1076_MTI_SAD_XX has no audio at all). Older copies end in `_X` for `_XX`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

from configs.errors import RunError
from storage.corpora._shared.cell_values import number_or_none
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions
from storage.corpora._shared.named_files import FilesOfClip, NamedFile, NamedFiles, audio_of, video_of
from storage.corpora._shared.table_file import TableFile

_SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
_PERCEIVED = {"voice": "Voice", "face": "Face", "multimodal": "MultiModal"}
_QUERIES = {"1": "voice", "2": "face", "3": "multimodal"}
_LETTERS = ("A", "D", "F", "H", "N", "S")
_NAME = re.compile(r"\w+_[A-Z]{3}_[A-Z]{3}_[A-Z]{1,2}")
_PARTS = ("actor", "sentence", "emotion", "level")


class CremaDOptions(CorpusOptions):
    """Options of the reader `crema_d`.

    Attributes:
        label: Which label counts: `intended` by the actor, or perceived by raters from `voice`, `face` or `multimodal`.
    """

    label: Literal["intended", "voice", "face", "multimodal"] = "intended"


class CremaDCorpus(NamedFiles[CremaDOptions]):
    """Clips with the intended emotion, what raters perceived, and who speaks."""

    name = "crema_d"
    Options = CremaDOptions
    title = "CREMA-D"
    citation = "Cao et al., CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset, IEEE TAC 2014"
    licence = "Open Database License 1.0, contents under DbCL 1.0 (github.com/CheyneyComputerScience/CREMA-D)"
    expected_clips: ClassVar[Mapping[str, int]] = {"": 7442}
    labels: ClassVar[Mapping[str, str]] = {
        "ang": "angry",
        "dis": "disgust",
        "fea": "fear",
        "hap": "happy",
        "neu": "neutral",
        "sad": "sad",
        "a": "angry",
        "d": "disgust",
        "f": "fear",
        "h": "happy",
        "n": "neutral",
        "s": "sad",
    }
    pattern = (
        r"(?P<actor>1\d{3})_(?P<sentence>[A-Z]{3})_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_(?P<level>LO|MD|HI|XX|X)"
        r"\.(?:wav|mp3|flv|mp4)"
    )
    example = "AudioWAV/1001_DFA_ANG_XX.wav"

    @classmethod
    def fits(cls, paths: Sequence[str]) -> bool:
        """Whether a folder has names of this pattern, or the corpus's own tables.

        Args:
            paths: Some of its files, relative to it.
        """
        tables = {PurePosixPath(path).name.lower() for path in paths}
        return super().fits(paths) or {"sentencefilenames.csv", "videodemographics.csv"} <= tables

    def check(self) -> None:
        """Look for the media or the list of names.

        Raises:
            RunError: If neither is there.
        """
        if not self._listed:
            super().check()

    def name_of(self, file: NamedFile) -> str:
        """The file's name without its suffix; `X` for the level is `XX`."""
        parts = {key: file.parts[key].upper() for key in _PARTS}
        return "_".join(parts.values() if parts["level"] != "X" else [*list(parts.values())[:3], "XX"])

    @cached_property
    def _listed(self) -> list[str]:
        """Names that `SentenceFilenames.csv` lists."""
        names = [row["Filename"] for row in self._rows_of(r"sentencefilenames\.csv", "Filename")]
        odd = next((name for name in names if not _NAME.fullmatch(name)), None)
        if odd is not None:
            path = self.tree.first(r"sentencefilenames\.csv")
            raise RunError(f"{path}: expected names such as 1001_DFA_ANG_XX, got {odd[:40]!r}")
        return names

    @cached_property
    def _people(self) -> dict[str, dict[str, str]]:
        return {row["ActorID"]: row for row in self._rows_of(r"videodemographics\.csv", "ActorID")}

    @cached_property
    def _summary(self) -> dict[str, dict[str, str]]:
        return {row["FileName"]: row for row in self._rows_of(r"(?:processedresults/)?summarytable\.csv", "FileName")}

    @cached_property
    def _votes(self) -> dict[str, dict[str, str]]:
        """Votes by clip and what raters were shown, such as `{"voice": "A=7 N=3"}`."""
        votes: dict[str, dict[str, str]] = {}
        for row in self._rows_of(r"(?:processedresults/)?tabulatedvotes\.csv", "fileName"):
            query = _QUERIES.get(next(iter(row.values()))[:-5])
            if query is not None:
                given = [f"{letter}={row[letter]}" for letter in _LETTERS if row.get(letter, "0") not in {"", "0"}]
                votes.setdefault(row["fileName"], {})[query] = " ".join(given)
        return votes

    def _rows_of(self, pattern: str, column: str) -> Iterator[dict[str, str]]:
        path = self.tree.first(pattern) if self.source.is_dir() else None
        if path is None:
            return
        table = TableFile.open(path)
        if column not in table.columns:
            raise RunError(f"{path}: expected a column {column}, got {', '.join(table.columns)}")
        yield from (cells for _, cells in table.rows())

    def rows(self) -> Iterator[CorpusRow]:
        """One row per name that is listed or has a file."""
        for name in dict.fromkeys([*self._listed, *self._named]):
            yield self.row(FilesOfClip(name, self._named.get(name, [])))

    def row(self, clip: FilesOfClip) -> CorpusRow:
        """One clip."""
        name, files = clip
        actor, sentence, emotion, level = name.split("_")
        video, audio = video_of(files), audio_of(files) or video_of(files) or f"AudioWAV/{name}.wav"
        fields: dict[str, Any] = {
            "text": _SENTENCES.get(sentence),
            "language": "en",
            "speaker": actor,
            "group": actor,
            "label_raw": emotion,
            "about": {"sentence": sentence, "level": level},
        }
        if name in self._summary:
            row = self._summary[name]
            fields["labels"] = {kind: row[f"{column}Vote"] for kind, column in _PERCEIVED.items()}
            levels = {kind: number_or_none(row.get(f"{column}Level", "")) for kind, column in _PERCEIVED.items()}
            fields["dimensions"] = {
                f"{k}_level": level for k, level in levels.items() if level is not None and level >= 0
            }
            fields["scales"] = dict.fromkeys(fields["dimensions"], "0..100")
        if self.options.label != "intended":
            fields["label_raw"] = fields.get("labels", {}).get(self.options.label)
        if name in self._votes:
            fields["votes"] = self._votes[name]
        if actor in self._people:
            person = self._people[actor]
            fields["about"] |= {
                key.lower(): person[key] for key in ("Age", "Sex", "Race", "Ethnicity") if person.get(key)
            }
        return CorpusRow(files[0].path if files else name, name, video=video, audio=audio, fields=fields)

    def notes(self) -> Iterator[str]:
        """Names without a file."""
        yield from super().notes()
        self.report.missing += [f"{name}: no file of this name" for name in self._listed if name not in self._named]
