"""MELD: 13,708 utterances of a television series in 1,432 dialogues, with emotion and sentiment.

Tree: `train_sent_emo.csv`, `dev_sent_emo.csv`, `test_sent_emo.csv`; clips `dia0_utt0.mp4` in `train_splits/`,
`dev_splits_complete/` and `output_repeated_splits_test/`, or in `train/`, `dev/`, `test/`.
Splits: train, dev and test; dialogue numbers restart in each, so ids begin with the split.
Quirks: about 132 clips of test are there twice, and `final_videos_testdiaX_uttY.mp4` is the right cut: it is taken and
told. `StartTime` and `EndTime` are places in the episode: the clip is cut already, and ingest tells where its length is
another one (the list has cuts of minutes). 5.1 audio: the dialogue is in the centre channel, which is taken where there
is one; `audio=mean` takes the down-mix. train `dia125_utt3` does not decode, dev `dia110_utt7` is absent. An apostrophe
that is a control character (U+0092) is repaired.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

from configs.errors import RunError
from storage.clip import CENTRE
from storage.corpora._shared.cell_values import seconds
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.control_characters import repaired_text
from storage.corpora._shared.corpus import CorpusOptions, InPlaceCorpus
from storage.corpora._shared.table_file import TableFile
from storage.wording import counted

_SPLITS = ("train", "dev", "test")
_ARCHIVE = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime")
_CLIP = r"(?P<final>final_videos_test)?dia(?P<dialogue>\d+)_utt(?P<utterance>\d+)\.(?:mp4|mkv|avi|wav)"
_FOLDER = re.compile(r"(?:^|/)[^/]*(train|dev|test)[^/]*(?=/)", re.IGNORECASE)

_Key = tuple[str, str]


class MeldOptions(CorpusOptions):
    """Options of the reader `meld`.

    Attributes:
        audio: `centre` takes the centre channel of 5.1 audio, `mean` FFmpeg's down-mix of all channels.
    """

    audio: Literal["centre", "mean"] = "centre"


class MeldCorpus(InPlaceCorpus[MeldOptions]):
    """Utterances with speaker, text, emotion and sentiment."""

    name = "meld"
    Options = MeldOptions
    title = "MELD"
    citation = "Poria et al., MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations, ACL 2019"
    licence = "repository GPL-3.0; the clips are cuts of a commercial television series"
    signs = (r"(?:train|dev|test)_sent_emo\.csv",)
    expected_clips: ClassVar[Mapping[str, int]] = {"train": 9989, "dev": 1109, "test": 2610}
    labels: ClassVar[Mapping[str, str]] = {
        "neutral": "neutral",
        "surprise": "surprise",
        "fear": "fear",
        "sadness": "sad",
        "joy": "happy",
        "disgust": "disgust",
        "anger": "angry",
    }

    @cached_property
    def _tables(self) -> dict[str, TableFile]:
        found = {split: self.tree.first(rf"{split}_sent_emo\.csv") for split in _SPLITS}
        return {split: TableFile.open(path) for split, path in found.items() if path is not None}

    def check(self) -> None:
        """Look for the tables.

        Raises:
            RunError: If the source is not a folder with at least one of them, or one lacks a column.
        """
        if not self.source.is_dir():
            raise RunError(f"{self.source}: expected the folder of MELD, with train_sent_emo.csv and the others")
        if not self._tables:
            names = ", ".join(f"{split}_sent_emo.csv" for split in _SPLITS)
            raise RunError(f"{self.source}: expected MELD's tables ({names}) in it or below, found none")
        for table in self._tables.values():
            lacking = [column for column in _COLUMNS if column not in table.columns]
            if lacking:
                raise RunError(f"{table.path}: no column {lacking[0]}; columns: {', '.join(table.columns)}")

    @cached_property
    def _files(self) -> dict[str, dict[_Key, list[str]]]:
        """Clips by split and by dialogue and utterance, the right cut first."""
        files: dict[str, dict[_Key, list[str]]] = {split: {} for split in _SPLITS}
        for path, found in self.tree.matching(_CLIP):
            split = self._split_of(path)
            if split is not None:
                same = files[split].setdefault((found["dialogue"], found["utterance"]), [])
                same.insert(0 if found["final"] else len(same), path)
        return files

    def _split_of(self, path: str) -> str | None:
        """The split of a clip: that of the innermost folder that names one."""
        named = _FOLDER.findall(path)
        return named[-1].lower() if named else None

    @cached_property
    def _folders(self) -> dict[str, str]:
        """Folder of each split's clips: that of most of them, or the one of the published archive."""
        counts = {
            s: Counter(str(PurePosixPath(p).parent) for ps in found.values() for p in ps)
            for s, found in self._files.items()
        }
        return {split: (counts[split].most_common(1) or [(_ARCHIVE[split], 0)])[0][0] for split in _SPLITS}

    def rows(self) -> Iterator[CorpusRow]:
        """One row per row of the tables."""
        for split, table in self._tables.items():
            for line, cells in table.rows():
                yield self._row(split, f"{table.path.name} row {line}", cells)

    def _row(self, split: str, where: str, cells: Mapping[str, str]) -> CorpusRow:
        dialogue, utterance = _key(cells)
        files = self._files[split].get((dialogue, utterance), [])
        about = {key: cells[column] for key, column in _PLACES.items() if cells.get(column)}
        try:
            cut = seconds(cells["EndTime"], "EndTime") - seconds(cells["StartTime"], "StartTime")
        except ValueError:
            cut = 0.0
        if cut > 0:
            about["stated_seconds"] = f"{cut:.3f}"
        fields: dict[str, Any] = {
            "split": split,
            "text": repaired_text(cells["Utterance"]),
            "language": "en",
            "speaker": cells["Speaker"],
            "group": f"{split}_dia{dialogue}",
            "label_raw": cells["Emotion"],
            "labels": {"sentiment": cells["Sentiment"]},
            "about": about,
        }
        if self.options.audio == "centre":
            fields["audio_channel"] = CENTRE
        name = f"dia{dialogue}_utt{utterance}"
        path = files[0] if files else f"{self._folders[split]}/{name}.mp4"
        return CorpusRow(where, f"{split}_{name}", name, video=path, audio=path, fields=fields, cells=cells)

    @cached_property
    def _named(self) -> list[tuple[str, str, _Key]]:
        """Split, place and clip of every row."""
        tables = self._tables.items()
        return [(s, f"{t.path.name} row {line}", _key(cells)) for s, t in tables for line, cells in t.rows()]

    def notes(self) -> Iterator[str]:
        """Rows without a clip, and clips that are there twice."""
        for split, where, key in self._named:
            if key not in self._files[split]:
                name = f"{self._folders[split]}/dia{key[0]}_utt{key[1]}.mp4"
                self.report.missing.append(f"{where}: {name}: no such file")
        twice = [(files[0], files[1]) for found in self._files.values() for files in found.values() if len(files) > 1]
        if twice:
            yield f"{counted(len(twice), 'clip')} there twice; taken: {', '.join(f'{a} for {b}' for a, b in twice[:5])}"
        absent = [split for split in _SPLITS if split not in self._tables]
        if absent:
            yield f"no table of {', '.join(absent)}: its clips are left out"

    def left_over(self) -> Iterator[str]:
        """Clips that no row names."""
        named = {(split, key) for split, _, key in self._named}
        for split, found in self._files.items():
            yield from (path for key, files in found.items() if (split, key) not in named for path in files)
        yield from (path for path, _ in self.tree.matching(_CLIP) if self._split_of(path) is None)


_PLACES = {"season": "Season", "episode": "Episode", "episode_start": "StartTime", "episode_end": "EndTime"}


def _key(cells: Mapping[str, str]) -> _Key:
    return cells["Dialogue_ID"].strip(), cells["Utterance_ID"].strip()
