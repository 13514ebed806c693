"""EmotionTalk: 19,250 utterances of Mandarin dialogues, with labels of each modality and a continuous one.

Tree, after unpacking: `Multimodal/{json,mp4}/G00001/G00001_02/G00001_02_01/G00001_02_01_002.{json,mp4}`, and the same
below `Audio/{json,wav}`, `Text/json` and `Video/json`; letter case does not matter. An id is group, dialogue, speaker
and utterance. The label is that of `Multimodal`; those of the others are in `labels`.
Splits: val are the groups G00001 and G00012, test G00003 and G00015, train the rest. val and test share the speakers 02
and 13.
Quirks: the key `Continuous label_result` has a blank; the marks `[over/]...[/over]` and `[interrupted]` are taken out
of the text; label words differ between files (surprise, surprised).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions, InPlaceCorpus
from storage.corpora._shared.tree import read_text

_ID = r"(?P<id>(?P<group>G\d+)_(?P<dialogue>\d+)_(?P<speaker>\d+)_(?P<utterance>\d+))"
_MODALITIES = ("multimodal", "audio", "text", "video")
_MARKS = re.compile(r"\[/?\s*[a-z]+\s*/?\]", re.IGNORECASE)
_SPLIT_OF_GROUP = {"G00001": "val", "G00012": "val", "G00003": "test", "G00015": "test"}


class EmotionTalkCorpus(InPlaceCorpus[CorpusOptions]):
    """Utterances with the label of all modalities together and of each alone."""

    name = "emotiontalk"
    Options = CorpusOptions
    title = "EmotionTalk"
    citation = "Sun et al., EmotionTalk: An Interactive Chinese Multimodal Emotion Dataset, 2025"
    licence = "CC BY-NC-SA 4.0"
    signs = (r"multimodal/json/(?:.*/)?g\d+_\d+_\d+_\d+\.json",)
    expected_clips: ClassVar[Mapping[str, int]] = {"train": 15413, "val": 1908, "test": 1929}
    labels: ClassVar[Mapping[str, str]] = {
        "neutral": "neutral",
        "angry": "angry",
        "anger": "angry",
        "happy": "happy",
        "happiness": "happy",
        "sad": "sad",
        "sadness": "sad",
        "surprised": "surprise",
        "surprise": "surprise",
        "disgusted": "disgust",
        "disgust": "disgust",
        "fearful": "fear",
        "fear": "fear",
    }

    @cached_property
    def _jsons(self) -> dict[str, dict[str, str]]:
        """Path of each utterance's JSON by modality."""
        found: dict[str, dict[str, str]] = {}
        for modality in _MODALITIES:
            for path, match in self.tree.matching(rf"{modality}/json/(?:.*/)?{_ID}\.json"):
                found.setdefault(match["id"].upper(), {})[modality] = path
        return dict(sorted(found.items()))

    @cached_property
    def _media(self) -> dict[tuple[str, str], str]:
        """Path of each utterance's video and audio."""
        found: dict[tuple[str, str], str] = {}
        for kind, pattern in (("video", rf"(?:.*/)?{_ID}\.mp4"), ("audio", rf"(?:.*/)?{_ID}\.wav")):
            for path, match in self.tree.matching(pattern):
                found.setdefault((match["id"].upper(), kind), path)
        return found

    def check(self) -> None:
        """Look for the utterances.

        Raises:
            RunError: If the source is not a folder with JSON files of utterances.
        """
        if not self.source.is_dir() or not self._jsons:
            raise RunError(
                f"{self.source}: expected the folder of EmotionTalk, with "
                f"Multimodal/json/G00001/G00001_02/G00001_02_01/G00001_02_01_002.json"
            )

    def rows(self) -> Iterator[CorpusRow]:
        """One row per utterance.

        Raises:
            RunError: If a JSON file is damaged.
        """
        for name, paths in self._jsons.items():
            yield self._row(name, paths, {modality: self._read(path) for modality, path in paths.items()})

    def _read(self, path: str) -> dict[str, Any]:
        try:
            content = json.loads(read_text(self.source / path))
        except ValueError as error:
            raise RunError(f"{self.source / path}: {error}") from error
        if not isinstance(content, dict):
            raise RunError(f"{self.source / path}: expected an object, got {type(content).__name__}")
        return content

    def _row(self, name: str, paths: Mapping[str, str], said: Mapping[str, Mapping[str, Any]]) -> CorpusRow:
        group, dialogue, speaker, _ = name.split("_")
        overall = said.get("multimodal", {})
        content = next((str(s["content"]) for s in (overall, said.get("text", {})) if s.get("content")), None)
        raters = overall.get("data") or {}
        votes = {str(k): str(v["emotion"]) for k, v in raters.items() if isinstance(v, dict) and v.get("emotion")}
        continuous = overall.get("Continuous label_result")
        fields: dict[str, Any] = {
            "split": _SPLIT_OF_GROUP.get(group, "train"),
            "text": None if content is None else _MARKS.sub("", content).strip() or None,
            "language": "zh",
            "speaker": str(overall.get("speaker_id") or speaker),
            "group": group,
            "label_raw": overall.get("emotion_result"),
            "labels": {
                m: str(s["emotion_result"]) for m, s in said.items() if m != "multimodal" and s.get("emotion_result")
            },
            "votes": votes,
            "dimensions": {"continuous": float(continuous)} if isinstance(continuous, int | float) else {},
            "about": {"dialogue": f"{group}_{dialogue}"},
        }
        video, audio = (self._file(name, kind, paths) for kind in ("video", "audio"))
        return CorpusRow(f"utterance {name}", name, video=video, audio=audio or video, fields=fields)

    def _file(self, name: str, kind: str, paths: Mapping[str, str]) -> str | None:
        """A media file of an utterance, or where it should be; None where its corpus has none."""
        modality, folder = ("multimodal", "mp4") if kind == "video" else ("audio", "wav")
        if (name, kind) in self._media or modality not in paths:
            return self._media.get((name, kind))
        return self.tree.counterpart(paths[modality], "json", folder, f".{folder}")

    def notes(self) -> Iterator[str]:
        """Utterances without a video or an audio file."""
        for name, paths in self._jsons.items():
            if "multimodal" in paths and (name, "video") not in self._media:
                self.report.missing.append(f"utterance {name}: no {name}.mp4")
            if "audio" in paths and (name, "audio") not in self._media:
                self.report.missing.append(f"utterance {name}: no {name}.wav")
        alone = sum("multimodal" not in paths for paths in self._jsons.values())
        if alone:
            yield f"{alone} utterances without a JSON file in Multimodal: no label"

    def left_over(self) -> Iterator[str]:
        """Media of utterances that no JSON file names."""
        yield from (path for (name, _), path in self._media.items() if name not in self._jsons)
