"""EmoBox: 32 speech corpora in one form, one line of JSON per utterance, with label maps and folds.

Tree: `<corpus>/<corpus>.jsonl`, `label_map.json` (or `label_dict.json`), and
`fold_1/<corpus>_{train,valid,test}_fold_1.jsonl`; point it at a corpus's folder, or at a folder of several with
`dataset=NAME`. Media paths (`wav`) are relative to `media`, a folder of your own.
Labels: `emo` as it is; the map's words (`Angry`) count where merflow does not know the corpus's own, without regard to
case.
Splits: the folds are kept as the table `emobox` (the fold whose test set a clip is in); `fold=1` also sets its splits.
Quirks: `channel` counts from 1 (MELD's is 3, the centre of 5.1); in the lists of IEMOCAP the speaker is wrong for half
of the turns and is made from the key instead; old lists say `audio` and `label` for `wav` and `emo`; keys may end in
`.wav`; a speaker may be a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import Corpus, CorpusOptions
from storage.corpora._shared.media_finder import MediaFinder, find_media_folder
from storage.corpora._shared.table_file import TableFile
from storage.corpora._shared.tree import read_text
from storage.vocabulary.labels import LABELS, normalise
from storage.vocabulary.media_suffixes import AUDIO_SUFFIXES
from storage.wording import counted

_SETS = ("train", "valid", "test")
_IEMOCAP_KEY = re.compile(r"(?:.*-)?(Ses\d\d)[FM]_\w+_([FM])\d+(?:-.*)?")


class EmoboxOptions(CorpusOptions):
    """Options of the reader `emobox`.

    Attributes:
        dataset: Name of the corpus where the folder holds several.
        media: Folder that the paths in the lists are relative to, relative to the corpus or else to the current folder.
        fold: Number of the fold whose splits count.
    """

    dataset: str | None = None
    media: str | None = None
    fold: int | None = None


class EmoboxCorpus(Corpus[EmoboxOptions]):
    """Utterances of one of EmoBox's corpora."""

    name = "emobox"
    Options = EmoboxOptions
    citation = "Ma et al., EmoBox: Multilingual Multi-corpus Speech Emotion Recognition Toolkit, Interspeech 2024"
    licence = "lists: MIT by its page (github.com/emo-box/EmoBox); the corpora have terms of their own"
    modalities = frozenset({"audio"})
    signs = (r"fold_\d+/[a-z0-9]+_(?:train|test)_fold_\d+\.jsonl",)

    def default_name(self) -> str:
        """The corpus's name in EmoBox."""
        return self.options.dataset or self.source.absolute().name

    @cached_property
    def _list(self) -> Path:
        found = {p.parent: p for p in sorted(self.source.rglob("*.jsonl")) if p.stem == p.parent.name}
        if self.options.dataset is not None:
            found = {folder: p for folder, p in found.items() if p.stem == self.options.dataset}
        if len(found) == 1:
            return next(iter(found.values()))
        names = ", ".join(sorted(path.stem for path in found.values()))
        if found:
            raise RunError(f"{self.source}: holds the lists of {len(found)} corpora; give dataset=NAME, one of {names}")
        wanted = self.options.dataset or "<corpus>"
        raise RunError(f"{self.source}: expected EmoBox's list {wanted}/{wanted}.jsonl, found none")

    @cached_property
    def root(self) -> Path:
        """The media folder.

        Raises:
            RunError: If there is none.
        """
        return find_media_folder(self.source, self.options.media)

    def check(self) -> None:
        """Look for the list, the folds and the media folder.

        Raises:
            RunError: If one is not there.
        """
        if not self.source.is_dir():
            raise RunError(f"{self.source}: expected a folder of EmoBox's data, such as data/savee")
        _ = self._list, self.root
        if self.options.fold is not None and self.options.fold not in self._folds:
            known = ", ".join(map(str, self._folds)) or "none"
            raise RunError(f"fold={self.options.fold}: no such fold; folds of {self._list.stem}: {known}")

    def finder(self) -> MediaFinder:
        """Finds the files that lists name."""
        return MediaFinder(self.root)

    @cached_property
    def _folds(self) -> dict[int, dict[str, set[str]]]:
        """Keys of each set of each fold."""
        folds: dict[int, dict[str, set[str]]] = {}
        for folder in sorted(self._list.parent.glob("fold_*")):
            number = folder.name.removeprefix("fold_")
            paths = {split: folder / f"{self._list.stem}_{split}_{folder.name}.jsonl" for split in _SETS}
            if number.isdigit():
                folds[int(number)] = {s: {_key(c) for _, c in _lines(p)} for s, p in paths.items() if p.is_file()}
        return dict(sorted(folds.items()))

    @cached_property
    def _map(self) -> dict[str, str]:
        """The corpus's words, in small letters, in EmoBox's."""
        for name in ("label_map.json", "label_dict.json"):
            path = self._list.parent / name
            if path.is_file():
                try:
                    words = json.loads(read_text(path))
                except ValueError as error:
                    raise RunError(f"{path}: {error}") from error
                if not isinstance(words, dict):
                    raise RunError(f"{path}: expected an object of words and labels, got {type(words).__name__}")
                return {str(word).lower(): str(label).lower() for word, label in words.items()}
        return {}

    def normalise(self, raw: str | None) -> str | None:
        """The label; by EmoBox's map where the word itself is not known."""
        known = super().normalise(raw)
        if known is not None or raw is None:
            return known
        mapped = self._map.get(raw.strip().lower())
        return mapped if mapped in LABELS else normalise(mapped)

    def rows(self) -> Iterator[CorpusRow]:
        """One row per line of the list.

        Raises:
            RunError: If a line cannot be read.
        """
        for line, cells in _lines(self._list):
            try:
                yield self._row(line, cells)
            except ValueError as error:
                raise RunError(f"{self._list}: row {line}: {error}") from error

    def _row(self, line: int, cells: Mapping[str, str]) -> CorpusRow:
        key = _key(cells)
        media = cells.get("wav") or cells.get("audio") or ""
        is_audio = PurePosixPath(media).suffix.lower() in AUDIO_SUFFIXES
        tests = [number for number, sets in self._folds.items() if key in sets.get("test", ())]
        fields: dict[str, Any] = {
            "start": _number(cells, "start"),
            "end": _number(cells, "end"),
            "speaker": _speaker(key, cells, self._list.stem),
            "label_raw": cells.get("emo") or cells.get("label") or None,
            "folds": {"emobox": str(tests[0])} if tests else {},
            "about": {name: cells[name] for name in ("gender", "lang", "sample_rate", "length") if cells.get(name)},
        }
        fields["group"] = fields["speaker"]
        channel = _number(cells, "channel")
        if channel is not None and channel >= 1:
            fields["audio_channel"] = int(channel) - 1
        if self.options.fold is not None:
            sets = self._folds[self.options.fold]
            fields["split"] = next((split for split in _SETS if key in sets.get(split, ())), None)
        video = None if is_audio or not media else media
        return CorpusRow(f"row {line}", key, video=video, audio=media or None, fields=fields, cells=cells)

    def notes(self) -> Iterator[str]:
        """The folds, and clips that no fold has."""
        if self._folds:
            yield f"{counted(len(self._folds), 'fold')}: {', '.join(map(str, self._folds))} (fold=N sets its splits)"
        if self.options.fold is not None:
            sets = self._folds[self.options.fold]
            without = sum(all(_key(cells) not in keys for keys in sets.values()) for _, cells in _lines(self._list))
            if without:
                yield f"{counted(without, 'clip')} in no set of fold {self.options.fold}: no split"


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    if path.is_file():
        yield from TableFile.open(path).rows()


def _key(cells: Mapping[str, str]) -> str:
    key = cells.get("key") or PurePosixPath(cells.get("wav") or cells.get("audio") or "").stem
    return key.removesuffix(".wav")


def _number(cells: Mapping[str, str], name: str) -> float | None:
    text = cells.get(name, "")
    return float(text) if text else None


def _speaker(key: str, cells: Mapping[str, str], dataset: str) -> str | None:
    if dataset == "iemocap":
        found = _IEMOCAP_KEY.fullmatch(key)
        return found[1] + found[2] if found else None
    spoken = cells.get("spk", "")
    return PurePosixPath(spoken).name or None
